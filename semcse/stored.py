"""What notebooks 03 and 04 stored about models, for the notebooks and figures that follow; no model is loaded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from semcse.files import atomic_path, write_atomic
from semcse.papers import read_table
from semcse.queries import load_queries
from semcse.readers import DataError, read_object
from semcse.records import slug
from semcse.splits import Splits, load_splits

Run = str | os.PathLike[str]
Embeddings = npt.NDArray[np.float32]
HEADLINE = {
    "title_abstract": "mean_rank",
    "abstract_segments": "mean_rank",
    "query_matching": "mean_rank",
    "clustering": "purity",
}
"""The score of each task that Table 1 shows."""


def trained_models(run: Run) -> list[dict[str, Any]]:
    """What notebook 03 recorded for each model of the run: name, folder, base, base_path, pooling, metric.

    Models that the run's parameters no longer name are passed over.
    """
    run = Path(run)
    again = "Delete it and run the same command again: notebook 03 writes it anew, and trains nothing."
    found = [read_object(path, again) for path in sorted((run / "done").glob("training-*.json"))]
    if not found:
        raise DataError(f"{run}: no trained model. Run notebook 03 (semcse run SPEC --only 03) first.")
    if (run / "params.yaml").is_file():
        from semcse.params import read

        wanted = list(read(run).trainings())
        found = sorted((m for m in found if m["name"] in wanted), key=lambda model: wanted.index(model["name"]))
    return found


def write_summaries(run: Run, summaries: pd.DataFrame) -> Path:
    """Write `summaries.parquet`, the accepted summaries as training sees them."""
    path = Path(run) / "summaries.parquet"
    with atomic_path(path) as temporary:
        summaries.to_parquet(temporary)
    return path


def stored_summaries(run: Run) -> pd.DataFrame:
    """The summaries of training and validation papers: corpus_id, prompt, draw, text and more, one row each."""
    path = Path(run) / "summaries.parquet"
    if not path.is_file():
        raise DataError(f"{run}: no summaries. Run notebook 02 (semcse run SPEC --only 02) first.")
    summaries: pd.DataFrame = read_table(path, "Write it anew: semcse run SPEC --only 02.").to_pandas()
    return summaries


def stored_queries(run: Run) -> dict[Any, str]:
    """The benchmark's queries by corpus_id; empty where notebook 02 was told to write none."""
    path = Path(run) / "done" / "summaries.json"
    if not path.is_file():
        raise DataError(f"{run}: no summaries. Run notebook 02 (semcse run SPEC --only 02) first.")
    done = read_object(path, "Write it anew: semcse run SPEC --only 02.")
    return load_queries(Path(run) / "queries") if done["queries"] else {}


def write_index(run: Run, shown: Iterable[str], models: Iterable[str], missing: Iterable[str] = ()) -> Path:
    """Record which models were measured, which of them notebooks 06 and 07 show, and which could not be had."""
    index = {"shown": list(shown), "models": list(models), "missing": list(missing)}
    return write_atomic(Path(run) / "embeddings" / "index.json", json.dumps(index, indent=2) + "\n")


def stored_models(run: Run) -> list[str]:
    """The models that notebooks 06 and 07 show: the base before, the trained models after training."""
    return _index(run)["shown"]


def measured_models(run: Run) -> list[str]:
    """All models that notebook 04 measured, in its order."""
    return _index(run)["models"]


def missing_models(run: Run) -> list[str]:
    """Models that were asked for and could not be had."""
    return _index(run)["missing"]


def space_papers(splits: Splits) -> list[dict[str, Any]]:
    """The papers whose space notebooks 06 and 07 look at: the clustering papers, training part first.

    A run without clustering papers shows its benchmark papers.
    """
    return [*splits.clustering_train, *splits.clustering_test] or list(splits.benchmark)


def shown_papers(run: Run, most: int | None = None, seed: int = 0) -> pd.DataFrame:
    """`space_papers` with corpus_id, title, field, or a random `most` of them; the index is the place in the arrays."""
    papers = pd.DataFrame(space_papers(load_splits(Path(run) / "papers")))[["corpus_id", "title", "field"]]
    return papers if most is None or most >= len(papers) else papers.sample(most, random_state=seed).sort_index()


def space_embeddings(run: Run, model: str) -> Embeddings:
    """Embeddings (N, D) of title and abstract of `space_papers`, in their order."""
    return _stored(run, model, "space")


def alignment_pairs(run: Run, model: str) -> tuple[Embeddings, Embeddings]:
    """Embeddings (N, D) of the benchmark papers' titles and of their abstracts."""
    return _stored(run, model, "titles"), _stored(run, model, "abstracts")


def _index(run: Run) -> dict[str, list[str]]:
    path = Path(run) / "embeddings" / "index.json"
    if not path.is_file():
        raise DataError(f"{run}: no embeddings. Run notebook 04 (semcse run SPEC --only 04) first.")
    return read_object(path, "Write it anew: semcse run SPEC --only 04.")


def _stored(run: Run, model: str, name: str) -> Embeddings:
    path = array_path(run, model, name)
    try:
        vectors: Embeddings = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"{path}: damaged ({error}). Write it anew: semcse run SPEC --only 04.") from error
    return vectors


def array_path(run: Run, model: str, name: str) -> Path:
    """Where an array of embeddings of a model lies."""
    return Path(run) / "embeddings" / slug(model) / f"{name}.npy"
