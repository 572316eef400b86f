"""Ranks and neighbours against a full float64 distance matrix."""

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from semcse import matching
from semcse.matching import match_ranks, nearest, neighbour_purity
from tests.brute import brute_distances

RNG = np.random.default_rng(7)


def spread(n, d):
    return RNG.standard_normal((n, d))


def integers(n, d):
    return RNG.integers(-1, 2, (n, d)).astype(float) + np.eye(1, d) * 3


CASES = {
    "random": (spread(60, 24), spread(90, 24)),
    "near": ((base := spread(90, 24))[:60] + 0.3 * spread(60, 24), base),
    "duplicated": ((base := spread(9, 16))[np.arange(50) % 9], base[np.arange(80) % 9]),
    "tied": (integers(70, 4), integers(110, 4)),
    "collapsed": (np.ones((40, 8)), np.ones((55, 8))),
    "high norm": (1e4 * (base := spread(80, 32))[:50] + spread(50, 32), 1e4 * base),
    "high offset": (1e4 + 1e-2 * spread(50, 32), 1e4 + 1e-2 * spread(80, 32)),
    "tiny norm": (1e-4 * spread(50, 32), 1e-4 * spread(80, 32)),
    "vanishing": (1e-30 * spread(50, 32), 1e-30 * spread(80, 32)),
    "two far clusters": (
        1e4 * (np.arange(60) % 2)[:, None] + 1e-1 * spread(60, 8),
        1e4 * (np.arange(90) % 2)[:, None] + 1e-1 * spread(90, 8),
    ),
    "mixed norms": (
        spread(60, 12) * 10.0 ** RNG.integers(-4, 5, (60, 1)),
        spread(90, 12) * 10.0 ** RNG.integers(-4, 5, (90, 1)),
    ),
    "one dimension": (spread(30, 1), spread(40, 1)),
}
CASES = {name: (q.astype(np.float32), c.astype(np.float32)) for name, (q, c) in CASES.items()}


def brute_ranks(queries, candidates, metric, exclude=None):
    full = brute_distances(queries, candidates, metric)
    if exclude is not None:
        full[np.asarray(exclude) & ~np.eye(*full.shape, dtype=bool)] = np.inf
    # cosine ties survive the division by the norm only up to its rounding
    full = np.round(full, 11) if metric == "cosine" else full
    return np.array([rankdata(row, method="average")[i] for i, row in enumerate(full)])


@pytest.mark.parametrize("block", [7, 64, 2048])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("case", CASES)
def test_ranks_equal_brute_force(case, metric, block):
    queries, candidates = CASES[case]
    np.testing.assert_array_equal(
        match_ranks(queries, candidates, metric, block=block), brute_ranks(queries, candidates, metric)
    )


@pytest.mark.parametrize("block", [3, 2048])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("case", ["random", "near", "duplicated", "tied", "collapsed", "high norm", "high offset",
                                  "tiny norm", "two far clusters", "mixed norms"])  # fmt: skip
def test_neighbours_and_purity_equal_brute_force(case, metric, block):
    queries, candidates = CASES[case]
    full = np.round(brute_distances(queries, candidates, metric), 11)
    order = np.argsort(full, axis=1, kind="stable")[:, :5]
    found, lengths = nearest(queries, candidates, 5, metric, block=block)
    expected = np.take_along_axis(full, order, axis=1)
    np.testing.assert_allclose(lengths, expected**2 / 2 if metric == "cosine" else expected, rtol=1e-6, atol=2e-11)
    if metric == "euclidean" or case in ("random", "near", "duplicated", "collapsed"):
        np.testing.assert_array_equal(found, order)
        labels = [f"field {i % 4}" for i in range(len(candidates))]
        mine = [f"field {i % 3}" for i in range(len(queries))]
        purity = np.mean([[labels[j] == mine[i] for j in row] for i, row in enumerate(order)])
        assert neighbour_purity(candidates, labels, queries, mine, 5, metric, block=block) == pytest.approx(purity)


def test_hand_computed_ranks_on_a_line():
    queries = np.array([[0.0], [10.0], [5.0]])
    candidates = np.array([[1.0], [4.0], [6.0], [-1.0], [100.0]])
    # query 0: match at 1, tied with -1; query 1: match at 6, behind 6's 4; query 2: match at 1, tied with 4
    assert match_ranks(queries, candidates).tolist() == [1.5, 2.0, 1.5]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_collapsed_model_scores_the_middle(metric):
    for value in (0.0, 0.1, 1e4):
        ranks = match_ranks(np.full((21, 5), value), np.full((21, 5), value), metric)
        assert ranks.tolist() == [11.0] * 21


