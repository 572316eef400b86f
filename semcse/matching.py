"""Exact ranks and nearest neighbours between two sets of vectors, block by block in constant memory.

A block of distances is screened by one matrix product in float32. Whatever the rounding of that product
(bounded by its worst case) leaves undecided is computed again from the differences in float64, so the result is
that of a full float64 distance matrix, whatever the norms, the offset, the duplicates and the block size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm.auto import tqdm

from semcse.display import bar_options
from semcse.points import BLOCK, Doubles, Indices, Metric, Space, Vectors, pair_distances, slices, spaces, tolerance

__all__ = ["Metric", "label_codes", "match_ranks", "nearest", "neighbour_purity"]

DENSE = 0.01  # share of undecided pairs above which a block is screened again in float64


def match_ranks(
    queries: Vectors,
    candidates: Vectors,
    metric: Metric = "euclidean",
    exclude: npt.ArrayLike | Sequence[Sequence[int]] | None = None,
    *,
    block: int = BLOCK,
) -> Doubles:
    """Rank (N,) at which each query (N, D) meets its match, candidate i for query i (sections 5.1 and 5.2).

    Ranks start at 1; candidates at the distance of the match share their mean rank, so that a collapsed model
    scores (M + 1) / 2. There may be more candidates (M, D) than queries. `exclude` names candidates that do not
    compete: per query one index or a row of indices, -1 for none, or a boolean mask (N, M); the match itself
    always stays. A zero vector is at cosine 0 from everything.

    Raises ValueError for NaN or infinite vectors (naming the row), wrong shapes and unknown metrics.
    """
    ours, theirs = spaces(queries, candidates, metric)
    if len(theirs) < len(ours):
        raise ValueError(f"candidate i is the match of query i, but {len(ours)} queries meet {len(theirs)} candidates")
    diagonal = np.arange(len(ours))
    barred = barred_pairs(exclude, len(ours), len(theirs), diagonal)
    own = pair_distances(ours, theirs, diagonal, diagonal)
    closer, equal = np.zeros(len(ours), dtype=np.int64), np.zeros(len(ours), dtype=np.int64)
    for tile in _tiles(ours, theirs, block, "ranks"):
        less, rows, columns = tile.compare(own, barred)
        closer[tile.rows] += less
        difference = pair_distances(ours, theirs, rows, columns) - own[rows]
        tied = np.abs(difference) <= tolerance(own[rows], metric)
        closer += np.bincount(rows[~tied & (difference < 0)], minlength=len(ours))
        equal += np.bincount(rows[tied], minlength=len(ours))
    ranks: Doubles = 1.0 + closer + equal / 2
    return ranks


def nearest(
    queries: Vectors,
    candidates: Vectors,
    k: int = 5,
    metric: Metric = "euclidean",
    exclude: npt.ArrayLike | Sequence[Sequence[int]] | None = None,
    *,
    block: int = BLOCK,
) -> tuple[Indices, Doubles]:
    """Indices (N, k) and distances (N, k) of the k nearest candidates (M, D) of each query (N, D), nearest first.

    Distances are Euclidean or 1 - cosine. Of equally distant candidates the one with the lower index comes first.
    `exclude` as in `match_ranks`; `exclude=range(N)` asks for the neighbours of a set within itself.
    Raises ValueError where a query has fewer than k candidates, and as `match_ranks` does.
    """
    ours, theirs = spaces(queries, candidates, metric)
    barred = barred_pairs(exclude, len(ours), len(theirs))
    most_barred(barred, len(theirs), k)
    found = np.full((len(ours), k), -1, dtype=np.int64)
    squares = np.full((len(ours), k), np.inf)
    for tile in _tiles(ours, theirs, block, "neighbours"):
        rows, columns = tile.within(squares[:, -1], barred, k)
        exact = pair_distances(ours, theirs, rows, columns)
        _merge(found, squares, tile.rows, rows, columns, exact)
    return found, squares / 2 if metric == "cosine" else np.sqrt(squares)


def neighbour_purity(
    train: Vectors,
    train_labels: Sequence[Any],
    test: Vectors,
    test_labels: Sequence[Any],
    k: int = 5,
    metric: Metric = "euclidean",
    *,
    block: int = BLOCK,
) -> float:
    """Share of the k nearest training papers that have the label of the test paper (clustering of section 5.2).

    Of equally distant training papers the first counts. Raises ValueError for missing labels, and as `nearest` does.
    """
    train_codes, test_codes = label_codes(train_labels, test_labels, len(train), len(test))
    neighbours, _ = nearest(test, train, k, metric, block=block)
    return float(np.mean(train_codes[neighbours] == test_codes[:, None]))


def label_codes(
    train_labels: Sequence[Any], test_labels: Sequence[Any], trained: int, tested: int
) -> tuple[Indices, Indices]:
    """Labels of both sets as integers, equal where the labels are; ValueError for a missing label or a wrong count."""
    for name, labels, expected in (("train", train_labels, trained), ("test", test_labels, tested)):
        if len(labels) != expected:
            raise ValueError(f"{expected} {name} vectors need as many labels, got {len(labels)}")
        missing = np.flatnonzero(pd.isna(pd.Series(list(labels), dtype=object)))
        if len(missing):
            raise ValueError(f"row {missing[0]} of the {name} labels is missing ({len(missing)} in all): leave it out")
    codes, _ = pd.factorize(pd.Series([*train_labels, *test_labels], dtype=object))
    codes = np.asarray(codes, dtype=np.int64)
    return codes[:trained], codes[trained:]


def barred_pairs(exclude: Any, queries: int, candidates: int, keep: Indices | None = None) -> tuple[Indices, Indices]:
    """Pairs (query, candidate) that do not compete, sorted by query; with `keep`, each query's own match is one."""
    rows, columns = _listed(exclude, queries, candidates)
    if keep is not None:
        rows, columns = np.concatenate([rows, keep]), np.concatenate([columns, keep])
    pairs = np.unique(np.stack([rows, columns], axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]


def most_barred(barred: tuple[Indices, Indices], candidates: int, k: int) -> int:
    """Most candidates that any query leaves out; ValueError where that leaves it fewer than k."""
    most = int(np.bincount(barred[0]).max(initial=0))
    if not 1 <= k <= candidates - most:
        raise ValueError(f"expected k between 1 and the {candidates - most} candidates of a query, got {k}")
    return most


def _listed(exclude: Any, queries: int, candidates: int) -> tuple[Indices, Indices]:
    if exclude is None:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    if len(exclude) != queries:
        raise ValueError(f"exclude: expected one entry for each of the {queries} queries, got {len(exclude)}")
    if isinstance(exclude, np.ndarray) and exclude.dtype == bool:
        if exclude.shape != (queries, candidates):
            raise ValueError(f"exclude: expected a mask of shape {(queries, candidates)}, got {exclude.shape}")
        masked, columns = np.nonzero(exclude)
        return masked.astype(np.int64), columns.astype(np.int64)
    lists = [np.atleast_1d(np.asarray(entry, dtype=np.int64)) for entry in exclude]
    rows = np.repeat(np.arange(queries), [len(entry) for entry in lists])
    columns = np.concatenate(lists)
    wrong = np.flatnonzero((columns < -1) | (columns >= candidates))
    if len(wrong):
        raise ValueError(f"exclude: query {rows[wrong[0]]} names candidate {columns[wrong[0]]} of {candidates}")
    return rows[columns >= 0], columns[columns >= 0]


@dataclass(frozen=True)
class _Tile:
    """The scores |c|^2 - 2 q.c of some queries and candidates: squared distances less what each query has in common."""

    ours: Space
    theirs: Space
    rows: slice
    columns: slice
    left: Doubles
    right: Doubles

    def compare(self, own: Doubles, barred: tuple[Indices, Indices]) -> tuple[Indices, Indices, Indices]:
        """Per query the number of candidates surely closer than `own` (N,), then the undecided pairs."""
        for dtype in (np.float32, np.float64):
            scores = self._scores(dtype, barred)
            threshold, slack = self._threshold(own[self.rows], dtype)
            surely = scores < (threshold - slack).astype(dtype)[:, None]
            possibly = scores <= (threshold + slack).astype(dtype)[:, None]
            possibly ^= surely
            if np.count_nonzero(possibly) <= DENSE * possibly.size:
                break
        return np.count_nonzero(surely, axis=1), *self._pairs(possibly)

    def within(self, limits: Doubles, barred: tuple[Indices, Indices], k: int) -> tuple[Indices, Indices]:
        """Pairs that can be among the k nearest, where `limits` (N,) are the k-th smallest squares known so far."""
        for dtype in (np.float32, np.float64):
            scores = self._scores(dtype, barred)
            threshold, slack = self._threshold(limits[self.rows], dtype)
            if scores.shape[1] > k and not np.isfinite(threshold).all():
                smallest = np.partition(scores, k - 1, axis=1)[:, k - 1].astype(np.float64)
                threshold = np.minimum(threshold, smallest + slack)
            limit = np.minimum(threshold + slack, np.finfo(dtype).max).astype(dtype)
            possibly = scores <= limit[:, None]
            if np.count_nonzero(possibly) <= max(DENSE * possibly.size, 4 * k * len(scores)):
                break
        return self._pairs(possibly)

    def _pairs(self, chosen: npt.NDArray[np.bool_]) -> tuple[Indices, Indices]:
        rows, columns = np.divmod(np.flatnonzero(chosen), chosen.shape[1])
        return rows + self.rows.start, columns + self.columns.start

    def _scores(self, dtype: type[np.floating[Any]], barred: tuple[Indices, Indices]) -> Vectors:
        scores: Vectors = (-2.0 * self.left).astype(dtype) @ self.right.astype(dtype).T
        scores += np.einsum("ij,ij->i", self.right, self.right).astype(dtype)
        first, last = np.searchsorted(barred[0], [self.rows.start, self.rows.stop])
        rows, columns = barred[0][first:last], barred[1][first:last]
        here = (columns >= self.columns.start) & (columns < self.columns.stop)
        scores[rows[here] - self.rows.start, columns[here] - self.columns.start] = np.inf
        return scores

    def _threshold(self, squares: Doubles, dtype: type[np.floating[Any]]) -> tuple[Doubles, Doubles]:
        """Squared distances as scores, and how far a computed score can be from the true one (worst case)."""
        lengths = np.linalg.norm(self.left, axis=1)
        longest = float(np.linalg.norm(self.right, axis=1).max())
        threshold = squares / self.ours.scale**2 - lengths**2
        unit, size = float(np.finfo(dtype).eps), self.left.shape[1]
        reach = lengths + longest
        slack = (size + 16) * unit * (2 * lengths * longest + longest**2)
        moved = 8 * np.finfo(np.float64).eps * (float(np.linalg.norm(self.ours.centre)) / self.ours.scale + reach)
        slack += 4 * reach * moved + moved**2 + size * float(np.finfo(dtype).tiny)
        finite = np.where(np.isfinite(squares), squares, 0.0)
        slack += tolerance(finite, self.ours.metric) / self.ours.scale**2
        return threshold, slack + 4 * unit * np.where(np.isfinite(threshold), np.abs(threshold), 0.0)


def _tiles(ours: Space, theirs: Space, block: int, what: str) -> Iterator[_Tile]:
    """All pairs of the two sets in tiles of at most `block` by `block`."""
    steps = list(slices(len(theirs), block))
    for columns in tqdm(steps, desc=what, **bar_options(len(steps) > 64)):
        right = theirs.centred(columns)
        for rows in slices(len(ours), block):
            yield _Tile(ours, theirs, rows, columns, ours.centred(rows), right)


def _merge(found: Indices, squares: Doubles, tile: slice, rows: Indices, columns: Indices, exact: Doubles) -> None:
    """Put the pairs (P,) among the k best of the tile's queries, in place."""
    k = found.shape[1]
    known = np.repeat(np.arange(tile.start, tile.stop), k)
    owner = np.concatenate([known, rows])
    index = np.concatenate([found[tile].ravel(), columns])
    square = np.concatenate([squares[tile].ravel(), exact])
    order = np.lexsort((index, square, owner))
    owner, index, square = owner[order], index[order], square[order]
    place = np.arange(len(owner)) - np.searchsorted(owner, owner)
    best = place < k
    found[tile], squares[tile] = index[best].reshape(-1, k), square[best].reshape(-1, k)
