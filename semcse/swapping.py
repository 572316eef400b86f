"""Summaries made wrong on purpose, for the paper's open question on errors in summaries (Limitations)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def swap_summaries(summaries: pd.DataFrame, share: float, seed: int = 0) -> pd.DataFrame:
    """`summaries` in which a share of the texts belongs to another paper; the new column `swapped` says which.

    For the paper's open question on errors in summaries (Limitations). Texts change places with those after the same
    prompt, so that style and frequency stay what they were and only the content is wrong. Raises ValueError for a
    share outside 0 to 1, and when a prompt has too few papers for every chosen text to find another paper.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share should lie between 0 and 1, got {share}")
    random = np.random.default_rng(seed)
    texts = summaries["text"].to_numpy(dtype=object, copy=True)
    swapped = np.zeros(len(summaries), dtype=bool)
    for prompt, rows in summaries.groupby("prompt", sort=False).indices.items():
        chosen = random.permutation(rows)[: round(share * len(rows))]
        targets, sources = _exchange(summaries["corpus_id"].to_numpy()[chosen], chosen, str(prompt))
        texts[targets] = summaries["text"].to_numpy()[sources]
        swapped[targets] = True
    return summaries.assign(text=texts, swapped=swapped)


def _exchange(
    ids: np.ndarray[Any, Any], rows: np.ndarray[Any, Any], prompt: str
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Rows, and for each the row of another paper: all rows of a paper lie together and move on by the longest run."""
    codes = pd.factorize(ids)[0]
    ordered = rows[np.argsort(codes, kind="stable")]
    longest = int(np.bincount(codes).max(initial=0))
    if len(rows) < 2 * longest:
        raise ValueError(
            f"prompt {prompt!r}: {len(rows)} texts of too few papers to swap. Take more papers or a larger share."
        )
    return ordered, np.roll(ordered, longest)
