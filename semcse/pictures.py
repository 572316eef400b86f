"""The pictures of a run, each drawn from what its stages stored and saved under `figures/`; no model is needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from semcse import figures
from semcse.splits import load_splits

Run = str | os.PathLike[str]
Picture = Callable[[Run], Figure]
PICTURES: dict[str, list[Picture]] = {}
"""The pictures of each stage, in the order of definition."""
MATCHING = {
    "title_abstract": "Title – abstract",
    "abstract_segments": "Abstract segments",
    "query_matching": "Query",
}


def picture(stage: str) -> Callable[[Picture], Picture]:
    """Register a picture with its stage and save it as `figures/<function's name>` whenever it is drawn."""

    def register(draw: Picture) -> Picture:
        @wraps(draw)
        def drawn(run: Run) -> Figure:
            figure = draw(run)
            figures.save(figure, Path(run) / "figures", draw.__name__)
            return figure

        PICTURES.setdefault(stage, []).append(drawn)
        return drawn

    return register


@picture("sampling")
def paper_counts(run: Run) -> Figure:
    """Papers per source and field."""
    return figures.paper_counts(_papers(run))


@picture("sampling")
def abstract_lengths(run: Run) -> Figure:
    """Histogram of words per abstract."""
    return figures.abstract_lengths(_papers(run))


def _papers(run: Run) -> pd.DataFrame:
    sets = load_splits(Path(run) / "papers").sets()
    papers: pd.DataFrame = pd.concat([papers.to_pandas() for papers in sets.values()], ignore_index=True)
    return papers.assign(words=papers["abstract"].str.split().str.len())
