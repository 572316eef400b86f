"""Scores of whole tasks on small sets in the benchmark's layouts, against plain computations with its parts."""

import csv
import json

import numpy as np
import pytest
from scipy.stats import kendalltau
from sklearn.metrics import f1_score
from sklearn.svm import LinearSVC as SklearnSVC

from semcse.scirepeval import evaluate
from semcse.scirepeval.evaluate import Protocol, evaluate_task
from semcse.scirepeval.fewshot import multi_label_draws, single_label_draws
from semcse.scirepeval.official import to_rows
from semcse.scirepeval.official_models import multilabel, regressor
from semcse.scirepeval.ranking import average_precision, ranked
from semcse.scirepeval.solvers import LinearSVC
from semcse.scirepeval.tables import Embeddings

N, D = 90, 6


def supervised(folder, labels, test=30, extra=()):
    folder.mkdir()
    for split, rows in (("train", range(len(labels) - test)), ("test", range(len(labels) - test, len(labels)))):
        with (folder / f"{split}.csv").open("w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(["paper_id", "label"])
            writer.writerows([[i, labels[i]] for i in rows])
            writer.writerows(extra)
    return str(folder)


def lines(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def task(kind, test, metrics, **options):
    return {"name": f"A {kind}", "type": kind, "data": {"test": test}, "metrics": metrics, **options}


def qrels(path, judged):
    lines(path, [{"query_id": q, "cand_id": c, "score": s} for q, own in judged.items() for c, s in own.items()])


@pytest.fixture
def classes():
    return np.random.default_rng(5).integers(0, 3, N)


@pytest.fixture
def vectors(classes):
    generator = np.random.default_rng(6)
    means = generator.standard_normal((3, D))
    return (means[classes] + generator.standard_normal((N, D)) + 1).astype(np.float32)


@pytest.fixture
def embeddings(vectors):
    return {str(i): vector for i, vector in enumerate(vectors)}


def test_classification_with_few_shot(tmp_path, classes, vectors, embeddings):
    binary = (classes == 1).astype(int)
    entry = {"sample_size": 16, "iterations": 3}
    spec = task("classification", supervised(tmp_path / "t", binary.tolist()), ["f1"], few_shot=[entry])
    result = evaluate([spec], embeddings, workers=2)["A classification"]
    train, held, truth = vectors[:60], vectors[60:], binary[60:]
    draws = list(single_label_draws(binary[:60], 16, 3))
    assert [len(rows) for rows in draws] == [15, 15, 15]
    each = [
        round(100 * f1_score(truth, LinearSVC(1).fit(train[rows], binary[:60][rows]).predict(held)), 2)
        for rows in draws
    ]
    assert result["few_shot"] == [{"sample_size": 16, "results": {"f1": pytest.approx(np.mean(each), abs=1e-12)}}]
    assert result["complete"]["f1"] > 50
    assert set(to_rows({"Biomimicry": result}, "m")["metric"]) == {"f1", "f1 (fs-16)"}
    assert evaluate([spec], embeddings, workers=1)["A classification"] == result


def test_multi_label(tmp_path, classes, vectors, embeddings):
    member = np.stack([classes == 0, classes != 1, np.arange(N) % 2], axis=1).astype(int)
    spec = task(
        "classification",
        supervised(tmp_path / "t", member.tolist()),
        ["f1_macro"],
        multi_label=True,
        few_shot=[{"sample_size": 4, "iterations": 2}],
    )
    result = evaluate([spec], embeddings)["A classification"]

    def score(rows):
        predicted = multilabel(vectors[:60], member[:60], rows).predict(vectors[60:])
        return round(100 * f1_score(member[60:], predicted, average="macro"), 2)

    assert result["complete"] == {"f1_macro": score(np.arange(60))}
    few = [score(rows) for rows in multi_label_draws(member[:60], 4, 2)]
    assert result["few_shot"][0]["results"]["f1_macro"] == pytest.approx(np.mean(few), abs=1e-12)


def test_golden_multi_label_draws():
    member = np.array([[int(c) for c in row] for row in ["10", "11", "01", "10", "01", "11", "10", "01", "10", "01"]])
    assert [rows.tolist() for rows in multi_label_draws(member, 2, 2)] == [[0, 1, 5], [8, 9, 3, 7]]
    with pytest.raises(ValueError, match=r"labels \[0, 1\] have fewer than 7"):
        next(multi_label_draws(member, 7, 1))
    with pytest.raises(ValueError, match="at least 2"):
        next(single_label_draws(member[:, 0], 10, 1))


def test_regression(tmp_path, vectors, embeddings):
    values = (vectors @ np.arange(D) + np.random.default_rng(1).standard_normal(N)).astype(float)
    spec = task("regression", supervised(tmp_path / "t", values.tolist()), ["kendalltau"])
    result = evaluate([spec], embeddings)["A regression"]
    model = regressor(vectors[:60], values[:60], np.arange(60))
    expected = round(100 * kendalltau(values[60:], model.predict(vectors[60:]))[0], 2)
    assert result == {"kendalltau": expected}
    assert expected > 50


def test_ranking_against_a_plain_loop(tmp_path, vectors, embeddings):
    generator = np.random.default_rng(2)
    judged = {str(q): {str(c): int(generator.integers(0, 2)) for c in range(40, 60)} for q in range(5)}
    qrels(tmp_path / "test_qrel.jsonl", judged)
    result = evaluate([task("proximity", str(tmp_path), ["map", "P_5"])], embeddings)["A proximity"]
    precisions = []
    for query, own in judged.items():
        run = {c: -float(np.linalg.norm(vectors[int(query)].astype(float) - vectors[int(c)])) for c in own}
        precisions.append(average_precision(ranked(run), own))
    assert result["map"] == round(100 * np.mean(precisions), 2)
    assert set(result) == {"map", "P_5"}


def test_a_loading_task_sees_half_precision(tmp_path):
    close = {"q": [0.0], "a": [1.0], "b": [1.0001]}
    vectors = {name: np.array(value, dtype=np.float32) for name, value in close.items()}
    qrels(tmp_path / "test_qrel.jsonl", {"q": {"a": 1, "b": 0}})
    spec = task("proximity", str(tmp_path), ["map"])
    loads = {**spec, "embeddings": {"load": "embeddings/x.jsonl"}}
    assert evaluate([spec], vectors)["A proximity"] == {"map": 100.0}
    assert evaluate([loads], vectors)["A proximity"] == {"map": 50.0}
    assert evaluate([loads], vectors, mode="modern")["A proximity"] == {"map": 100.0}


def test_reviewer_matching(tmp_path, embeddings):
    hard = {"0": {"r1": 1, "r2": 0, "gone": 1}, "1": {"r1": 0, "r2": 1}}
    qrels(tmp_path / "test_hard_qrel.jsonl", hard)
    qrels(tmp_path / "test_soft_qrel.jsonl", {q: dict.fromkeys(own, 1) for q, own in hard.items()})
    papers = [{"r_id": "r1", "papers": ["10", "11"]}, {"r_id": "r2", "papers": ["12", "13", "14", "15"]}]
    lines(tmp_path / "people" / "reviewer_metadata.jsonl", papers)
    data = {"test": str(tmp_path), "reviewers": str(tmp_path / "people")}
    spec = {"name": "R", "type": "proximity", "data": data, "metrics": ["P_5", "P_10"]}
    result = evaluate([spec], embeddings)["R"]
    assert result == {"hard_P_5": 20.0, "hard_P_10": 10.0, "soft_P_5": 40.0, "soft_P_10": 20.0}
    del embeddings["14"]
    with pytest.warns(UserWarning, match="R failed"):
        assert "14" in evaluate([spec], embeddings)["R"]["error"]


def test_dropped_documents_are_announced_or_refused(tmp_path, classes, embeddings):
    spec = task("classification", supervised(tmp_path / "t", classes.tolist(), extra=[["unknown", 1]]), ["f1_macro"])
    with pytest.warns(UserWarning, match=r"dropped 1 of 61 train papers, 1 of 31 test papers without"):
        official = evaluate([spec], embeddings)
    assert official["A classification"]["f1_macro"] > 40
    with pytest.warns(UserWarning, match="have no embedding"):
        modern = evaluate([spec], embeddings, mode="modern")
    assert modern["_mode"] == "modern"
    assert "unknown" in modern["A classification"]["error"]


def test_a_query_without_any_candidate_counts_as_zero(tmp_path, embeddings):
    qrels(tmp_path / "test_qrel.jsonl", {"0": {"1": 1}, "2": {"nowhere": 1}, "lost": {"1": 1}})
    outcome = evaluate_task(task("proximity", str(tmp_path), ["map"]), embeddings, Protocol())
    assert outcome.metrics == {"map": 50.0}
    assert outcome.counts["queries_without_embedding"] == 1
    assert outcome.counts["candidates_without_embedding"] == 1


def test_one_failing_task_leaves_the_others(tmp_path, embeddings):
    qrels(tmp_path / "test_qrel.jsonl", {"0": {"1": 1, "2": 0}})
    good = task("proximity", str(tmp_path), ["map"])
    bad = {**task("proximity", str(tmp_path / "none"), ["map"]), "name": "B"}
    with pytest.warns(UserWarning, match="B failed: FileNotFoundError"):
        result = evaluate([bad, good], embeddings)
    assert result["B"]["error"].startswith("FileNotFoundError: no files of split 'test'")
    assert set(result["A proximity"]) == {"map"}
    with pytest.raises(ValueError, match="1 failed tasks: B"):
        to_rows(result, "m")


def test_constant_predictions_are_a_failure(tmp_path, embeddings):
    spec = task("regression", supervised(tmp_path / "t", [1.0] * N), ["kendalltau"])
    with pytest.warns(UserWarning, match="undefined"):
        assert "error" in evaluate([spec], embeddings)["A regression"]


def test_modern_uses_an_intercept_and_the_metric(tmp_path, classes, vectors, embeddings):
    entry = {"sample_size": 20, "iterations": 2}
    binary = (classes == 1).astype(int)
    spec = task("classification", supervised(tmp_path / "t", binary.tolist()), ["f1"], few_shot=[entry])
    result = evaluate([spec], embeddings, mode="modern", workers=1)["A classification"]
    few = [
        round(
            100
            * f1_score(
                binary[60:],
                SklearnSVC(C=1, dual="auto", random_state=42, max_iter=10000)
                .fit(vectors[rows], binary[rows])
                .predict(vectors[60:]),
            ),
            2,
        )
        for rows in single_label_draws(binary[:60], 20, 2)
    ]
    assert result["few_shot"][0]["results"]["f1"] == pytest.approx(np.mean(few))
    values = (vectors @ np.arange(D) + 100).tolist()
    linear = task("regression", supervised(tmp_path / "r", values), ["pearsonr"])
    assert evaluate([linear], embeddings, mode="modern", workers=1)["A regression"]["pearsonr"] > 99
    several = np.stack([binary, np.zeros(N, dtype=int)], axis=1).tolist()
    multi = task("classification", supervised(tmp_path / "m", several), ["f1_micro"], multi_label=True)
    assert evaluate([multi], embeddings, mode="modern", workers=1)["A classification"]["f1_micro"] > 30


def test_cosine_ranks_by_direction(tmp_path):
    vectors = {"q": np.array([1.0, 0.0]), "far": np.array([9.0, 0.0]), "near": np.array([0.5, 0.5])}
    qrels(tmp_path / "test_qrel.jsonl", {"q": {"far": 1, "near": 0}})
    spec = task("adhoc_search", str(tmp_path), ["map"])
    assert evaluate([spec], vectors, mode="modern", metric="cosine")["A adhoc_search"] == {"map": 100.0}
    assert evaluate([spec], vectors)["A adhoc_search"] == {"map": 50.0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "fast"}, "mode must be one of"),
        ({"metric": "cosine"}, "official mode ranks by Euclidean"),
        ({"mode": "modern", "metric": "dot"}, "metric must be"),
    ],
)
def test_wrong_settings_raise_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        evaluate([], {}, **options)


def test_a_matrix_is_as_good_as_a_mapping(tmp_path, classes, vectors, embeddings):
    spec = task("classification", supervised(tmp_path / "t", classes.tolist()), ["accuracy", "f1_macro"])
    table = Embeddings([str(i) for i in range(N)], vectors)
    assert evaluate([spec], table) == evaluate([spec], embeddings)
