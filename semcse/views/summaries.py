"""Notebook 02: the summaries. All pictures are of the sample that the notebook has measured."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from semcse import figures
from semcse.quality import ACCEPTED, Quality, examples, load_quality
from semcse.views.registry import Run, picture


@picture("summaries")
def summary_lengths(run: Run) -> Figure:
    """Words per summary after each prompt."""
    return figures.summary_lengths(_quality(run).summaries)


@picture("summaries")
def summary_overlap(run: Run) -> Figure:
    """Share of each summary's word pairs that stand in its abstract."""
    return figures.summary_overlap(_quality(run).summaries)


@picture("summaries")
def summary_precision(run: Run) -> Figure:
    """Share of longer and longer n-grams that stand in the abstract."""
    return figures.summary_precision(_quality(run).summaries)


@picture("summaries")
def summary_variety(run: Run) -> Figure:
    """How different the summaries of one paper are, in words and in meaning."""
    return figures.summary_variety(_quality(run).variety)


@picture("summaries")
def summary_similarity(run: Run) -> Figure | None:
    """How near the summaries are to their abstract in meaning; None where no encoder was asked."""
    summaries = _quality(run).summaries
    return figures.summary_similarity(summaries) if "similarity" in summaries else None


@picture("summaries")
def summary_copying(run: Run) -> Figure | None:
    """Meaning against copying, the notebook's examples marked; None where no encoder was asked."""
    summaries = _quality(run).summaries
    return figures.summary_copying(summaries, examples(summaries)) if "similarity" in summaries else None


@picture("summaries")
def summary_rejects(run: Run) -> Figure | None:
    """Reject reasons after each prompt; None when nothing was rejected."""
    outcomes = _quality(run).outcomes
    return figures.summary_rejects(outcomes) if (outcomes["outcome"] != ACCEPTED).any() else None


def _quality(run: Run) -> Quality:
    return load_quality(Path(run) / "quality")