def test_exclude_in_all_its_forms():
    queries, candidates = CASES["random"]
    mask = RNG.random((60, 90)) < 0.2
    lists = [np.flatnonzero(row) for row in mask]
    padded = np.full((60, max(map(len, lists))), -1)
    for row, entry in zip(padded, lists, strict=True):
        row[: len(entry)] = entry
    expected = brute_ranks(queries, candidates, "euclidean", mask)
    for exclude in (mask, padded, lists):
        np.testing.assert_array_equal(match_ranks(queries, candidates, exclude=exclude, block=16), expected)
    assert not np.array_equal(expected, match_ranks(queries, candidates))
    found, _ = nearest(queries, queries, 3, exclude=range(60))
    assert not (found == np.arange(60)[:, None]).any()


def test_float64_torch_and_memory_mapped_input(tmp_path):
    queries, candidates = CASES["near"]
    expected = match_ranks(queries, candidates)
    np.save(tmp_path / "candidates.npy", candidates)
    mapped = np.load(tmp_path / "candidates.npy", mmap_mode="r")
    np.testing.assert_array_equal(match_ranks(queries.astype(np.float64), mapped), expected)
    tensor = torch.tensor(queries, requires_grad=True)
    np.testing.assert_array_equal(match_ranks(tensor, torch.tensor(candidates)), expected)


def test_distances_below_float32_are_told_apart():
    candidates = np.array([[1.0, 1.0 + 2e-9], [1.0, 1.0 + 1e-9]])
    assert match_ranks(np.array([[1.0, 1.0]]), candidates).tolist() == [2.0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_named(value):
    queries, candidates = spread(5, 3), spread(5, 3)
    candidates[3, 1] = value
    with pytest.raises(ValueError, match="row 3 of the candidates"):
        match_ranks(queries, candidates)
    with pytest.raises(ValueError, match="row 3 of the queries"):
        nearest(candidates, queries, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: match_ranks(spread(5, 3), spread(4, 3)), "5 queries meet 4 candidates"),
        (lambda: match_ranks(spread(5, 3), spread(5, 2)), "3 dimensions, candidates 2"),
        (lambda: match_ranks(spread(5, 3), spread(5, 3), "manhattan"), "unknown metric 'manhattan'"),
        (lambda: match_ranks(spread(5, 3)[0], spread(5, 3)), r"queries: expected vectors of shape \(N, D\)"),
        (lambda: match_ranks(np.array([["a"]]), spread(5, 1)), "expected numbers"),
        (lambda: match_ranks(spread(5, 3), spread(5, 3), exclude=[1, 2]), "each of the 5 queries, got 2"),
        (lambda: match_ranks(spread(2, 3), spread(2, 3), exclude=[1, 7]), "query 1 names candidate 7 of 2"),
        (lambda: match_ranks(spread(2, 3), spread(2, 3), exclude=np.ones((2, 3), bool)), "mask of shape"),
        (lambda: match_ranks(spread(2, 3), spread(2, 3), block=0), "at least one row"),
        (lambda: nearest(spread(5, 3), spread(4, 3), 5), "between 1 and the 4 candidates"),
        (lambda: neighbour_purity(spread(5, 3), [0] * 4, spread(2, 3), [0, 0], 2), "5 train vectors"),
        (lambda: neighbour_purity(spread(5, 3), [0] * 5, spread(2, 3), [0, None], 2), "row 1 of the test labels"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_purity_by_hand():
    train, test = np.array([[0.0], [1.0], [2.0], [10.0], [11.0]]), np.array([[0.5], [10.4]])
    assert neighbour_purity(train, ["a", "b", "a", "c", "c"], test, ["a", "c"], k=2) == 0.75


def test_a_dense_block_is_screened_again_in_float64(monkeypatch):
    calls = []
    original = matching._Tile._scores
    monkeypatch.setattr(
        matching._Tile, "_scores", lambda self, dtype, b: calls.append(dtype) or original(self, dtype, b)
    )
    match_ranks(*CASES["two far clusters"])
    assert np.float64 in calls
    calls.clear()
    match_ranks(*CASES["near"])
    assert np.float64 not in calls
