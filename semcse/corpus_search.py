"""The papers nearest to a question or to another paper, in vectors that `corpus_vectors` wrote; all are compared."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from semcse.corpus_vectors import Made, open_encoder
from semcse.matching import nearest
from semcse.models import Embedder
from semcse.papers import tidy
from semcse.readers import DataError


class CorpusVectors(NamedTuple):
    """Vectors (N, D), memory-mapped, with how they were made and where they lie."""

    vectors: npt.NDArray[np.float32]
    made: Made
    path: Path


def load_vectors(path: str | os.PathLike[str]) -> CorpusVectors:
    """Vectors written by `write_vectors`; DataError where the three files are not there or do not belong together."""
    path = Path(path)
    again = "Write them anew: semcse embed PAPERS --model MODEL -o " + str(path)
    files = [path, path.with_suffix(".json"), path.with_suffix(".parquet")]
    if missing := [file.name for file in files if not file.is_file()]:
        raise DataError(f"{path}: {', '.join(missing)} not found. {again}")
    try:
        made = Made(**json.loads(files[1].read_text(encoding="utf-8")))
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
        rows = pq.read_metadata(files[2]).num_rows
    except (ValueError, TypeError, EOFError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: damaged, or not written by semcse embed ({error}). {again}") from error
    if not (vectors.shape == (made.papers, made.dimensions) and rows == made.papers):
        raise DataError(
            f"{path}: expected {made.papers} vectors of {made.dimensions} values, found shape {vectors.shape} and "
            f"{rows} titles. {again}"
        )
    return CorpusVectors(vectors, made, path)


def nearest_to_question(stored: CorpusVectors, question: str, k: int = 10, *, model: str | None = None) -> pd.DataFrame:
    """The k papers nearest to a text, all compared: columns rank, corpus_id, title and cosine or distance.

    The question is embedded by the model that made the vectors, found by the name it had then, or by `model`. Raises
    ValueError where that is another model now.
    """
    question = tidy(question) or ""
    if not question:
        raise ValueError("the question is empty: give a few words")
    vector = _same_model(stored, model or stored.made.model).encode([question])
    return _table(stored, vector, k, None)


def nearest_to_paper(stored: CorpusVectors, corpus_id: str, k: int = 10, *, model: str | None = None) -> pd.DataFrame:
    """The k papers nearest to one of the corpus, itself left out, as `nearest_to_question`.

    No model is needed; a `model` that is given is checked.
    """
    if model is not None:
        _same_model(stored, model)
    row = _row_of(stored.path.with_suffix(".parquet"), str(corpus_id))
    if row is None:
        raise ValueError(f"no paper {corpus_id!r} in {stored.path.with_suffix('.parquet')}: look there for the ids")
    return _table(stored, stored.vectors[row : row + 1], k, row)


def _same_model(stored: CorpusVectors, model: str) -> Embedder:
    """The model, after a check that it is the one that made the vectors."""
    embedder = open_encoder(model, stored.made.max_length, stored.made.precision)
    if embedder.fingerprint != stored.made.fingerprint:
        raise ValueError(
            f"{stored.path} was made by {stored.made.model} ({stored.made.fingerprint[:12]}), and {model} "
            f"({embedder.fingerprint[:12]}) has other weights, tokens or pooling: distances between them mean nothing. "
            f"Name the model that made them, or embed anew: semcse embed PAPERS --model {model} -o {stored.path}"
        )
    return embedder


def _table(stored: CorpusVectors, vector: npt.NDArray[np.float32], k: int, itself: int | None) -> pd.DataFrame:
    metric, most = stored.made.metric, len(stored.vectors) - (itself is not None)
    if k < 1 or most < 1:
        raise ValueError(f"expected k of at least 1 and a paper to find, got k = {k} and {most} papers")
    exclude = None if itself is None else [[itself]]
    indices, distances = nearest(vector, stored.vectors, min(k, most), metric, exclude)
    found = _titles(stored.path.with_suffix(".parquet"), indices[0])
    found.insert(0, "rank", range(1, len(found) + 1))
    found["cosine" if metric == "cosine" else "distance"] = 1 - distances[0] if metric == "cosine" else distances[0]
    return found


def _titles(path: Path, rows: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Ids and titles of some rows, in their order; only the parts of the file that hold them are read."""
    with pq.ParquetFile(path) as file:
        starts = np.cumsum([0, *(file.metadata.row_group(g).num_rows for g in range(file.num_row_groups))])
        group = np.searchsorted(starts, rows, side="right") - 1
        parts = {g: file.read_row_group(g) for g in np.unique(group).tolist()}
        found = [parts[g].slice(row - starts[g], 1) for g, row in zip(group.tolist(), rows.tolist(), strict=True)]
    return pd.DataFrame(pa.concat_tables(found).to_pydict())


def _row_of(path: Path, corpus_id: str) -> int | None:
    """Where a paper stands; of several with its id the first."""
    start = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["corpus_id"]):
            place = pc.index(batch.column(0).cast(pa.string()), corpus_id).as_py()
            if place >= 0:
                return start + int(place)
            start += len(batch)
    return None
