"""Drawing the study's sets from local copies in SciRepEval's schemas."""

import json

import pandas as pd
import pytest

from semcse.benchmark import BENCHMARK_SETS
from semcse.readers import DataError
from semcse.schema import TRAINING_SETS, Sampling
from semcse.scirepeval.sampling import row_papers, sample_scirepeval, set_rows

ROWS = 30
TEXT = "We look at it. We find it."


def document(identity: int, name: str) -> dict:
    return {"doc_id": str(identity), "corpus_id": identity, "title": f"{name} study {identity}", "abstract": TEXT}


def simple(name, start):
    return [document(start + i, name) for i in range(ROWS)]


def with_candidates(name, start):
    rows = [[document(start + 4 * i + j, name) for j in range(4)] for i in range(ROWS)]
    return [{"doc_id": f"q{i}", "query": group[0], "candidates": group[1:]} for i, group in enumerate(rows)]


def triplets(name, start):
    groups = [[document(start + 3 * i + j, name) for j in range(3)] for i in range(ROWS)]
    return [dict(zip(("query", "pos", "neg"), group, strict=True)) for group in groups]


FORMS = {"search": with_candidates, "same_author": with_candidates, "relish": with_candidates}
FORMS |= {"cite_prediction_new": triplets, "cite_prediction": triplets, "high_influence_cite": with_candidates}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scirepeval")
    for place, name in enumerate(sorted({*TRAINING_SETS, *BENCHMARK_SETS})):
        rows = FORMS.get(name, simple)(name, 1000 * (place + 1))
        (folder / name).mkdir()
        if place % 2:
            (folder / name / "train").mkdir()
            pd.DataFrame(rows).to_parquet(folder / name / "train" / "0000.parquet")
        else:
            (folder / name / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    papers = [document(i, "mag") for i in range(1, 41)]
    papers[3]["abstract"] = None
    (folder / "scidocs_mag_mesh").mkdir()
    (folder / "scidocs_mag_mesh" / "evaluation.jsonl").write_text("".join(json.dumps(p) + "\n" for p in papers))
    labels = folder / "scidocs_mag"
    labels.mkdir()
    for split, ids in (("train", range(1, 31)), ("test", range(31, 41))):
        lines = [json.dumps({"paper_id": str(i), "label": i % 3}) + "\n" for i in ids]
        (labels / f"{split}.jsonl").write_text("".join(lines))
    return folder


def settings(folder, **changes) -> Sampling:
    sizes = dict.fromkeys(TRAINING_SETS, 5)
    return Sampling(
        path=str(folder), sets=sizes, validation=7, benchmark=25, invalid="drop", min_sentences=1, **changes
    )


def test_the_sets_follow_the_appendix(copy):
    splits = sample_scirepeval(settings(copy), seed=0)
    counts = {name: len(papers) for name, papers in splits.sets().items()}
    assert counts == {
        "training": 30,
        "validation": 7,
        "benchmark": 25,
        "clustering_train": 30,
        "clustering_test": 10,
    }
    assert pd.Series(splits.training["source"]).value_counts().to_dict() == dict.fromkeys(TRAINING_SETS, 5)
    per_set = pd.Series(splits.benchmark["source"]).value_counts()
    assert set(per_set.index) == set(BENCHMARK_SETS)
    assert sorted(per_set.unique()) == [2, 3]
    assert set(splits.clustering_test["field"]) == {"MAG 0", "MAG 1", "MAG 2"}


def test_no_paper_is_in_two_sets_and_one_a_row_is_drawn(copy):
    splits = sample_scirepeval(settings(copy), seed=1)
    ids = [paper_id for papers in splits.sets().values() for paper_id in papers["corpus_id"]]
    assert len(ids) == len(set(ids))
    search = [i for i, s in zip(splits.training["corpus_id"], splits.training["source"], strict=True) if s == "search"]
    rows = {row["candidates"][0]["corpus_id"] // 4 for _, row in set_rows("search", "train", "", settings(copy))}
    assert len({i // 4 for i in search} & rows) == len(search)


def test_a_training_paper_that_the_benchmark_has_is_left_out_and_counted(copy):
    crowded = settings(copy).model_copy(update={"sets": {"fos": 22}, "validation": 1, "benchmark": 60})
    splits = sample_scirepeval(crowded, seed=0)
    assert set(splits.training["corpus_id"]).isdisjoint(splits.benchmark["corpus_id"])
    assert (
        splits.dropped["where"].str.startswith(str(copy / "fos")) & splits.dropped["reason"].str.startswith("same id")
    ).any()


def test_the_seed_decides(copy):
    first, again, other = (sample_scirepeval(settings(copy), seed).training["corpus_id"][:] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_missing_sets_and_too_few_papers_are_named(copy, tmp_path):
    with pytest.raises(DataError, match=r"scidocs_mag_mesh: no evaluation/\*\.parquet"):
        sample_scirepeval(settings(tmp_path), seed=0)
    with pytest.raises(DataError, match="fos: 107 papers wanted"):
        sample_scirepeval(settings(copy).model_copy(update={"sets": {"fos": 100}}), seed=0)


def test_papers_are_found_in_every_form():
    a, b = document(1, "x"), document(2, "x")
    assert [p["corpus_id"] for p in row_papers({"query": "words", "doc_id": "9", "candidates": [a, b]}, "s")] == [1, 2]
    assert [p["corpus_id"] for p in row_papers({"query": a, "pos": b, "neg": None}, "s")] == [1, 2]
    assert row_papers({"query": "words", "candidates": []}, "s") == []
