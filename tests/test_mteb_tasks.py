"""The benchmark's tasks in mteb give the scores that our own ranks give."""

import json
import logging
import socket
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_demo_bert

from semcse import benchmark, mteb_tasks
from semcse.encoder import Encoder
from semcse.papers import load_papers
from semcse.params import load
from semcse.splits import sample

needs_mteb = pytest.mark.skipif(find_spec("mteb") is None, reason="the extra mteb is not installed")


@pytest.fixture(scope="module")
def papers() -> list[dict]:
    """Sixty papers, those of a field that only one of them has left out."""
    rows = list(load_papers("demo").select(range(100)))
    fields = [row["field"] for row in rows]
    return [row for row in rows if fields.count(row["field"]) > 3][:60]


@pytest.fixture
def offline(monkeypatch):
    """A machine without a network."""

    def refuse(*_: object) -> None:
        raise OSError("this test needs no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@needs_mteb
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_mteb_scores_are_those_of_our_ranks(tmp_path, papers, offline, metric):
    import mteb
    from sentence_transformers import SentenceTransformer

    logging.getLogger("mteb").setLevel(logging.ERROR)
    plain = tiny_demo_bert(tmp_path / "plain")
    spread = Encoder.load(plain, pooling="mean")
    spread.model.get_input_embeddings().weight.data *= 50  # texts so far apart that float32 ranks them as float64 does
    folder = spread.save(tmp_path / "model", similarity=metric)
    encode = Encoder.load(folder, precision="float32").encode
    queries = {paper["corpus_id"]: " ".join(paper["abstract"].split()[5:25]) for paper in papers[:45]}
    train, test = papers[::2], papers[1::2]
    test = [paper for paper in test if paper["field"] in {other["field"] for other in train}]
    tasks = [
        mteb_tasks.title_abstract(papers),
        mteb_tasks.abstract_segments(papers),
        mteb_tasks.query_matching(papers, queries),
        mteb_tasks.clustering(train, test),
    ]
    found = mteb.evaluate(
        SentenceTransformer(str(folder), device="cpu"),
        [mteb_tasks.mteb_task(task) for task in tasks],
        cache=None,
        show_progress_bar=False,
    )
    scores = {result.task_name: result.scores["test"][0] for result in found.task_results}
    ours = [
        benchmark.title_abstract(encode, papers, metric),
        benchmark.abstract_segments(encode, papers, metric),
        benchmark.query_matching(encode, papers, queries, "[SEP]", metric),
    ]
    for task, result in zip(tasks, ours, strict=False):
        theirs, ranks = scores[task.name], np.array(result["ranks"])
        assert theirs["hit_rate_at_1"] == pytest.approx(result["hit@1"], abs=1e-5)
        assert theirs["recall_at_10"] == pytest.approx(result["hit@10"], abs=1e-5)
        assert theirs["main_score"] == pytest.approx(result["mrr"], abs=1e-5)
        gains = np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0)
        assert theirs["ndcg_at_10"] == pytest.approx(gains.mean(), abs=1e-5)
        assert 0.02 < result["mrr"] < 0.99  # neither all found nor none, so that equality means something
    purity = benchmark.clustering(encode, train, test, "[SEP]", metric)
    assert purity["n"] == len(test) > 10
    assert scores["SemCSEClustering"]["main_score"] == pytest.approx(purity["purity"], abs=1e-5)
    assert purity["purity"] > 0


@needs_mteb
def test_a_run_s_tasks_hold_its_papers(tmp_path: Path):
    few = {"training": 20, "validation": 4, "benchmark": 12, "clustering": 30}
    study = load("demo", [f"sampling.{name}={count}" for name, count in few.items()])
    sample(study.sampling, 0).save(tmp_path / "papers", 0)
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "summaries.json").write_text(json.dumps({"queries": 0}))
    tasks = mteb_tasks.run_tasks(tmp_path)
    assert [task.metadata.name for task in tasks] == [
        "SemCSETitleAbstract",
        "SemCSEAbstractSegments",
        "SemCSEClustering",
    ]
    data = tasks[0].dataset["default"]["test"]
    assert len(data["queries"]) == len(data["corpus"]) == 12
    other = mteb_tasks.run_tasks(tmp_path, "</s>")
    revisions = [task.metadata.dataset["revision"] for task in (*tasks, *other)]
    assert len(set(revisions)) == 4  # only the clustering's texts hold the separator


def test_who_looks_for_whom(papers):
    short = {**papers[0], "abstract": "One sentence alone."}
    segments = mteb_tasks.abstract_segments([short, *papers[1:4]])
    ids = [str(paper["corpus_id"]) for paper in papers[:4]]
    assert list(segments.queries) == list(segments.candidates) == ids[1:]
    assert f"{segments.queries[ids[1]]} {segments.candidates[ids[1]]}" == papers[1]["abstract"]

    asked = mteb_tasks.query_matching(papers[:4], {papers[2]["corpus_id"]: "a query", "elsewhere": "another"}, "[X]")
    assert asked.relevant == {ids[2]: [ids[2]]}
    assert asked.candidates[ids[0]] == f"{papers[0]['title']} [X] {papers[0]['abstract']}"

    rows = [{**paper, "field": field} for paper, field in zip(papers, ["a", "b", "a", None, "a", "c"], strict=False)]
    groups = mteb_tasks.clustering(rows[:4], rows[4:6])
    assert groups.relevant == {f"test {papers[4]['corpus_id']}": [f"train {ids[0]}", f"train {ids[2]}"]}
    assert len(groups.candidates) == 3


def test_a_missing_package_is_named(papers, monkeypatch):
    monkeypatch.setattr(mteb_tasks, "find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'semcse\[mteb\]'"):
        mteb_tasks.mteb_task(mteb_tasks.title_abstract(papers[:3]))
