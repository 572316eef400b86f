"""What summaries are like: their length, and how much of them is copied from the abstract."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import pandas as pd


def summary_measures(summaries: pd.DataFrame, papers: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """`summaries` with `words` and `overlap`: the share of a summary's word pairs that stand in its abstract.

    Words are runs of letters and digits, case ignored. A summary of one word has overlap 1 or 0 by that word.
    """
    abstracts = {paper["corpus_id"]: _ngrams(paper["abstract"]) for paper in papers}
    overlap = [
        _share(text, abstracts[corpus_id])
        for corpus_id, text in zip(summaries["corpus_id"].tolist(), summaries["text"], strict=True)
    ]
    return summaries.assign(words=summaries["text"].str.split().str.len(), overlap=overlap)


def _share(text: str, abstract: tuple[set[str], set[tuple[str, str]]]) -> float:
    words = _words(text)
    pairs = list(pairwise(words))
    if not pairs:
        return float(bool(words) and words[0] in abstract[0])
    return sum(pair in abstract[1] for pair in pairs) / len(pairs)


def _ngrams(text: str) -> tuple[set[str], set[tuple[str, str]]]:
    words = _words(text)
    return set(words), set(pairwise(words))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())
