"""From an encoder to a result file: records, resumption, shared sets, stored vectors, and the S2AND files."""

import json
import pickle

import numpy as np
import pytest

from semcse.scirepeval.data import DataSource
from semcse.scirepeval.driver import Embedder, run, stored_records
from semcse.scirepeval.evaluate import Protocol
from semcse.scirepeval.s2and import DATASETS, read_b3, with_s2and, write_embeddings


class Counting:
    """A random encoder that remembers the texts it was given."""

    def __init__(self, fail=False):
        self.texts = []
        self.fail = fail

    def __call__(self, texts):
        if self.fail:
            raise ValueError("no encoder here")
        self.texts += texts
        return np.array([np.random.default_rng(sum(map(ord, text))).standard_normal(4) for text in texts])


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def tasks(tmp_path):
    documents = [{"doc_id": str(i), "title": f"t{i}", "abstract": f"a{i}"} for i in range(8)]
    lines(tmp_path / "meta.jsonl", [*documents, {"doc_id": "8"}])
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        rows = [{"query_id": "0", "cand_id": str(c), "score": int(c < 3)} for c in range(1, 8)]
        lines(tmp_path / name / "test_qrel.jsonl", rows)
    return [
        {
            "name": name.title(),
            "type": "proximity",
            "metrics": ["map"],
            "data": {"meta": "meta.jsonl", "test": name, "simple_format": True},
        }
        for name in ("one", "two")
    ]


@pytest.fixture
def protocol(tmp_path):
    return Protocol(source=DataSource(tmp_path), workers=1)


def test_result_records_and_shared_set(tmp_path, tasks, protocol):
    encode = Counting()
    with pytest.warns(UserWarning, match="One: 1 of 9 documents have no text"):
        result = run(encode, "[SEP]", tmp_path / "out", "m", tasks, protocol)
    assert encode.texts == [*(f"t{i} [SEP] a{i}" for i in range(8)), ""]
    assert json.loads((tmp_path / "out" / "scirepeval.json").read_text()) == result
    assert list(result) == ["One", "Two"]
    record = json.loads((tmp_path / "out" / "tasks" / "one.json").read_text())
    assert record["counts"]["documents"] == 9
    assert record["counts"]["without_text"] == 1
    assert record["counts"]["candidates"] == 7
    assert (record["model"], record["mode"], record["metrics"]) == ("m", "official", result["One"])


def test_a_second_call_does_nothing_and_a_change_does(tmp_path, tasks, protocol):
    out = tmp_path / "out"
    first = run(Counting(), "[SEP]", out, "m", tasks, protocol)
    idle = Counting(fail=True)
    assert run(idle, "[SEP]", out, "m", tasks, protocol) == first
    again = Counting()
    run(again, "</s>", out, "m", tasks, protocol)
    assert "t0 </s> a0" in again.texts
    modern = run(Counting(), "[SEP]", out, "m", tasks, Protocol("modern", source=protocol.source))
    assert modern["_mode"] == "modern"


def test_resumed_equals_uninterrupted(tmp_path, tasks, protocol):
    whole = run(Counting(), "[SEP]", tmp_path / "whole", "m", tasks, protocol)
    run(Counting(), "[SEP]", tmp_path / "parts", "m", tasks[:1], protocol)
    assert run(Counting(), "[SEP]", tmp_path / "parts", "m", tasks, protocol) == whole


def test_records_come_in_the_order_of_the_task_table(tmp_path, tasks, protocol):
    names = ["Search", "One", "RELISH"]
    run(Counting(), "|", tmp_path, "m", [{**tasks[0], "name": name} for name in names], protocol)
    assert [record["name"] for record in stored_records(tmp_path)] == ["RELISH", "Search", "One"]


def test_failed_tasks_are_reported_and_tried_again(tmp_path, tasks, protocol):
    (tmp_path / "two").rename(tmp_path / "hidden")
    with pytest.warns(UserWarning, match="Two failed"):
        broken = run(Counting(), "[SEP]", tmp_path / "out", "m", tasks, protocol)
    assert "no files of split 'test'" in broken["Two"]["error"]
    assert "map" in broken["One"]
    (tmp_path / "hidden").rename(tmp_path / "two")
    assert run(Counting(), "[SEP]", tmp_path / "out", "m", tasks, protocol)["Two"] == broken["One"]


def test_stored_vectors_are_used_for_the_same_texts_only(tmp_path, tasks, protocol):
    store = tmp_path / "vectors"
    first = run(Counting(), "[SEP]", tmp_path / "a", "m", tasks, protocol, store=store)
    unused = Counting(fail=True)
    assert run(unused, "[SEP]", tmp_path / "b", "m", tasks, protocol, store=store) == first
    other = Counting()
    run(other, "[SEP]", tmp_path / "c", "m", tasks, protocol, settings={"pooling": "mean"}, store=store)
    assert len(other.texts) == 9
    assert len(list(store.glob("*.npy"))) == 2


