"""Texts that nobody expects: too long, empty, of any script, with characters that are none."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from semcse.cleaning import reject_reason, tidy
from semcse.encoder import Encoder
from semcse.map import map_html
from semcse.papers import clean, file_rows, load_papers, to_dataset
from semcse.readers import DataError
from semcse.sampler import PairSampler
from semcse.sentences import halves, split_sentences
from semcse.summaries import generate_summaries, load_rejects, load_summaries
from semcse.writers import Continuation, Request, Writer
from semcse.writers.extractive import ExtractiveWriter
from tests.faults.listed import fault
from tests.tiny import tiny_bert

Told = Callable[[object], None]
WORDS = 100_000
ODD = {
    "right to left": "تأثير الجليد على الفيضانات. هذه هي الجملة الثانية.",
    "mixed directions": "The word \u202eالجليد\u202c is Arabic. \u200fשלום \u200eis Hebrew.",
    "Chinese": "冰对洪水的影响。这是第二句话。",
    "emoji": "Ice 🧊 and floods 🌊👩‍🔬. A second 🏳️‍🌈 sentence.",
    "combining": "Cafe\u0301 and Z\u0335\u0321\u0353a\u0337lgo. It is the se\u0301cond one.",
    "NUL": "Ice\x00 and floods. A second\x00 sentence.",
    "lone surrogate": "Ice \ud83d and floods. A second \udc00 sentence.",
    "line separators": "Ice\u2028and\u2029floods\x85. A\x0bsecond\x1csentence.",
    "markup": "</script><script>alert(1)</script>. <b onclick=x>A second</b> &amp; sentence.",
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.load(tiny_bert(tmp_path_factory.mktemp("model")), device="cpu")


def corpus(path: Path, papers: list[dict[str, str]]) -> Path:
    path.write_text("\n".join(json.dumps(paper) for paper in papers), "utf-8")
    return path


@pytest.mark.parametrize("script", ODD)
@fault(
    "any script, direction, emoji, NUL, lone surrogates, markup in titles and abstracts",
    "all of it goes through reading, sampling, encoding and files; half a surrogate pair becomes U+FFFD",
)
def test_any_text_goes_through(tmp_path: Path, encoder: Encoder, script: str) -> None:
    text = ODD[script]
    given = [{"corpus_id": name, "title": f"{name} {text}", "abstract": f"{text} {name}."} for name in ("a", "b", "c")]
    papers, dropped = clean(file_rows(corpus(tmp_path / "my.jsonl", given), {}))
    assert dropped.empty
    expected = re.sub("[\ud800-\udfff]", "\ufffd", " ".join(given[1]["abstract"].split()))
    assert papers[1]["abstract"] == expected
    assert to_dataset(papers)[1]["abstract"] == expected
    assert "".join("".join(split_sentences(expected)).split()) == "".join(expected.split())
    assert all(halves(expected))
    job = {"prompts": {"findings": "F"}, "draws": 2, "shard_size": 2}
    generate_summaries(papers, ExtractiveWriter(), tmp_path / "summaries", **job)
    rows = len(load_summaries(tmp_path / "summaries")) + len(load_rejects(tmp_path / "summaries"))
    assert rows >= 6
    records = [{**paper, "summaries": [f"{paper['title']} one", f"{paper['title']} two"]} for paper in papers]
    pairs = [pair for batch in PairSampler(records, batch_size=3) for pair in batch]
    assert {pair[2] for pair in pairs} == {"a", "b", "c"}
    vectors = encoder.encode([expected, "", expected])
    assert np.isfinite(vectors).all()
    np.testing.assert_array_equal(vectors[0], vectors[2])


@pytest.mark.parametrize("script", ODD)
@fault("the same texts in pages", "shown as text; no markup of theirs reaches the page")
def test_any_text_in_pages(script: str) -> None:
    text = ODD[script]
    page = map_html(np.zeros((1, 2)), [text], [text[:20]], heading=text)
    page.encode("utf-8", "surrogatepass")
    assert "alert(1)</script>" not in page
    found = re.search(r"<script[^>]+application/json[^>]*>(.*?)</script>", page, re.DOTALL)
    assert found is not None
    assert json.loads(found[1])["titles"] == [text]


@fault(
    "a writer answers with half a surrogate pair",
    "the text is rejected as not printable and stays among the rejected; the shard is written",
)
def test_a_writer_s_answer_with_a_lone_surrogate(tmp_path: Path) -> None:
    class Odd(Writer):
        model = "odd"

        def continuations(self, requests: list[Request]) -> list[Continuation]:
            return [Continuation(f"the answer {request.seed} \ud83d is odd.", 5, "sentence") for request in requests]

    papers = [{"corpus_id": 1, "title": "A", "abstract": "One. Two."}]
    generate_summaries(papers, Odd(), tmp_path, prompts={"findings": "F"}, draws=1, redraws=0)
    assert load_summaries(tmp_path).empty
    assert load_rejects(tmp_path)["reject"].tolist() == ["non_printable"]
    assert reject_reason(tidy("the answer \ud83d is odd."), title="", abstract="") == "non_printable"
    assert tidy("a \ud83d\ude00 joined") == "a 😀 joined"


@pytest.mark.parametrize("kind", ["sentences", "one sentence of clauses", "one word"])
@fault(
    "an abstract of 100,000 words",
    "goes through reading, splitting, writing and sampling in a few seconds; the encoder cuts it at max_length",
)
def test_a_hundred_thousand_words(tmp_path: Path, encoder: Encoder, kind: str) -> None:
    between = {"sentences": ". ", "one sentence of clauses": ", ", "one word": ""}[kind]
    long = between.join(f"{'Ice' if kind == 'sentences' else 'ice'} number {k} of a list" for k in range(WORDS // 6))
    abstract = f"{long}. A second sentence of the abstract."
    given = [{"corpus_id": name, "title": f"{name} title", "abstract": f"{name} {abstract}"} for name in ("a", "b")]
    papers, _ = clean(file_rows(corpus(tmp_path / "my.jsonl", given), {}))
    assert [len(paper["abstract"]) for paper in papers] == [len(abstract) + 2] * 2
    assert sum(map(len, halves(papers[0]["abstract"]))) == len(abstract) + 1
    job = {"prompts": {"findings": "F", "takeaway": "T"}, "draws": 2}
    report = generate_summaries(papers, ExtractiveWriter(), tmp_path / "summaries", **job)
    assert report.papers == 2
    records = [{**paper, "summaries": ["one of it", "two of it"]} for paper in papers]
    assert sum(len(batch) for batch in PairSampler(records, batch_size=2)) == 2
    short = " ".join(papers[0]["abstract"].split()[:100])
    if kind != "one word":
        np.testing.assert_array_equal(encoder.encode([papers[0]["abstract"]]), encoder.encode([short]))


@fault(
    "empty and blank texts",
    "papers without title or abstract are named with their line or left out; an empty text has a vector",
    "2 papers cannot be used:...line 2: no title...line 3: abstract of fewer than 2 sentences",
)
def test_empty_texts(tmp_path: Path, encoder: Encoder, told: Told) -> None:
    papers = [("A", "One. Two."), (" \u3000\x00", "One. Two."), ("C", "One.")]
    path = corpus(tmp_path / "my.jsonl", [dict(zip(("title", "abstract"), paper, strict=True)) for paper in papers])
    with pytest.raises(DataError) as error:
        load_papers("file", path)
    told(error.value)
    assert load_papers("file", path, invalid="drop")["title"] == ["A"]
    vectors = encoder.encode(["", " ", "\x00", "a"])
    assert vectors.shape == (4, 16)
    assert np.isfinite(vectors).all()
    assert encoder.encode([]).shape == (0, 16)
