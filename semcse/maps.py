"""What whitening and the removal of leading components do to the benchmark, from stored embeddings (B.2 and beyond)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from semcse.geometry import map_effects
from semcse.matching import Metric, label_codes, match_ranks
from semcse.neighbours import Index, find_neighbours
from semcse.records import read_records
from semcse.splits import load_splits
from semcse.stored import Run, alignment_pairs, space_embeddings

Floats = NDArray[np.floating]
MOST_DIMENSIONS = 4096
"""Above this a covariance matrix is too large, and most dimensions are single words."""


def effects(run: Run, model: str, metric: Metric, k: int = 5, seed: int = 0) -> pd.DataFrame:
    """Title-abstract mean rank and neighbour purity after each map, a row a map; from what notebook 04 stored.

    Neighbours are searched as notebook 04 did.

    Maps are fitted on the training part of the clustering papers, which no task asks about, or, in a run without
    them, on the titles and abstracts themselves (then the map has seen the test). Empty for more than 4,096 dimensions.
    """
    space = np.asarray(space_embeddings(run, model))
    if space.shape[1] > MOST_DIMENSIONS:
        return pd.DataFrame()
    splits = load_splits(Path(run) / "papers")
    titles, abstracts = alignment_pairs(run, model)
    train = len(splits.clustering_train)
    known, asked = splits.clustering_train["field"], splits.clustering_test["field"]
    codes, wanted = label_codes(list(known), list(asked), train, len(asked))
    index = _own_index(run, model)

    def evaluate(linear_map: Callable[[Floats], Floats]) -> Mapping[str, float]:
        scores: dict[str, Any] = {}
        if len(titles) > 1:
            scores["title_abstract"] = float(match_ranks(linear_map(titles), linear_map(abstracts), metric).mean())
        if train:
            near, far = linear_map(space[:train]), linear_map(space[train:])
            found = find_neighbours(far, near, k, metric, index=index, seed=seed)
            scores["clustering"] = float(np.mean(codes[found.indices] == wanted[:, None]))
        return scores

    fit_on = space[:train] if train else np.concatenate([titles, abstracts])
    return map_effects(fit_on, evaluate, whitened=_sizes(fit_on))


def own_metrics(run: Run) -> dict[str, Metric]:
    """The metric under which each measured model is compared."""
    return {record["model"]: record["scores"]["metric"] for record in read_records(run) if "metric" in record["scores"]}


def _own_index(run: Run, model: str) -> Index:
    """The index by which notebook 04 searched this model's neighbours; exact where the record does not say."""
    records = [record for record in read_records(run, "clustering") if record["model"] == model]
    return records[0]["scores"].get("search", {"index": "exact"})["index"] if records else "exact"


def _sizes(fit_on: Floats) -> tuple[int | None, ...]:
    """Numbers of components to keep in whitening: few enough that the papers determine them."""
    most = min(fit_on.shape[1], len(fit_on) // 2)
    return tuple(size for size in (32, 128) if size <= most) or (max(1, most),)