def test_bad_encoders_fail_their_task(tmp_path, tasks, protocol):
    with pytest.warns(UserWarning, match="One failed"):
        result = run(lambda texts: np.ones(3), "|", tmp_path / "x", "m", tasks[:1], protocol)
    assert "shape (3,) for 9 texts" in result["One"]["error"]
    with pytest.warns(UserWarning, match="One failed"):
        result = run(lambda texts: np.full((len(texts), 2), np.nan), "|", tmp_path / "y", "m", tasks[:1], protocol)
    assert "not finite" in result["One"]["error"]


def test_vectors_of_several_models_are_averaged(tmp_path, tasks, protocol):
    """Protocol section 3.4; each model reads texts with its own separator."""

    class Flat:
        def __init__(self, scale):
            self.scale, self.texts = scale, []

        def __call__(self, texts):
            self.texts += texts
            places = [int(text.split()[0][1:] or 0) if text else 0 for text in texts]
            return self.scale * np.array([[place % 5, place**2 % 7] for place in places], dtype=np.float64)

    one, other = Flat(1.0), Flat(3.0)
    both = run(one, "[SEP]", tmp_path / "both", "m", tasks, protocol, store=tmp_path / "v", others=[(other, "</s>")])
    assert (one.texts[1], other.texts[1]) == ("t1 [SEP] a1", "t1 </s> a1")
    assert len(list((tmp_path / "v").glob("*.npy"))) == 2
    table, counts = Embedder([(one, "[SEP]"), (other, "</s>")], {}).embed(tasks[0], protocol)
    assert table["3"].tolist() == [6.0, 4.0]
    assert counts["documents"] == 9
    assert both == run(Flat(2.0), "[SEP]", tmp_path / "alone", "m", tasks, protocol)
    with pytest.warns(UserWarning, match="2 and 4 dimensions have no mean"):
        run(one, "|", tmp_path / "x", "m", tasks[:1], protocol, others=[(Counting(), "|")])


def test_no_text_at_all(tmp_path, tasks, protocol):
    (tmp_path / "meta.jsonl").write_text("")
    with pytest.warns(UserWarning, match="has no documents"):
        run(Counting(), "|", tmp_path / "x", "m", tasks[:1], protocol)
    bare = {**tasks[0], "data": {"test": "one"}}
    with pytest.warns(UserWarning, match="no meta set"):
        run(Counting(), "|", tmp_path / "x", "m", [bare], protocol)


def test_s2and_embedding_files(tmp_path):
    for name in DATASETS:
        (tmp_path / name).mkdir()
        papers = {
            "7": {"paper_id": 7, "title": "T", "abstract": None},
            "8": {"paper_id": 8, "title": "U", "abstract": "v"},
        }
        (tmp_path / name / f"{name}_papers.json").write_text(json.dumps(papers))
    encode = Counting()
    written = write_embeddings(tmp_path, encode, "[SEP]", "semcse")
    assert [path.name for path in written] == [f"{name}_semcse.pkl" for name in DATASETS]
    assert encode.texts[:2] == ["T", "U [SEP] v"]
    vectors, ids = pickle.loads(written[0].read_bytes())  # noqa: S301
    assert vectors.shape == (2, 4)
    assert vectors.dtype == np.float32
    assert ids.tolist() == ["7", "8"]
    (tmp_path / "qian" / "qian_papers.json").unlink()
    with pytest.raises(FileNotFoundError, match="qian_papers"):
        write_embeddings(tmp_path, encode, "[SEP]", "semcse")


@pytest.mark.parametrize("separator", [",", "   "])
def test_s2and_score(tmp_path, separator):
    values = [0.9, 0.95, 0.91, 0.97, 0.93, 0.94]
    header = separator.join(["", *DATASETS])
    rows = [separator.join([name, *map(str, numbers)]) for name, numbers in (("qian", [0] * 6), ("union", values))]
    (tmp_path / "grid").write_text("\n".join([header, *rows]))
    assert read_b3(tmp_path / "grid") == pytest.approx(round(100 * sum(values) / 6, 2))
    assert with_s2and({"Search": {"ndcg": 70.0}}, 93.33) == {"Search": {"ndcg": 70.0}, "S2AND": {"b3_f1": 93.33}}
    with pytest.raises(ValueError, match="percent"):
        with_s2and({}, 933)
    (tmp_path / "short").write_text("\n".join([header, separator.join(["union", "0.9"])]))
    with pytest.raises(ValueError, match="lacks a number"):
        read_b3(tmp_path / "short")
    (tmp_path / "none").write_text(header)
    with pytest.raises(ValueError, match="a row 'union'"):
        read_b3(tmp_path / "none")
