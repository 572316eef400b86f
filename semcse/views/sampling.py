"""Notebook 01: the papers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from semcse.figures import corpus
from semcse.splits import load_splits
from semcse.views.registry import Run, picture


@picture("sampling")
def paper_counts(run: Run) -> Figure:
    """Papers per source and field."""
    return corpus.paper_counts(_papers(run))


@picture("sampling")
def abstract_lengths(run: Run) -> Figure:
    """Histogram of words per abstract."""
    return corpus.abstract_lengths(_papers(run))


def _papers(run: Run) -> pd.DataFrame:
    sets = load_splits(Path(run) / "papers").sets()
    papers: pd.DataFrame = pd.concat([papers.to_pandas() for papers in sets.values()], ignore_index=True)
    return papers.assign(words=[len(text.split()) for text in papers["abstract"]])
