"""Notebook 07: the shape of the embedding space (Figure 2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from semcse.figures import space
from semcse.records import read_records
from semcse.stored import stored_models
from semcse.tables import Table, write_table
from semcse.views.registry import Run, picture, table


@picture("pca")
def explained_variance(run: Run) -> Figure:
    """Share of variance of each principal component (Figure 2)."""
    records = _geometry(run)
    return space.explained_variance_curves(
        {name: np.array(scores["explained_variance"]) for name, scores in records.items()}
    )


@picture("pca")
def alignment_uniformity(run: Run) -> Figure:
    """Alignment against uniformity of the base and the trained models."""
    columns = ["alignment", "uniformity"]
    return space.alignment_uniformity(pd.DataFrame.from_dict(_geometry(run), orient="index")[columns])


@table("pca")
def geometry_table(run: Run) -> Table:
    """Measures of the embedding spaces of base and trained models (notebook 07)."""
    records = {record["model"]: record["scores"] for record in read_records(run, "geometry")}
    frame = pd.DataFrame.from_dict(records, orient="index").drop(columns="explained_variance")
    order = [name for name in stored_models(run) if name in frame.index]
    return write_table(frame.loc[order].rename_axis("model"), Path(run) / "tables", "geometry", decimals=3)


def _geometry(run: Run) -> dict[str, dict[str, Any]]:
    records = {record["model"]: record["scores"] for record in read_records(run, "geometry")}
    return {name: records[name] for name in stored_models(run)}
