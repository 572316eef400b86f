"""Result records and files that appear whole."""

import json
import os

import numpy as np
import pytest

from semcse.files import atomic_path, write_atomic
from semcse.records import mark_done, read_records, score_table, write_record


def test_records_hold_scores_and_where_they_come_from(tmp_path):
    path = write_record(
        tmp_path, "My model/v1", "clustering", {"purity": 0.5}, n=7, seed=3, seconds=1.25, metric="cosine"
    )
    assert path.name == "clustering--My_model_v1.json"
    (record,) = read_records(tmp_path)
    assert record["model"] == "My model/v1"
    assert record["scores"] == {"purity": 0.5}
    assert (record["n"], record["seed"], record["seconds"], record["metric"]) == (7, 3, 1.25, "cosine")
    assert {"python", "semcse", "torch"} <= set(record["versions"])
    assert record["hardware"]["cores"] == os.cpu_count()


def test_records_refuse_what_is_no_number(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_record(tmp_path, "m", "t", {"purity": float("nan")}, n=1, seed=0, seconds=0)
    assert read_records(tmp_path) == []


def test_missing_scores_are_missing_in_the_table(tmp_path):
    for model, task, score in [("a", "x", 1.0), ("a", "y", 2.0), ("b", "x", 3.0)]:
        write_record(tmp_path, model, task, {"mean_rank": score}, n=1, seed=0, seconds=0)
    table = score_table(read_records(tmp_path), {"x": "mean_rank", "y": "mean_rank", "z": "mean_rank"})
    assert table.columns.tolist() == ["x", "y", "z"]
    np.testing.assert_array_equal(table.to_numpy(), [[1.0, 2.0, np.nan], [3.0, np.nan, np.nan]])
    assert [record["task"] for record in read_records(tmp_path, "x")] == ["x", "x"]


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = write_atomic(tmp_path / "sub" / "a.json", json.dumps({"a": "ä"}))
    assert json.loads(target.read_text("utf-8")) == {"a": "ä"}

    def fail():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert json.loads(target.read_text("utf-8")) == {"a": "ä"}
    assert [path.name for path in target.parent.iterdir()] == ["a.json"]


def test_a_stage_done_again_says_so_even_with_the_same_facts(tmp_path):
    """Else what depends on it would be taken for up to date."""
    first = mark_done(tmp_path, "benchmarks", {"models": ["one"]}).read_bytes()
    assert mark_done(tmp_path, "benchmarks", {"models": ["one"]}).read_bytes() != first
    assert json.loads(first)["models"] == ["one"]
