"""Readers for every layout, the texts that are embedded, and labels as stored."""

import csv
import gzip
import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semcse.scirepeval.data import DataSource
from semcse.scirepeval.tables import Embeddings, judgements, labelled, present, reviewers
from semcse.scirepeval.tasks import all_tasks, cells, read_tasks, select_tasks, task_types, validate
from semcse.scirepeval.texts import document_text, documents

HUB = {"name": "allenai/scirepeval", "config": "search"}


def lines(path, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def task(**options):
    base = {"name": "T", "type": "proximity", "data": {"meta": "m.jsonl", "test": "t"}, "metrics": ["map"]}
    return {**base, **options}


def test_the_table_of_tasks():
    kinds = Counter(task_types().values())
    assert kinds == {"classification": 6, "regression": 5, "proximity": 9, "adhoc_search": 3}
    assert len(all_tasks()) == 22
    assert len(cells()) == 36
    assert [t["name"] for t in select_tasks(types=["adhoc_search"])] == ["NFCorpus", "TREC-CoVID", "Search"]
    assert [t["name"] for t in select_tasks(names=["MeSH", "RELISH"])] == ["RELISH", "MeSH"]
    assert len(select_tasks()) == 22
    saved = {t["embeddings"]["save"] for t in all_tasks() if "save" in t.get("embeddings", {})}
    loaded = {t["embeddings"]["load"] for t in all_tasks() if "load" in t.get("embeddings", {})}
    assert saved == loaded


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "needs a name"),
        ({"type": "proximty"}, "did you mean 'proximity'"),
        ({"data": {}}, "meta or a test"),
        ({"metrics": []}, "non-empty list of metrics"),
        ({"metrics": ["mrr"]}, "map, ndcg or P_<k>"),
        ({"type": "regression", "metrics": ["kendaltau"]}, "did you mean 'kendalltau'"),
        ({"few_shots": []}, "did you mean 'few_shot'"),
        ({"few_shot": [{"sample_size": 0, "iterations": 3}]}, "sample_size and iterations"),
    ],
)
def test_task_objects_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        validate(task(**change))


def test_task_files(tmp_path):
    lines(tmp_path / "tasks.jsonl", [task()])
    assert read_tasks(tmp_path / "tasks.jsonl") == [task()]
    (tmp_path / "bad.jsonl").write_text(json.dumps(task()) + "\n{oops\n")
    with pytest.raises(ValueError, match=r"bad\.jsonl, line 2"):
        read_tasks(tmp_path / "bad.jsonl")
    with pytest.raises(ValueError, match="did you mean 'Search'"):
        select_tasks(names=["Serch"])


def test_text_of_a_document():
    assert document_text({"title": "A", "abstract": "b c"}, "[SEP]") == "A [SEP] b c"
    assert document_text({"title": "A", "abstract": None}, "[SEP]") == "A"
    assert document_text({"title": "", "abstract": "b"}, "</s>") == "b"
    search = {"title": "A", "abstract": "", "venue": "V", "year": 2005.0}
    assert document_text(search, "[SEP]", ["title", "abstract", "venue", "year"]) == "A [SEP] V [SEP] 2005.0"


def test_plain_meta_skips_and_counts(tmp_path):
    rows = [{"doc_id": "a", "title": "A"}, {"title": "no id"}, {"doc_id": "a", "title": "again"}, {"doc_id": "b"}]
    lines(tmp_path / "m.jsonl", rows)
    counts = Counter()
    found = list(documents(task(data={"meta": "m.jsonl", "simple_format": True}), DataSource(tmp_path), "|", counts))
    assert found == [("a", "A"), ("b", "")]
    assert counts == {"documents": 2, "without_id": 1, "repeated": 1, "without_text": 1}


