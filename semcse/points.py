"""Sets of vectors as points whose Euclidean distances order like the metric, and exact distances between them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Metric = Literal["euclidean", "cosine"]
Vectors = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

BLOCK = 2048
PAIRS_AT_ONCE = 4096
TIE = 1e-12  # squared distances closer than this, relatively, are equal: float64 cannot tell them apart


@dataclass(frozen=True)
class Space:
    """One set of vectors as points whose Euclidean distances order like the metric: cosine means unit length."""

    vectors: Vectors
    metric: Metric
    side: int
    centre: Doubles
    scale: float

    def __len__(self) -> int:
        return len(self.vectors)

    def points(self, rows: slice | Indices) -> Doubles:
        """The points in float64, not centred."""
        raw = np.asarray(self.vectors[rows], dtype=np.float64)
        return raw if self.metric == "euclidean" else _on_sphere(raw, self.side)

    def centred(self, rows: slice) -> Doubles:
        """The points moved to the middle of the candidates and scaled to at most one."""
        return (self.points(rows) - self.centre) / self.scale


def _on_sphere(raw: Doubles, side: int) -> Doubles:
    """Unit rows with two more columns, in which zero rows point: elsewhere than all others, and for each side apart."""
    largest = np.abs(raw).max(axis=1, initial=0.0)
    zero = largest == 0
    scaled = raw / np.where(zero, 1.0, largest)[:, None]
    points = np.zeros((len(raw), raw.shape[1] + 2))
    points[:, :-2] = scaled / np.where(zero, 1.0, np.linalg.norm(scaled, axis=1))[:, None]
    points[zero, raw.shape[1] + side] = 1.0
    return points


def spaces(queries: Vectors, candidates: Vectors, metric: Metric) -> tuple[Space, Space]:
    if metric not in ("euclidean", "cosine"):
        raise ValueError(f"unknown metric {metric!r}: expected 'euclidean' or 'cosine'")
    queries, candidates = _as_matrix("queries", queries), _as_matrix("candidates", candidates)
    if queries.shape[1] != candidates.shape[1]:
        raise ValueError(f"queries have {queries.shape[1]} dimensions, candidates {candidates.shape[1]}")
    nothing = np.zeros(1)
    ours = Space(queries, metric, 0, nothing, 1.0)
    theirs = Space(candidates, metric, 1, nothing, 1.0)
    _, longest = _survey("queries", ours)
    centre, longest_candidate = _survey("candidates", theirs)
    scale = max(longest, longest_candidate) + float(np.linalg.norm(centre))
    scale = scale if scale > 0 else 1.0
    return replace(ours, centre=centre, scale=scale), replace(theirs, centre=centre, scale=scale)


def _as_matrix(name: str, vectors: Any) -> Vectors:
    matrix: Vectors = vectors.detach().cpu().float().numpy() if hasattr(vectors, "detach") else np.asanyarray(vectors)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"{name}: expected vectors of shape (N, D) with N, D > 0, got {matrix.shape}")
    if matrix.dtype.kind not in "fiu":
        raise ValueError(f"{name}: expected numbers, got {matrix.dtype}")
    return matrix


def _survey(name: str, space: Space) -> tuple[Doubles, float]:
    """Mean point and greatest length, after a check that every row is finite."""
    total, longest = np.zeros(1), 0.0
    for rows in slices(len(space), BLOCK):
        raw = np.asarray(space.vectors[rows], dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            bad = np.flatnonzero(~np.isfinite(np.einsum("ij,ij->i", raw, raw)))
        if len(bad):
            raise ValueError(f"row {rows.start + bad[0]} of the {name} holds NaN, infinite or overflowing values")
        points = raw if space.metric == "euclidean" else _on_sphere(raw, space.side)
        total = total + points.sum(axis=0)
        longest = max(longest, float(np.linalg.norm(points, axis=1).max()))
    return total / len(space), longest


def slices(count: int, size: int) -> Iterator[slice]:
    if size < 1:
        raise ValueError(f"expected a block of at least one row, got {size}")
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def pair_distances(ours: Space, theirs: Space, rows: Indices, columns: Indices) -> Doubles:
    """Squared distances (P,) of the pairs, from differences in float64."""
    distances = np.empty(len(rows))
    for part in slices(len(rows), PAIRS_AT_ONCE):
        difference = ours.points(rows[part]) - theirs.points(columns[part])
        distances[part] = np.einsum("ij,ij->i", difference, difference)
    return distances


def tolerance(squares: Doubles, metric: Metric) -> Doubles:
    """How far two equal squared distances can lie apart; unit vectors carry the rounding of their division."""
    relative: Doubles = TIE * squares
    return relative + 1e-14 * np.sqrt(squares) + 1e-28 if metric == "cosine" else relative
