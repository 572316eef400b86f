"""Notebook 02: the summaries."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from semcse.figures import corpus
from semcse.quality import summary_measures
from semcse.splits import load_splits
from semcse.summaries import load_summaries
from semcse.views.registry import Run, picture


@picture("summaries")
def summary_lengths(run: Run) -> Figure:
    """Words per summary after each prompt."""
    return corpus.summary_lengths(_summaries(run))


@picture("summaries")
def summary_overlap(run: Run) -> Figure:
    """Share of each summary that stands in its abstract."""
    return corpus.summary_overlap(_summaries(run))


def _summaries(run: Run) -> pd.DataFrame:
    splits = load_splits(Path(run) / "papers")
    papers = [*splits.training, *splits.validation]
    return summary_measures(load_summaries(Path(run) / "summaries"), papers)
