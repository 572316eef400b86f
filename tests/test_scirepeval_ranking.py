"""Ranking measures: the specification's golden values, and trec_eval itself on random runs with many ties."""

import numpy as np
import pytest

from semcse.scirepeval.ranking import average_precision, measure, ndcg, precision_at, ranked, reviewer_score, similarity


def by_order(names):
    return {name: float(len(names) - i) for i, name in enumerate(names)}


def test_golden_ndcg_and_map():
    judged = {"a": 2, "b": 1, "c": 0, "d": 1}
    assert ndcg(ranked(by_order("cba")), judged) == pytest.approx(0.5209090851, abs=1e-10)
    assert average_precision(ranked(by_order("cab")), {"a": 2, "b": 1, "c": 0}) == pytest.approx(
        0.5833333333, abs=1e-10
    )


def test_golden_ties():
    order = ranked({"a": 0.0, "b": 0.0, "c": 0.0})
    assert order == ["c", "b", "a"]
    judged = {"a": 1, "b": 0, "c": 0}
    assert (average_precision(order, judged), ndcg(order, judged)) == (pytest.approx(1 / 3), pytest.approx(0.5))
    assert average_precision(ranked({"a": -1.0, "b": -1 - 1e-9}), {"a": 1, "b": 0}) == 0.5
    assert average_precision(ranked({"a": -1.0, "b": -1 - 1e-6}), {"a": 1, "b": 0}) == 1.0
    assert average_precision(ranked({"9": 0.0, "10": 0.0}), {"9": 1, "10": 0}) == 1.0


def test_golden_precision_divides_by_k():
    judged = dict.fromkeys("abc", 1)
    assert precision_at(list("abc"), judged, 5) == 0.6
    assert precision_at(list("abc"), judged, 10) == 0.3


def test_equal_to_trec_eval_on_random_runs():
    pytrec_eval = pytest.importorskip("pytrec_eval")
    generator = np.random.default_rng(0)
    judged, run = {}, {}
    for query in map(str, range(60)):
        names = [str(name) for name in generator.choice(200, size=25, replace=False)]
        judged[query] = {name: int(generator.integers(-1, 4)) for name in names[:20]}
        run[query] = {
            name: float(np.float32(generator.integers(0, 6) / 7)) for name in names[3 : int(generator.integers(4, 26))]
        }
    judged["empty"], run["empty"] = {"x": 0}, {"x": 1.0}
    judged["unasked"] = {"x": 1}
    metrics = ["map", "ndcg", "P_5", "P_10"]
    theirs = pytrec_eval.RelevanceEvaluator(judged, set(metrics)).evaluate(run)
    assert set(theirs) == set(run)
    ours = measure(run, judged, metrics)
    for metric in metrics:
        assert ours[metric] == round(100 * np.mean([theirs[query][metric] for query in run]), 2)
    for query, scores in run.items():
        order = ranked(scores)
        assert average_precision(order, judged[query]) == pytest.approx(theirs[query]["map"], abs=1e-12)
        assert ndcg(order, judged[query]) == pytest.approx(theirs[query]["ndcg"], abs=1e-12)


def test_nothing_judged_and_unknown_metric():
    with pytest.raises(ValueError, match="no query of the run"):
        measure({"a": {"b": 1.0}}, {"c": {"b": 1}}, ["map"])
    with pytest.raises(ValueError, match="mrr"):
        measure({"a": {"b": 1.0}}, {"a": {"b": 1}}, ["mrr"])


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_similarity_by_hand(kind):
    query, candidates = np.array([3, 4], dtype=kind), np.array([[0, 0], [3, 0]], dtype=kind)
    np.testing.assert_allclose(similarity(query, candidates, "euclidean"), [-5, -4])
    np.testing.assert_allclose(similarity(query, candidates[1:], "cosine"), [0.6], rtol=1e-6)
    assert similarity(query, candidates, "euclidean").dtype == (np.float32 if kind == np.float32 else np.float64)
    with pytest.raises(ValueError, match="manhattan"):
        similarity(query, candidates, "manhattan")


def test_reviewer_is_the_mean_of_three_best():
    paper = np.array([1.0, 0.0])
    papers = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [3.0, 4.0]])
    assert reviewer_score(paper, papers) == pytest.approx((1 + 0.6 + 0) / 3)
    assert reviewer_score(paper, papers[1:3]) == pytest.approx(-0.5)
