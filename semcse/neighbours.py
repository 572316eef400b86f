"""Nearest neighbours, exact or by faiss: lists about k-means centres, of which a query looks into the nearest few.

faiss proposes a shortlist in float32; its members are ordered by their exact distances (`points.pair_distances`), so
what is found has the distances, and among equals the order, of the exact search. What can be missed is measured:
the recall against the exact search is part of the answer.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from semcse.matching import barred_pairs, most_barred, nearest
from semcse.points import BLOCK, Doubles, Indices, Metric, Space, Vectors, pair_distances, slices, spaces, tolerance

Index = Literal["exact", "faiss"]
INDEXES = ("exact", "faiss")

RECALL = 0.95
"""A missed neighbour is replaced by the next one, most often of the same field, so scores lose far less than this."""
SAMPLE = 256
"""Queries by which the number of lists is chosen, and as many others by which the recall is measured."""
WIDTH = 2
"""Members of a shortlist for each neighbour wanted."""
TRAINING_POINTS = 39
"""Vectors per centre that k-means sees; faiss asks for at least as many."""
ITERATIONS = 10


class Neighbours(NamedTuple):
    """Indices (N, k) and distances (N, k), nearest first, and how they were found.

    `how` is plain JSON: `index`, and for faiss `lists`, `probes` (lists that a query looks into), `recall` against the
    exact search, and `recall_queries`, the number of queries behind it.
    """

    indices: Indices
    distances: Doubles
    how: dict[str, Any]


def check_index(index: str) -> None:
    """Raise ValueError for an unknown index, and ModuleNotFoundError, with what to install, where faiss is missing."""
    if index not in INDEXES:
        raise ValueError(f"unknown index {index!r}: choose one of {', '.join(INDEXES)}")
    if index == "faiss" and find_spec("faiss") is None:
        raise ModuleNotFoundError(
            "neighbour_index is 'faiss', and the package faiss-cpu is not installed: pip install 'semcse[scale]' "
            "(or pip install faiss-cpu), or set neighbour_index to 'exact'"
        )


def find_neighbours(
    queries: Vectors,
    candidates: Vectors,
    k: int = 5,
    metric: Metric = "euclidean",
    exclude: Any = None,
    *,
    index: Index = "exact",
    seed: int = 0,
    recall: float = RECALL,
    probes: int | None = None,
    codes: str = "Flat",
) -> Neighbours:
    """The k nearest candidates (M, D) of each query (N, D), by the exact search or by a faiss index.

    "exact" is `matching.nearest`: time N M D, memory of a block. "faiss" sorts the candidates into
    4 sqrt(min(N, M)) lists, which makes the time grow as M sqrt(N), and pays where queries and candidates are both
    many. `probes` is doubled until 256 random queries find the share `recall` of their neighbours, unless it is given;
    at `probes` = all lists the search is exhaustive. The recall told is that of 256 other queries, or of all where
    there are no more than 512. A neighbour counts as found where one at its distance is. Of candidates at equal
    distance those with lower indices come first, but where more are equal than a shortlist holds (2 k), others of
    them than in the exact search may be found.

    `exclude` as in `matching.match_ranks`. `codes`: how faiss keeps vectors, "Flat" (4 D bytes) or "SQ8" (D bytes).
    Same seed, same neighbours. Raises ValueError as `nearest` does, and as `check_index`.
    """
    check_index(index)
    if index == "exact":
        indices, distances = nearest(queries, candidates, k, metric, exclude)
        return Neighbours(indices, distances, {"index": "exact"})
    if not 0 < recall <= 1 or (probes is not None and probes < 1):
        raise ValueError(f"expected a recall in (0, 1] and at least one probe, got recall {recall}, probes {probes}")
    search = ListSearch(queries, candidates, k, metric, exclude, seed=seed, codes=codes)
    choosing, telling = search.samples()
    probes = min(probes, search.lists) if probes else search.probes_for(recall, choosing)
    found = search.recall(telling, search.exactly(telling)[1], probes)
    how = {"index": "faiss", "lists": search.lists, "probes": probes, "recall": found, "recall_queries": len(telling)}
    return Neighbours(*search.nearest(np.arange(len(search.ours)), probes), how)


class ListSearch:
    """Candidates in a faiss index of inverted lists, and the searches of `find_neighbours` in it.

    The candidates are stored as points whose Euclidean distances order like the metric, moved to their mean.
    """

    def __init__(
        self,
        queries: Vectors,
        candidates: Vectors,
        k: int,
        metric: Metric = "euclidean",
        exclude: Any = None,
        *,
        seed: int = 0,
        codes: str = "Flat",
    ) -> None:
        self.ours, self.theirs = spaces(queries, candidates, metric)
        self.k, self.seed = k, seed
        self.barred = barred_pairs(exclude, len(self.ours), len(self.theirs))
        self.most_barred = most_barred(self.barred, len(self.theirs), k)
        self.lists = list_count(len(self.ours), len(self.theirs))
        self.index = _filled(self.theirs, self.lists, seed, codes)

    def samples(self) -> tuple[Indices, Indices]:
        """Rows of two random sets of `SAMPLE` queries, in order; of so few queries that there are none, all twice."""
        rows = np.random.default_rng(self.seed).permutation(len(self.ours))
        if len(rows) <= 2 * SAMPLE:
            return np.arange(len(rows)), np.arange(len(rows))
        return np.sort(rows[:SAMPLE]), np.sort(rows[SAMPLE : 2 * SAMPLE])

    def exactly(self, rows: Indices) -> tuple[Indices, Doubles]:
        """Indices and distances (R, k) of the exact search for these queries."""
        first, last = np.searchsorted(self.barred[0], rows), np.searchsorted(self.barred[0], rows, side="right")
        exclude = np.full((len(rows), max(1, int((last - first).max()))), -1, dtype=np.int64)
        for row, (start, stop) in enumerate(zip(first, last, strict=True)):
            exclude[row, : stop - start] = self.barred[1][start:stop]
        return nearest(self.ours.vectors[rows], self.theirs.vectors, self.k, self.ours.metric, exclude)

    def probes_for(self, recall: float, rows: Indices) -> int:
        """The first of 1, 2, 4 ... lists with which the queries `rows` reach the recall."""
        truth = self.exactly(rows)[1]
        probes = 1
        while probes < self.lists and self.recall(rows, truth, probes) < recall:
            probes = min(2 * probes, self.lists)
        return probes

    def recall(self, rows: Indices, truth: Doubles, probes: int) -> float:
        """Share of the k neighbours of the queries `rows` that are found, `truth` (R, k) their exact distances."""
        distances = self._best(rows, probes)[1]
        furthest = self._squares(truth[:, -1:])
        return float(np.mean(distances <= furthest + 2 * tolerance(furthest, self.ours.metric)))

    def nearest(self, rows: Indices, probes: int) -> tuple[Indices, Doubles]:
        """Indices and distances (R, k); a query whose lists hold fewer than k candidates is searched exactly."""
        indices, squares = self._best(rows, probes)
        distances = squares / 2 if self.ours.metric == "cosine" else np.sqrt(squares)
        few = np.flatnonzero(indices[:, -1] < 0)
        if len(few):
            indices[few], distances[few] = self.exactly(rows[few])
        return indices, distances

    def _squares(self, distances: Doubles) -> Doubles:
        return 2 * distances if self.ours.metric == "cosine" else distances**2

    def _best(self, rows: Indices, probes: int) -> tuple[Indices, Doubles]:
        """Indices and squared distances (R, k) of the best of each shortlist; -1 and infinity where it is too short."""
        indices, squares = np.empty((len(rows), self.k), np.int64), np.empty((len(rows), self.k))
        self.index.nprobe = probes
        width = min(WIDTH * self.k + self.most_barred, len(self.theirs))
        for part in slices(len(rows), BLOCK):
            columns = self.index.search(_centred(self.ours, rows[part]), width)[1].astype(np.int64)
            indices[part], squares[part] = self._ordered(rows[part], columns)
        return indices, squares

    def _ordered(self, rows: Indices, columns: Indices) -> tuple[Indices, Doubles]:
        owners = np.repeat(np.arange(len(rows)), columns.shape[1])
        flat = columns.ravel()
        there = (flat >= 0) & ~self._are_barred(rows[owners], flat)
        squares = np.full(len(flat), np.inf)
        squares[there] = pair_distances(self.ours, self.theirs, rows[owners[there]], flat[there])
        flat = np.where(there, flat, -1)
        order = np.lexsort((flat, squares, owners)).reshape(columns.shape)[:, : self.k]
        return flat[order], squares[order]

    def _are_barred(self, rows: Indices, columns: Indices) -> npt.NDArray[np.bool_]:
        """Whether each pair is excluded; `rows` are in order."""
        first, last = np.searchsorted(self.barred[0], [rows[0], rows[-1] + 1])
        keys = self.barred[0][first:last] * len(self.theirs) + self.barred[1][first:last]
        return np.isin(rows * len(self.theirs) + columns, keys)


def list_count(queries: int, candidates: int) -> int:
    """Lists that balance the work of filling them against that of looking into them."""
    return max(1, min(round(4 * float(np.sqrt(min(queries, candidates)))), candidates // TRAINING_POINTS))


def _filled(space: Space, lists: int, seed: int, codes: str) -> Any:
    """A faiss index of the points, trained on a random sample of them."""
    import faiss

    index: Any = faiss.index_factory(len(space.centre), f"IVF{lists},{codes}")
    index.cp.seed, index.cp.niter, index.cp.min_points_per_centroid = seed, ITERATIONS, 1
    sample = np.random.default_rng(seed).permutation(len(space))[: max(TRAINING_POINTS * lists, 1000)]
    index.train(_centred(space, np.sort(sample)))
    for rows in slices(len(space), 16 * BLOCK):
        index.add(_centred(space, rows))
    return index


def _centred(space: Space, rows: slice | Indices) -> npt.NDArray[np.float32]:
    points: Doubles = (space.points(rows) - space.centre) / space.scale
    return points.astype(np.float32)
