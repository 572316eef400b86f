"""Notebook 07: the shape of the embedding space (Figure 2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from semcse.figures import space
from semcse.records import read_records
from semcse.stored import measured_models
from semcse.tables import Table, write_table
from semcse.views.registry import Run, picture, table

BETTER = ("title_abstract", "clustering")
"""The scores that the stored arrays suffice for."""


@picture("pca")
def explained_variance(run: Run) -> Figure:
    """Share of variance of each principal component (Figure 2)."""
    records = _geometry(run)
    return space.explained_variance_curves(
        {name: np.array(scores["explained_variance"]) for name, scores in records.items()}
    )


@picture("pca")
def alignment_uniformity(run: Run) -> Figure:
    """Alignment against uniformity of every model measured."""
    columns = ["alignment", "uniformity"]
    return space.alignment_uniformity(pd.DataFrame.from_dict(_geometry(run), orient="index")[columns])


@table("pca")
def geometry_table(run: Run) -> Table:
    """Measures of the embedding space of every model measured."""
    frame = pd.DataFrame.from_dict(_geometry(run), orient="index").drop(columns="explained_variance")
    decimals = {str(column): 0 if column == "dimensions" else 3 for column in frame}
    return write_table(frame.rename_axis("model"), Path(run) / "tables", "geometry", decimals=decimals)


@table("pca")
def map_effects(run: Run) -> Table | None:
    """Title-abstract and clustering after centring, removal of top components, and whitening; None if not measured."""
    parts = [
        pd.DataFrame.from_dict(record["scores"], orient="index").assign(model=record["model"])
        for record in read_records(run, "maps")
    ]
    if not parts:
        return None
    frame = pd.concat(parts).rename_axis("map").reset_index().set_index("model")
    order = [name for name in measured_models(run) if name in frame.index]
    columns = [column for column in BETTER if column in frame]
    return write_table(
        frame.loc[order, ["map", *columns]].rename_axis("model"),
        Path(run) / "tables",
        "map_effects",
        decimals={"title_abstract": 2, "clustering": 3},
        caption="The benchmark after linear maps of the embeddings",
        notes=["Maps are fitted on the clustering task's training papers, not on those that are asked about."],
    )


def _geometry(run: Run) -> dict[str, dict[str, Any]]:
    records = {record["model"]: record["scores"] for record in read_records(run, "geometry")}
    return {name: records[name] for name in measured_models(run) if name in records}
