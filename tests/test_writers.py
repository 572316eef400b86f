"""Writers without a model: bundled, from a file, extractive; and the protocol that all share."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from semcse.cleaning import canonical, contains
from semcse.prompts import PROMPTS, QUERY_PROMPT, continuation_prompt
from semcse.readers import DataError, read_jsonl
from semcse.summaries import generate_summaries, load_summaries, training_records
from semcse.writers import DemoWriter, ExtractiveWriter, FileWriter, Request, Writer, as_writer

PAPERS: list[dict[str, Any]] = [
    {
        "corpus_id": number,
        "title": f"The title of paper number {number}",
        "abstract": f"We ask what paper {number} is about (and why). It was measured in mice, rats, and several other "
        "animals of the same age and weight. The results, however, were quite different from those expected before. "
        "Therefore, we conclude that more work is needed, in particular on larger animals in the field.",
    }
    for number in range(1, 5)
]


def write_file(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def row(number: int, count: int = 5, **extra: Any) -> dict[str, Any]:
    return {"corpus_id": number, "summaries": [f"summary {k} of paper {number}" for k in range(count)], **extra}


def test_demo_corpus_gives_its_five_summaries(root: Path, tmp_path: Path) -> None:
    corpus = [paper for _, paper in read_jsonl(root / "semcse" / "data" / "demo_corpus.jsonl.gz")]
    generate_summaries(corpus[::7], DemoWriter(), tmp_path)
    rows = load_summaries(tmp_path)
    assert rows["text"].tolist() == [summary for paper in corpus[::7] for summary in paper["summaries"]]
    assert rows["prompt"].tolist() == list(PROMPTS) * len(corpus[::7])
    assert set(rows["draw"]) == {0}
    records, excluded = training_records(corpus[::7], rows)
    assert (len(records), len(excluded)) == (143, 0)


def test_demo_queries(root: Path) -> None:
    paper = next(paper for _, paper in read_jsonl(root / "semcse" / "data" / "demo_corpus.jsonl.gz"))
    writer = DemoWriter()
    assert writer.slots(paper, {"query": QUERY_PROMPT}, 1) == [("query", 0)]
    assert writer.continuations([Request(paper, "query", "")])[0].text == paper["query"]


@pytest.mark.parametrize("name", ["ready.jsonl", "ready.jsonl.gz"])
def test_file_by_id_and_by_title(tmp_path: Path, name: str) -> None:
    rows = [
        row(1),
        {"title": "the TITLE of paper, number 2", "abstract": "x", "summaries": ["one summary", "another one"]},
    ]
    rows += [row(int(paper["corpus_id"]), 10) | {"corpus_id": str(paper["corpus_id"])} for paper in PAPERS[2:]]
    generate_summaries(PAPERS, FileWriter(write_file(tmp_path / name, rows)), tmp_path / "out")
    found = load_summaries(tmp_path / "out")
    assert found["text"].tolist() == [summary for item in rows for summary in item["summaries"]]
    assert found.groupby("corpus_id")["draw"].max().tolist() == [0, 1, 1, 1]
    assert found.loc[found["corpus_id"] == 2, "prompt"].tolist() == ["ready", "ready"]
    assert found.loc[found["corpus_id"] == 3, "prompt"].tolist() == [key for key in PROMPTS for _ in range(2)]


def test_file_of_more_than_is_asked_for(tmp_path: Path) -> None:
    writer = FileWriter(write_file(tmp_path / "f.jsonl", [row(1, 15)]))
    one = {"concern": PROMPTS["concern"]}
    generate_summaries(PAPERS[:1], writer, tmp_path / "out", prompts=one, draws=2)
    assert load_summaries(tmp_path / "out")["text"].tolist() == ["summary 3 of paper 1", "summary 4 of paper 1"]


def test_paper_without_summaries_is_reported(tmp_path: Path) -> None:
    generate_summaries(PAPERS[:2], FileWriter(write_file(tmp_path / "f.jsonl", [row(1)])), tmp_path / "out")
    records, excluded = training_records(PAPERS[:2], load_summaries(tmp_path / "out"))
    assert [record["corpus_id"] for record in records] == [1]
    assert excluded.to_dict("records") == [{"corpus_id": 2, "distinct": 0}]


def test_summaries_for_unknown_papers(tmp_path: Path) -> None:
    path = write_file(tmp_path / "f.jsonl", [row(1), row(3), row(77)])
    with pytest.raises(DataError, match=r"f\.jsonl, line 2: summaries for an unknown paper \(2 such lines\)"):
        generate_summaries(PAPERS[:1], FileWriter(path), tmp_path / "out")
    with pytest.raises(DataError, match=r"f\.jsonl, line 3: summaries for an unknown paper \(1 such lines\)"):
        generate_summaries(PAPERS[:1], FileWriter(path, corpus=PAPERS), tmp_path / "out")
    generate_summaries(PAPERS[:1], FileWriter(path, ignore_unknown=True), tmp_path / "out")
    assert len(load_summaries(tmp_path / "out")) == 5


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(50)], "no summaries for any of the papers"),
        ([{"corpus_id": 1}], "line 1: no key 'summaries'"),
        ([row(1), row(2, 0)], "line 2: 'summaries' should be a list of texts, got"),
        ([{**row(1), "summaries": "one text"}], "line 1: 'summaries' should be list, got 'one text'"),
        ([{"title": "T", "summaries": ["a b c"]}], "line 1: no key 'abstract'"),
        ([row(1), row(1)], "line 2: corpus_id '1' was on line 1 already"),
        ([row(1, title="Something else")], "line 1: corpus_id 1 has another title there"),
    ],
)
def test_bad_files(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    path = write_file(tmp_path / "f.jsonl", rows)
    with pytest.raises(DataError, match=message) as caught:
        generate_summaries(PAPERS, FileWriter(path), tmp_path / "out")
    assert str(path) in str(caught.value)


def test_changed_file_is_another_job(tmp_path: Path) -> None:
    generate_summaries(PAPERS[:1], FileWriter(write_file(tmp_path / "f.jsonl", [row(1)])), tmp_path / "out")
    with pytest.raises(DataError, match="holds another job"):
        generate_summaries(PAPERS[:1], FileWriter(write_file(tmp_path / "f.jsonl", [row(1, 10)])), tmp_path / "out")


def test_extractive_differs_by_prompt_and_draw_and_repeats_by_seed(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        generate_summaries(PAPERS, ExtractiveWriter(), tmp_path / name, seed=seed)
    a, b, c = (load_summaries(tmp_path / name) for name in "abc")
    assert a["text"].tolist() == b["text"].tolist()
    assert a["text"].tolist() != c["text"].tolist()
    assert not a.duplicated(["corpus_id", "text"]).any()
    assert (a.groupby("corpus_id").size() >= 6).all()


def test_extractive_takes_words_of_the_abstract_in_order(tmp_path: Path) -> None:
    generate_summaries(PAPERS, ExtractiveWriter(), tmp_path)
    abstract = {paper["corpus_id"]: paper["abstract"].replace(" (and why)", "") for paper in PAPERS}
    rows = load_summaries(tmp_path)
    assert all(contains(abstract[paper], text) for paper, text in zip(rows["corpus_id"], rows["text"], strict=True))


def test_extractive_with_one_sentence(tmp_path: Path) -> None:
    paper = {"corpus_id": 1, "title": "T", "abstract": "Only one sentence is there."}
    report = generate_summaries([paper], ExtractiveWriter(), tmp_path)
    assert load_summaries(tmp_path)["text"].tolist() == ["Only one sentence is there."]
    assert report.unfilled == 14


@pytest.mark.parametrize("writer", [DemoWriter(), ExtractiveWriter()], ids=["demo", "extractive"])
def test_public_protocol(root: Path, writer: Writer) -> None:
    paper = next(paper for _, paper in read_jsonl(root / "semcse" / "data" / "demo_corpus.jsonl.gz"))
    texts = writer.write([continuation_prompt(paper, prompt) for prompt in PROMPTS.values()], 1)
    assert [len(drawn) for drawn in texts] == [1] * 5
    assert len({canonical(drawn[0]) for drawn in texts}) > 1
    if isinstance(writer, DemoWriter):
        assert [drawn[0] for drawn in texts] == paper["summaries"]


def test_what_is_no_writer() -> None:
    with pytest.raises(TypeError, match="expected a writer with a method write"):
        as_writer(object())  # type: ignore[arg-type]
