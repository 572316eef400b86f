"""Neighbours by faiss against the exact search and a full distance matrix: what is found, and what is told of it."""

import subprocess
import sys

import numpy as np
import pytest

from semcse import neighbours
from semcse.benchmark import clustering
from semcse.matching import nearest
from semcse.neighbours import ListSearch, check_index, find_neighbours, list_count
from tests.brute import brute_distances

pytest.importorskip("faiss", reason="the extra `scale` is not installed")

RNG = np.random.default_rng(3)
K = 5


def clouds(n, d=24, centres=12, spread=0.7, seed=0):
    """Overlapping groups with falling variances, and the group of each."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, centres, n)
    middle = np.random.default_rng(99).standard_normal((centres, d))
    points = middle[labels] + spread * random.standard_normal((n, d)) / np.sqrt(1 + np.arange(d))
    return points.astype(np.float32), labels


CASES = {
    "random": (RNG.standard_normal((300, 24)), RNG.standard_normal((900, 24))),
    "groups": (clouds(300, seed=1)[0], clouds(1200, seed=2)[0]),
    "far from the origin": (clouds(200, seed=1)[0] + 100, clouds(800, seed=2)[0] + 100),
    "duplicated": ((base := RNG.standard_normal((40, 16)))[np.arange(120) % 40], base[np.arange(800) % 40]),
    "collapsed": (np.ones((60, 8)), np.ones((200, 8))),
    "too few for lists": (RNG.standard_normal((4, 8)), RNG.standard_normal((9, 8))),
}
CASES = {name: (q.astype(np.float32), c.astype(np.float32)) for name, (q, c) in CASES.items()}
TIED = ("duplicated", "collapsed")


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("case", CASES)
def test_looking_into_all_lists_is_the_exact_search(case, metric):
    queries, candidates = CASES[case]
    indices, distances = nearest(queries, candidates, K, metric)
    found = find_neighbours(queries, candidates, K, metric, index="faiss", probes=10**6)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-12, atol=1e-15)
    assert found.how["recall"] == 1.0
    assert found.how["probes"] == found.how["lists"]
    if case not in TIED:  # of equally distant candidates others may be found, each at the right distance
        np.testing.assert_array_equal(found.indices, indices)
    full = brute_distances(queries, candidates, metric)
    own = np.take_along_axis(full, found.indices, axis=1)
    np.testing.assert_allclose(own**2 / 2 if metric == "cosine" else own, distances, atol=1e-7)
    assert all(len(set(row)) == K for row in found.indices.tolist())


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("probes", [1, 3])
def test_the_recall_told_is_that_of_the_result(metric, probes):
    queries, candidates = CASES["random"]
    found = find_neighbours(queries, candidates, K, metric, index="faiss", probes=probes)
    order = np.argsort(brute_distances(queries, candidates, metric), axis=1)[:, :K]
    hits = [len(set(ours) & set(theirs)) for ours, theirs in zip(found.indices.tolist(), order.tolist(), strict=True)]
    assert 0.1 < found.how["recall"] < 0.95
    assert found.how["recall"] == pytest.approx(sum(hits) / (K * len(queries)))
    assert found.how["recall_queries"] == len(queries)


def test_of_many_queries_a_random_part_tells_the_recall():
    queries, candidates = clouds(900, seed=1)[0], clouds(1500, seed=2)[0]
    found = find_neighbours(queries, candidates, K, index="faiss", probes=1)
    order = np.argsort(brute_distances(queries, candidates, "euclidean"), axis=1)[:, :K]
    hits = [len(set(ours) & set(theirs)) for ours, theirs in zip(found.indices.tolist(), order.tolist(), strict=True)]
    choosing, telling = ListSearch(queries, candidates, K).samples()
    assert found.how["recall_queries"] == len(telling) == len(choosing) == neighbours.SAMPLE
    assert not set(choosing) & set(telling)
    assert found.how["recall"] == pytest.approx(np.array(hits)[telling].mean() / K)


def test_lists_are_doubled_until_the_recall_is_reached():
    queries, candidates = CASES["random"]
    how = {
        target: find_neighbours(queries, candidates, K, index="faiss", recall=target).how for target in (0.3, 0.8, 1.0)
    }
    assert how[0.3]["probes"] < how[0.8]["probes"] <= how[1.0]["probes"]
    assert all(found["recall"] >= target for target, found in how.items())
    fewer = find_neighbours(queries, candidates, K, index="faiss", probes=how[0.8]["probes"] // 2).how
    assert fewer["recall"] < 0.8


@pytest.mark.parametrize("exclude", ["itself", "mask"])
def test_excluded_candidates_are_not_found(exclude):
    points = clouds(400)[0]
    barred = range(400) if exclude == "itself" else np.random.default_rng(0).random((400, 400)) < 0.3
    indices, distances = nearest(points, points, K, "cosine", barred)
    found = find_neighbours(points, points, K, "cosine", barred, index="faiss", probes=10**6)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-9, atol=1e-12)
    few = find_neighbours(points, points, K, "cosine", barred, index="faiss", probes=1)
    mask = np.eye(400, dtype=bool) if exclude == "itself" else barred
    assert not np.take_along_axis(mask, few.indices, axis=1).any()


def test_a_list_with_fewer_than_k_candidates_is_no_partial_result():
    """Most candidates in one far place: queries elsewhere meet lists of a few."""
    crowd = np.full((400, 8), 50.0) + 0.01 * RNG.standard_normal((400, 8))
    few = 20 * RNG.standard_normal((40, 8))
    candidates = np.concatenate([crowd, few]).astype(np.float32)
    search = ListSearch(candidates, candidates, 30, exclude=range(len(candidates)))
    assert (search._best(np.arange(440), 1)[0] < 0).any()  # otherwise this tests nothing
    found = find_neighbours(candidates, candidates, 30, exclude=range(440), index="faiss", probes=1)
    assert (found.indices >= 0).all()
    assert np.isfinite(found.distances).all()


def test_same_seed_same_neighbours():
    queries, candidates = CASES["random"]
    first, again, other = (
        find_neighbours(queries, candidates, K, index="faiss", probes=2, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.indices, again.indices)
    assert first.how == again.how
    assert (first.indices != other.indices).any()


def test_compressed_codes_propose_and_exact_distances_decide():
    queries, candidates = CASES["groups"]
    found = find_neighbours(queries, candidates, K, index="faiss", probes=10**6, codes="SQ8")
    full = brute_distances(queries, candidates, "euclidean")
    np.testing.assert_allclose(found.distances, np.take_along_axis(full, found.indices, axis=1), atol=1e-6)
    assert found.how["recall"] > 0.9


def test_exact_is_the_default_and_says_so():
    queries, candidates = CASES["random"]
    found = find_neighbours(queries, candidates, K, "cosine")
    indices, distances = nearest(queries, candidates, K, "cosine")
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_array_equal(found.distances, distances)
    assert found.how == {"index": "exact"}


@pytest.mark.parametrize(("queries", "candidates", "lists"), [(1, 50, 1), (10_000, 10_000, 256), (100, 10**6, 40)])
def test_as_many_lists_as_queries_and_candidates_warrant(queries, candidates, lists):
    assert list_count(queries, candidates) == lists


def test_wrong_arguments_are_errors():
    queries, candidates = CASES["random"]
    with pytest.raises(ValueError, match="exact, faiss"):
        find_neighbours(queries, candidates, index="annoy")
    with pytest.raises(ValueError, match="between 1 and the 900"):
        find_neighbours(queries, candidates, 901, index="faiss")
    with pytest.raises(ValueError, match="between 1 and the 899"):
        find_neighbours(candidates, candidates, 900, exclude=range(900), index="faiss")
    with pytest.raises(ValueError, match="recall in"):
        find_neighbours(queries, candidates, index="faiss", recall=0)
    with pytest.raises(ValueError, match="row 2 of the queries"):
        find_neighbours(np.where(np.arange(300)[:, None] == 2, np.nan, queries), candidates, index="faiss")


def test_without_faiss_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(neighbours, "find_spec", lambda name: None)
    check_index("exact")
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'semcse\[scale\]'"):
        check_index("faiss")
    with pytest.raises(ModuleNotFoundError, match="neighbour_index to 'exact'"):
        find_neighbours(*CASES["random"], index="faiss")


def test_the_clustering_record_tells_the_search():
    vectors, labels = clouds(500)
    papers = [{"corpus_id": i, "title": str(i), "abstract": "x", "field": int(label)} for i, label in enumerate(labels)]

    def encode(texts):
        return vectors[[int(text.split()[0]) for text in texts]]

    exact = clustering(encode, papers[:400], papers[400:], "", k=K)
    faiss = clustering(encode, papers[:400], papers[400:], "", k=K, index="faiss", seed=4, resamples=10)
    assert exact["search"] == {"index": "exact"}
    assert faiss["search"]["recall"] >= neighbours.RECALL
    assert faiss["purity"] == pytest.approx(exact["purity"], abs=0.02)


@pytest.mark.parametrize("order", ["faiss, torch", "torch, faiss", "openTSNE, numba, torch, sklearn.cluster, faiss"])
def test_faiss_lives_with_the_other_users_of_openmp(order):
    """Each brings an OpenMP library of its own; in one process, in any order, with more threads than one."""
    program = f"""
import {order}
import faiss, numpy, torch
points = numpy.random.default_rng(0).standard_normal((3000, 16), dtype=numpy.float32)
index = faiss.index_factory(16, "IVF20,Flat")
index.train(points)
index.add(points)
torch.arange(40_000)
product = torch.ones(300, 300) @ torch.ones(300, 300)
assert (index.search(points, 1)[1][:, 0] == numpy.arange(3000)).all()
assert float(product.sum()) == 300**3
"""
    environment = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