def test_query_candidate_meta_embeds_queries_first(tmp_path):
    candidates = [
        {"doc_id": "c1", "title": "C", "abstract": "d", "score": 1},
        {"doc_id": "q2", "title": "as candidate"},
    ]
    rows = [
        {"doc_id": "q1", "query": "words typed", "candidates": candidates},
        {"query": {"doc_id": "q2", "title": "Q", "abstract": "r"}, "candidates": [{"doc_id": "c1", "title": "again"}]},
    ]
    lines(tmp_path / "m.jsonl", rows)
    found = list(documents(task(), DataSource(tmp_path), "|"))
    assert found == [("q1", "words typed"), ("q2", "Q | r"), ("c1", "C | d")]


@pytest.mark.parametrize(
    "name", ["evaluation.jsonl", "evaluation.jsonl.gz", "evaluation-00000-of-00001.parquet", "evaluation/0000.parquet"]
)
def test_a_local_copy_of_the_hub(tmp_path, name):
    rows = [{"doc_id": str(i), "title": f"t{i}"} for i in range(5)]
    path = tmp_path / "scirepeval" / "search" / name
    path.parent.mkdir(parents=True)
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        lines(path, rows)
    assert list(DataSource(tmp_path).rows(HUB, "evaluation")) == rows
    (tmp_path / "allenai").mkdir()
    (tmp_path / "scirepeval").rename(tmp_path / "allenai" / "scirepeval")
    assert len(list(DataSource(tmp_path).rows(HUB, "evaluation"))) == 5


def test_json_files_of_every_form(tmp_path):
    records = [{"doc_id": "1", "title": "a"}, {"doc_id": "2", "title": "b"}]
    (tmp_path / "array.json").write_text(json.dumps(records, indent=1))
    (tmp_path / "object.json").write_text(json.dumps({"1": records[0], "2": records[1]}))
    lines(tmp_path / "lines.json", records)
    for name in ("array.json", "object.json", "lines.json"):
        assert list(DataSource(tmp_path).rows(name, "evaluation")) == records


def test_hub_sets_come_from_the_export_at_a_commit(monkeypatch):
    import datasets
    import huggingface_hub

    calls, asked = [], []

    def fake(kind, **options):
        calls.append((kind, options))
        return [{"doc_id": "1"}]

    class Hub:
        def dataset_info(self, name, revision):
            asked.append((name, revision))
            return SimpleNamespace(sha="c" * 40)

    monkeypatch.setattr(datasets, "load_dataset", fake)
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    source = DataSource(revision={"allenai/scirepeval": "a" * 40}).pinned()
    assert source.revision == {"allenai/scirepeval": "a" * 40, "allenai/scirepeval_test": "c" * 40}
    assert asked == [("allenai/scirepeval_test", "refs/convert/parquet")]
    assert list(source.rows(HUB, "evaluation")) == [{"doc_id": "1"}]
    list(DataSource().rows(HUB, "evaluation"))
    files = ("a" * 40, "refs%2Fconvert%2Fparquet")
    expected = [f"hf://datasets/allenai/scirepeval@{state}/search/evaluation/*.parquet" for state in files]
    assert [kind for kind, _ in calls] == ["parquet", "parquet"]
    assert [options["data_files"] for _, options in calls] == expected
    assert all(options["streaming"] for _, options in calls)


def test_without_a_network_the_message_says_what_to_do(monkeypatch, tmp_path):
    import datasets
    import huggingface_hub

    class Offline(Exception):
        """An error of an HTTP library, which need not be an OSError."""

    def offline(*_, **__):
        raise Offline("no route")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    monkeypatch.setattr(huggingface_hub, "HfApi", offline)
    with pytest.raises(FileNotFoundError, match=r"no route.*scirepeval\.data"):
        list(DataSource().rows(HUB, "evaluation"))
    with pytest.raises(FileNotFoundError, match=r"cannot ask the hub for allenai/scirepeval at refs.*no route"):
        DataSource().pinned()
    assert DataSource(tmp_path).pinned() == DataSource(tmp_path)


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"looked in .*scirepeval.search"):
        list(DataSource(tmp_path).rows(HUB, "evaluation"))
    (tmp_path / "m.jsonl").write_text('{"doc_id": "1"}\n{"doc_id"\n')
    with pytest.raises(ValueError, match=r"m\.jsonl, line 2: not a JSON object"):
        list(DataSource(tmp_path).rows("m.jsonl", "evaluation"))
    (tmp_path / "n.jsonl").write_text("[1]\n")
    with pytest.raises(ValueError, match="expected a JSON object, got list"):
        list(DataSource(tmp_path).rows("n.jsonl", "evaluation"))


