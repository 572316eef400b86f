"""Where papers come from, what is refused and why, and the five disjoint sets."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from semcse.papers import clean, demo_rows, load_papers, normalised_title, to_dataset
from semcse.readers import DataError
from semcse.schema import Sampling
from semcse.splits import NAMES, load_splits, sample

TWO = "We look at something. We find it."


def papers(count: int, **more) -> list[dict]:
    return [{"corpus_id": i, "title": f"Paper number {i}", "abstract": TWO, **more} for i in range(1, count + 1)]


def jsonl(path, rows):
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8") as handle:
        handle.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def test_the_demo_corpus_is_whole():
    corpus = load_papers("demo")
    assert isinstance(corpus, Dataset)
    assert corpus.column_names == ["corpus_id", "title", "abstract", "source", "field"]
    assert list(corpus["corpus_id"]) == list(range(1, 1001))
    assert len(set(corpus["field"])) == 20
    assert set(corpus["source"]) == {"demo"}


@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz", "p.csv", "p.csv.gz", "p.tsv", "p.parquet"])
def test_every_file_format_gives_the_same_papers(tmp_path, name):
    rows = papers(3, field="Physics")
    rows[1]["abstract"] = 'Commas, "quotes"\nand lines. A second  sentence – with a dash.'
    path = tmp_path / name
    if "jsonl" in name:
        jsonl(path, rows)
    elif name.endswith(".parquet"):
        pd.DataFrame(rows).to_parquet(path)
    else:
        pd.DataFrame(rows).to_csv(path, index=False, sep="\t" if "tsv" in name else ",")
    corpus = load_papers("file", path)
    assert list(corpus["corpus_id"]) == [1, 2, 3]
    assert corpus[1]["abstract"] == 'Commas, "quotes" and lines. A second sentence – with a dash.'
    assert set(corpus["source"]) == {"p"}
    assert set(corpus["field"]) == {"Physics"}


def test_columns_are_mapped_and_missing_ids_numbered(tmp_path):
    path = jsonl(tmp_path / "own.jsonl", [{"Titel": "One paper here", "Text": TWO}, {"Titel": "Another", "Text": TWO}])
    corpus = load_papers("file", path, columns={"title": "Titel", "abstract": "Text"})
    assert list(corpus["corpus_id"]) == [1, 2]
    assert list(corpus["field"]) == [None, None]


def test_ids_stay_text_where_they_are_not_plain_integers():
    rows = [("here", paper) for paper in papers(2)]
    assert list(clean(rows)[0]["corpus_id"]) == [1, 2]
    rows[1][1]["corpus_id"] = "007"
    assert list(clean(rows)[0]["corpus_id"]) == ["1", "007"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"title": "  "}, "no title"),
        ({"title": "?!"}, "no title"),
        ({"abstract": None}, "empty abstract"),
        ({"abstract": float("nan")}, "empty abstract"),
        ({"abstract": "Only one sentence."}, "abstract of fewer than 2 sentences"),
        ({"corpus_id": 1}, "same id as p.jsonl, line 1"),
        ({"title": "PAPER: number-1"}, "same title as p.jsonl, line 1"),
    ],
)
def test_unusable_papers_are_refused_or_listed(change, reason):
    rows = papers(3)
    rows[1] |= change
    located = [(f"p.jsonl, line {i}", row) for i, row in enumerate(rows, start=1)]
    with pytest.raises(DataError) as caught:
        clean(located)
    assert "p.jsonl, line 2: " + reason in str(caught.value)
    assert "sampling.invalid=drop" in str(caught.value)
    kept, dropped = clean(located, invalid="drop")
    assert list(kept["corpus_id"]) == [1, 3]
    assert dropped[["where", "reason"]].to_numpy().tolist() == [["p.jsonl, line 2", reason]]


def test_one_sentence_is_enough_when_asked():
    assert len(clean([("x", {**papers(1)[0], "abstract": "Only one sentence."})], min_sentences=1)[0]) == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.jsonl", None, "no such file"),
        ("p.xml", b"<x/>", "expected a name ending in"),
        ("p.jsonl.gz", b"no gzip", "not readable as gzip"),
        ("p.csv.gz", b"no gzip", "must be gzip-compressed"),
        ("p.parquet", b"no parquet", "not readable as Parquet"),
        ("p.csv", b"title,abstract\ncaf\xe9,b\n", "not UTF-8"),
        ("p.jsonl", b'{"title": "caf\xe9"}\n', "not UTF-8"),
        ("p.csv", b"", "not readable as CSV"),
        ("p.csv", b"Titel,abstract\na,b\n", "no column 'title'; there are ['Titel', 'abstract']"),
        ("p.jsonl", b'{"title": "a title"}\n', "line 1: no column 'abstract'"),
        ("p.jsonl", b"", "no papers"),
    ],
)
def test_bad_files_are_named_with_a_remedy(tmp_path, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_papers("file", path)
    assert said in str(caught.value)
    if content != b"":
        assert name in str(caught.value)


def test_unknown_columns_and_missing_paths_are_named(tmp_path):
    with pytest.raises(DataError, match="abstrct"):
        load_papers("file", jsonl(tmp_path / "p.jsonl", papers(1)), columns={"abstrct": "x"})
    with pytest.raises(DataError, match=r"sampling\.path"):
        load_papers("file")


def test_normalised_titles_ignore_case_punctuation_and_space():
    assert normalised_title("The  CO2-cycle: Α β!") == normalised_title("the co2 cycle α Β")
    assert normalised_title("a1") != normalised_title("a2")


DEMO = Sampling(source="demo", training=300, validation=50, benchmark=100, clustering=120, clustering_test=0.25)


def test_the_sets_are_disjoint_and_of_the_asked_sizes():
    splits = sample(DEMO, seed=1)
    assert {name: len(papers) for name, papers in splits.sets().items()} == dict(
        zip(NAMES, (300, 50, 100, 90, 30), strict=True)
    )
    ids = [paper_id for papers in [*splits.sets().values(), splits.rest] for paper_id in papers["corpus_id"]]
    assert sorted(ids) == list(range(1, 1001))


def test_the_seed_alone_decides_the_sets():
    first, again, other = (sample(DEMO, seed) for seed in (1, 1, 2))
    assert list(first.benchmark["corpus_id"]) == list(again.benchmark["corpus_id"])
    assert list(first.benchmark["corpus_id"]) != list(other.benchmark["corpus_id"])


def test_training_takes_what_is_left_unless_told():
    everything = sample(DEMO.model_copy(update={"training": None}), seed=0)
    assert len(everything.training) == 1000 - 50 - 100 - 120
    assert len(everything.rest) == 0


def test_too_few_papers_are_refused_with_the_possible_number():
    with pytest.raises(DataError, match=r"sampling.training asks for 900 papers, but only 730 are left"):
        sample(DEMO.model_copy(update={"training": 900}), seed=0)


def test_ready_made_papers_train_and_others_test(tmp_path):
    corpus = jsonl(tmp_path / "corpus.jsonl", papers(60, field="x"))
    ready = jsonl(tmp_path / "ready.jsonl", [{"corpus_id": i, "summaries": ["a", "b"]} for i in range(1, 31)])
    sampling = Sampling(
        source="file",
        path=str(corpus),
        ready_made=str(ready),
        ready_made_benchmark=4,
        training=20,
        validation=5,
        benchmark=14,
        clustering=10,
        clustering_test=0.5,
    )
    splits = sample(sampling, seed=0)
    assert max([*splits.training["corpus_id"], *splits.validation["corpus_id"]]) <= 30
    assert min([*splits.clustering_train["corpus_id"], *splits.clustering_test["corpus_id"]]) > 30
    assert sum(paper_id <= 30 for paper_id in splits.benchmark["corpus_id"]) == 4
    strangers = jsonl(tmp_path / "strangers.jsonl", [{"corpus_id": 99, "summaries": ["a", "b"]}])
    with pytest.raises(DataError, match=r"strangers\.jsonl: none of its papers"):
        sample(sampling.model_copy(update={"ready_made": str(strangers)}), seed=0)


def test_sources_are_respected_and_unknown_ones_named(tmp_path):
    rows = papers(40, field="x")
    for row in rows[:20]:
        row["source"] = "arxiv"
    sampling = Sampling(
        source="file",
        path=str(jsonl(tmp_path / "c.jsonl", rows)),
        validation=4,
        training=4,
        benchmark=6,
        benchmark_sources=["arxiv"],
        clustering=10,
        clustering_sources=["arxiv"],
    )
    splits = sample(sampling, seed=0)
    assert set(splits.benchmark["source"]) == set(splits.clustering_train["source"]) == {"arxiv"}
    with pytest.raises(DataError, match=r"\['arxive'\]; the corpus has sources \['arxiv', 'c'\]"):
        sample(sampling.model_copy(update={"clustering_sources": ["arxive"]}), seed=0)


def test_saved_sets_come_back(tmp_path):
    splits = sample(DEMO, seed=3)
    splits.save(tmp_path, seed=3)
    again = load_splits(tmp_path)
    for name, papers_ in splits.sets().items():
        assert again.sets()[name].to_dict() == papers_.to_dict()
    recorded = json.loads((tmp_path / "ids.json").read_text())
    assert recorded["seed"] == 3
    assert recorded["benchmark"] == list(splits.benchmark["corpus_id"])
    with pytest.raises(DataError, match="Run notebook 01"):
        load_splits(tmp_path / "none")


def test_blocks_join_into_one_table(monkeypatch):
    rows = [row for _, row in demo_rows()] * 11
    table = to_dataset(rows)
    assert len(table) == 11_000
    assert np.array_equal(table["corpus_id"][10_990:], [row["corpus_id"] for row in rows[10_990:]])
