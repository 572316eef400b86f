"""Search queries for the matching task of section 5.2: one a benchmark paper, by an instruction model."""

import os
from collections.abc import Mapping
from typing import Any

import pandas as pd

from semcse.cleaning import Rules, canonical
from semcse.prompts import QUERY_PROMPT, query_message
from semcse.readers import DataError
from semcse.rows import Papers
from semcse.summaries import JobReport, generate_summaries, load_summaries
from semcse.writers.base import PlainWriter, Writer

QUERY = "query"
QUERY_RULES = Rules(min_words=2, max_words=40, sentence_end=False, forbid_title=True)
"""A query may be a few words without a full stop, but must not contain the title."""


def generate_queries(
    papers: Papers,
    writer: Writer | PlainWriter,
    folder: str | os.PathLike[str],
    *,
    prompt: str = QUERY_PROMPT,
    rules: Rules = QUERY_RULES,
    **options: Any,
) -> JobReport:
    """Write one query for each paper into `folder`: the job of `generate_summaries`, with its resume and its options.

    writer: an instruction model with `chat=True`, or a writer that has queries ready (demo, file). `prompt` has the
    places {title} and {abstract}.
    """
    options |= {"prompts": {QUERY: prompt}, "draws": 1, "compose": query_message}
    return generate_summaries(papers, writer, folder, rules=rules, **options)


def load_queries(folder: str | os.PathLike[str], papers: Papers | None = None) -> dict[Any, str]:
    """The query of each paper, by corpus_id, in the order of the papers.

    With `papers`, raises DataError when one of them has none, since a benchmark of other papers is another benchmark.
    """
    rows = load_summaries(folder)
    queries: dict[Any, str] = dict(zip(rows["corpus_id"].tolist(), rows["text"], strict=True))
    if papers is not None:
        wanted = [papers[index]["corpus_id"] for index in range(len(papers))]
        missing = [corpus_id for corpus_id in wanted if corpus_id not in queries]
        if missing:
            raise DataError(
                f"{folder}: {len(missing)} of {len(wanted)} papers have no query (corpus_id {missing[0]!r}, ...). "
                "Leave them out of the benchmark, or allow more redraws."
            )
        queries = {corpus_id: queries[corpus_id] for corpus_id in wanted}
    return queries


def title_overlap(papers: Papers, queries: Mapping[Any, str]) -> pd.DataFrame:
    """How far queries repeat titles: corpus_id, query, title, and the share of the query's words that the title has."""
    rows = []
    for index in range(len(papers)):
        paper = papers[index]
        query = queries[paper["corpus_id"]]
        title = set(canonical(paper["title"]).split())
        words = canonical(query).split()
        share = sum(word in title for word in words) / max(len(words), 1)
        rows.append({"corpus_id": paper["corpus_id"], "query": query, "title": paper["title"], "overlap": share})
    return pd.DataFrame(rows, columns=["corpus_id", "query", "title", "overlap"]).astype({"overlap": float})