def supervised(folder, rows):
    folder.mkdir(exist_ok=True)
    with (folder / "train.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerows([["paper_id", "label"], *rows])


@pytest.mark.parametrize(
    ("kind", "stored", "expected"),
    [
        ("class", ["1", "0.0"], [1, 0]),
        ("value", ["1", "-2.5"], [1.0, -2.5]),
        ("multi", ["[0, 1]", "[1 0]"], [[0, 1], [1, 0]]),
    ],
)
def test_labels(tmp_path, kind, stored, expected):
    supervised(tmp_path / "t", [[7, stored[0]], [8, stored[1]]])
    ids, labels = labelled(DataSource(), tmp_path / "t", "train", kind)
    assert ids == ["7", "8"]
    assert labels.tolist() == expected


@pytest.mark.parametrize(
    ("kind", "label"), [("class", "Biology"), ("class", "1.5"), ("multi", "[0, 2]"), ("multi", "1")]
)
def test_wrong_labels_name_their_row(tmp_path, kind, label):
    supervised(tmp_path / "t", [[7, label]])
    with pytest.raises(ValueError, match="row 1 of split 'train'"):
        labelled(DataSource(), tmp_path / "t", "train", kind)


def test_judgements_keep_the_first_of_a_pair(tmp_path):
    rows = [(1, "a", 1), (1, "a", 0), ("1", "b", 0), (2, "a", 3)]
    lines(tmp_path / "test_qrel.jsonl", [dict(zip(("query_id", "cand_id", "score"), row, strict=True)) for row in rows])
    assert judgements(DataSource(), tmp_path, "test") == {"1": {"a": 1, "b": 0}, "2": {"a": 3}}
    lines(tmp_path / "test_hard_qrel.jsonl", [{"query_id": 1, "cand_id": "a", "score": 0.5}])
    with pytest.raises(ValueError, match="row 1 of split 'test_hard'"):
        judgements(DataSource(), tmp_path, "test_hard")


def test_reviewers(tmp_path):
    lines(tmp_path / "reviewer_metadata.jsonl", [{"r_id": 5, "papers": ["a", 2]}])
    assert reviewers(DataSource(), tmp_path) == {"5": ["a", "2"]}


def test_embeddings_are_checked():
    table = Embeddings(["a", "b"], np.eye(2, dtype=np.float32))
    assert table["b"].tolist() == [0, 1]
    assert list(table) == ["a", "b"]
    assert len(table) == 2
    assert Embeddings.of(table, ["a"]) is table
    assert Embeddings.of(dict(table), ["b", "x", "b"]).ids == ["b"]
    with pytest.raises(ValueError, match="'b' is not finite"):
        Embeddings(["a", "b"], np.array([[1.0], [np.nan]]))
    with pytest.raises(ValueError, match="unique"):
        Embeddings(["a", "a"], np.eye(2))
    with pytest.raises(ValueError, match="one vector for each"):
        Embeddings(["a"], np.eye(2))
    with pytest.raises(ValueError, match="same length"):
        Embeddings.of({"a": np.ones(2), "b": np.ones(3)}, "ab")
    with pytest.raises(ValueError, match="do the ids match"):
        present(["x"], table, "papers", Counter(), strict=False)
