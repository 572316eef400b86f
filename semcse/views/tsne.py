"""Notebook 06: the clustering papers on a plane (Figure 1)."""

from __future__ import annotations

from matplotlib.figure import Figure

from semcse.figures import space
from semcse.records import read_points
from semcse.stored import stored_models
from semcse.views.registry import Run, picture


@picture("tsne")
def tsne(run: Run) -> Figure:
    """The clustering papers on a plane, a panel a model, coloured by field (Figure 1)."""
    points = {name: read_points(run, name) for name in stored_models(run)}
    fields = next(iter(points.values()))["field"].tolist()
    return space.tsne_panels({name: plane[["x", "y"]].to_numpy() for name, plane in points.items()}, fields)
