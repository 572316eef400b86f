"""The labelled rows and judgements of a task, joined with the embeddings, and what that join dropped."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semcse.scirepeval.data import DataSource, Spec

Array = NDArray[Any]


class Embeddings(Mapping[str, Array]):
    """Document ids and their vectors (N, D) as one matrix: a mapping that needs no copy to be used as a matrix.

    Raises ValueError for a wrong shape, repeated ids, or values that are not finite (naming the first document).
    """

    def __init__(self, ids: Sequence[str], matrix: Array) -> None:
        self.matrix = np.asarray(matrix)
        self.ids = list(ids)
        self.index = {name: row for row, name in enumerate(self.ids)}
        if self.matrix.ndim != 2 or len(self.matrix) != len(self.ids):
            raise ValueError(f"expected one vector for each of {len(self.ids)} ids, got shape {self.matrix.shape}")
        if len(self.index) != len(self.ids):
            raise ValueError("document ids must be unique")
        for start in range(0, len(self.ids), 65536):
            bad = ~np.isfinite(self.matrix[start : start + 65536]).all(axis=1)
            if bad.any():
                raise ValueError(f"the embedding of {self.ids[start + int(bad.argmax())]!r} is not finite")

    def __getitem__(self, name: str) -> Array:
        return np.asarray(self.matrix[self.index[name]])

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Row numbers of documents that are all there."""
        return np.fromiter((self.index[name] for name in names), dtype=np.int64, count=len(names))

    def halved(self) -> "Embeddings":
        """The vectors in half precision, as the original tool has them after loading its cache."""
        return Embeddings(self.ids, self.matrix.astype(np.float16))

    @classmethod
    def of(cls, vectors: Mapping[str, Array], wanted: Iterable[str]) -> "Embeddings":
        """The wanted documents that `vectors` has; `vectors` itself where it is a matrix already."""
        if isinstance(vectors, cls):
            return vectors
        ids = [name for name in dict.fromkeys(wanted) if name in vectors]
        shapes = {np.shape(vectors[name]) for name in ids}
        if len(shapes) > 1:
            raise ValueError(f"all embeddings need the same length, got shapes {sorted(shapes)}")
        return cls(ids, np.stack([vectors[name] for name in ids]) if ids else np.empty((0, 0)))


def labelled(source: DataSource, spec: Spec, split: str, kind: str) -> tuple[list[str], Array]:
    """Paper ids and labels of a supervised split. `kind`: class (N,) integers, multi (N, L) 0/1, value (N,) floats."""
    ids, labels = [], []
    for number, row in enumerate(source.rows(spec, split), start=1):
        if row.get("paper_id") is None or row.get("label") is None:
            raise ValueError(f"row {number} of split {split!r}: expected paper_id and label, got {sorted(row)}")
        ids.append(str(row["paper_id"]))
        try:
            labels.append(_label(row["label"], kind))
        except (TypeError, ValueError) as error:
            raise ValueError(f"row {number} of split {split!r} ({kind} label): {error}") from error
    if not ids:
        raise ValueError(f"split {split!r} of {spec} has no rows")
    return ids, np.array(labels, dtype=np.float64 if kind == "value" else np.int64)


def judgements(source: DataSource, spec: Spec, split: str) -> dict[str, dict[str, int]]:
    """Query id to candidate id to graded relevance; of a repeated pair the first row counts."""
    judged: dict[str, dict[str, int]] = {}
    for number, row in enumerate(source.rows(spec, split), start=1):
        try:
            query, candidate, score = str(row["query_id"]), str(row["cand_id"]), _integer(row["score"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"row {number} of split {split!r}: expected query_id, cand_id and an integer score, got {row}"
            ) from error
        judged.setdefault(query, {}).setdefault(candidate, score)
    if not judged:
        raise ValueError(f"split {split!r} of {spec} has no judgements")
    return judged


def reviewers(source: DataSource, spec: Spec) -> dict[str, list[str]]:
    """Reviewer id to the ids of the reviewer's papers."""
    return {
        str(row["r_id"]): [str(paper) for paper in _sequence(row["papers"])] for row in source.rows(spec, "metadata")
    }


def present(names: Sequence[str], embeddings: Embeddings, what: str, counts: Counter[str], strict: bool) -> Array:
    """Mask (N,) of the names that have an embedding; the others are counted, or refused where `strict`.

    Raises ValueError when none has one.
    """
    mask = np.fromiter((name in embeddings.index for name in names), dtype=bool, count=len(names))
    gone = [name for name, there in zip(names, mask, strict=True) if not there]
    counts[what] += len(names)
    counts[f"{what}_without_embedding"] += len(gone)
    if names and len(gone) == len(names):
        raise ValueError(f"none of the {len(names)} {what} has an embedding (first: {gone[0]!r}); do the ids match?")
    if gone and strict:
        raise ValueError(f"{len(gone)} of {len(names)} {what} have no embedding, among them {gone[:5]}")
    return mask


def _label(value: Any, kind: str) -> Any:
    if kind == "value":
        return float(value)
    if kind == "class":
        return _integer(value)
    found = [_integer(part) for part in _sequence(value)]
    if not set(found) <= {0, 1}:
        raise ValueError(f"expected a list of 0 and 1, got {value!r}")
    return found


def _integer(value: Any) -> int:
    number = float(value)
    if number != int(number):
        raise ValueError(f"expected an integer, got {value!r}")
    return int(number)


def _sequence(value: Any) -> list[Any]:
    """A list as stored, or its text in a CSV cell: "[0, 1]" or "[0 1]"."""
    if not isinstance(value, str):
        return list(value)
    text = value.strip()
    if not (text.startswith("[") and text.endswith("]")):
        raise ValueError(f"expected a list, got {value!r}")
    return list(json.loads(text)) if "," in text or '"' in text else text[1:-1].split()
