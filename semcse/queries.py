"""Search queries for the benchmark papers (query matching, section 5.2), by the same job as the summaries."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from semcse.cleaning import Rules
from semcse.prompts import QUERY_PROMPT, query_message
from semcse.summaries import JobReport, generate_summaries, load_summaries
from semcse.writers.base import PlainWriter, Writer, as_writer

QUERY = "query"
RULES = Rules(min_words=2, max_words=40, forbid_abstract=False, forbid_title=True)
"""For queries by a language model; ready-made ones are taken as they are."""


def generate_queries(
    papers: Sequence[Mapping[str, Any]],
    writer: Writer | PlainWriter,
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    shard_size: int = 200,
) -> JobReport:
    """One query for each paper, stored and resumed like summaries; papers that the writer has none for stay without."""
    return generate_summaries(
        papers,
        writer,
        folder,
        prompts={QUERY: QUERY_PROMPT},
        draws=1,
        seed=seed,
        shard_size=shard_size,
        rules=RULES if as_writer(writer).redraws else None,
        on_change="redo",
        compose=query_message,
    )


def load_queries(folder: str | os.PathLike[str]) -> dict[Any, str]:
    """Query by corpus_id; empty where no queries were asked for."""
    if not Path(folder).is_dir():
        return {}
    rows = load_summaries(folder)
    return dict(zip(rows["corpus_id"].tolist(), rows["text"], strict=True))
