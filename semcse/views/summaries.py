"""Notebook 02: the summaries. All pictures are of the sample that the notebook has measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from semcse import figures
from semcse.quality import ACCEPTED, Quality, examples, load_quality
from semcse.views.registry import Run, picture


@picture("summaries")
def summary_lengths(run: Run) -> Figure | None:
    """Words per summary after each prompt."""
    return _of_summaries(run, "words", figures.summary_lengths)


@picture("summaries")
def summary_overlap(run: Run) -> Figure | None:
    """Share of each summary's word pairs that stand in its abstract."""
    return _of_summaries(run, "overlap", figures.summary_overlap)


@picture("summaries")
def summary_precision(run: Run) -> Figure | None:
    """Share of longer and longer n-grams that stand in the abstract."""
    return _of_summaries(run, "precision_1", figures.summary_precision)


@picture("summaries")
def summary_variety(run: Run) -> Figure | None:
    """How different the summaries of one paper are, in words and in meaning."""
    quality = _quality(run)
    return None if quality is None else figures.summary_variety(quality.variety)


@picture("summaries")
def summary_similarity(run: Run) -> Figure | None:
    """How near the summaries are to their abstract in meaning; None where no encoder was asked."""
    return _of_summaries(run, "similarity", figures.summary_similarity)


@picture("summaries")
def summary_copying(run: Run) -> Figure | None:
    """Meaning against copying, the notebook's examples marked; None where no encoder was asked."""
    return _of_summaries(run, "similarity", lambda rows: figures.summary_copying(rows, examples(rows)))


@picture("summaries")
def summary_rejects(run: Run) -> Figure | None:
    """Reject reasons after each prompt; None when nothing was rejected."""
    quality = _quality(run)
    if quality is None or (quality.outcomes["outcome"] == ACCEPTED).all():
        return None
    return figures.summary_rejects(quality.outcomes)


def _of_summaries(run: Run, column: str, draw: Callable[[pd.DataFrame], Figure]) -> Figure | None:
    """The drawing where the summaries have been measured and have this column."""
    quality = _quality(run)
    return draw(quality.summaries) if quality is not None and column in quality.summaries else None


def _quality(run: Run) -> Quality | None:
    """The stored measures; None in a run whose summaries were not measured, as those of another run that it borrows."""
    folder = Path(run) / "quality"
    return load_quality(folder) if folder.exists() else None
