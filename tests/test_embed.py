"""Own corpora: a file of papers embedded block by block, and the papers nearest to a question."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from tiny import tiny_demo_bert
from tqdm.auto import tqdm
from typer.testing import CliRunner

from semcse.cli import app
from semcse.corpus_search import load_vectors, nearest_to_paper, nearest_to_question
from semcse.corpus_vectors import Corpus, open_encoder, parse_columns, write_vectors
from semcse.encoder import Encoder
from semcse.models import ModelUnavailable
from semcse.papers import load_papers
from semcse.readers import DataError


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model's folder as training leaves it, compared by Euclidean distance."""
    folder = tmp_path_factory.mktemp("model")
    plain = tiny_demo_bert(folder / "plain")
    return Encoder.load(plain, pooling="mean").save(folder / "model", similarity="euclidean")


@pytest.fixture(scope="module")
def demo() -> pd.DataFrame:
    """Sixty papers whose ids are not in order."""
    papers = load_papers("demo").to_pandas().head(60)[["title", "abstract"]]
    return papers.assign(corpus_id=[1000 - 7 * row for row in range(60)])


@pytest.fixture(scope="module")
def stored(tmp_path_factory, model, demo):
    folder = tmp_path_factory.mktemp("stored")
    demo.to_csv(folder / "my.csv", index=False)
    write_vectors(Corpus(folder / "my.csv"), str(model), folder / "v.npy", precision="float32", block=16)
    return load_vectors(folder / "v.npy")


def joined(papers: pd.DataFrame) -> list[str]:
    return [f"{title} [SEP] {abstract}" for title, abstract in zip(papers["title"], papers["abstract"], strict=True)]


def cli(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_blocks_hold_what_the_encoder_gives_for_the_joined_texts(stored, model, demo):
    expected = Encoder.load(model, precision="float32").encode(joined(demo))
    np.testing.assert_allclose(stored.vectors, expected, atol=1e-5)
    assert np.abs(expected - expected.mean(0)).max() > 0.1  # papers differ, so that a wrong order would be seen
    assert stored.vectors.dtype == np.float32
    assert isinstance(stored.vectors, np.memmap)
    assert stored.made.metric == "euclidean"
    beside = pd.read_parquet(stored.path.with_suffix(".parquet"))
    assert beside["corpus_id"].tolist() == demo["corpus_id"].tolist()
    assert beside["title"].tolist() == demo["title"].tolist()
    assert pq.read_metadata(stored.path.with_suffix(".parquet")).num_row_groups == 4


def test_nearest_papers_are_those_of_brute_force(stored, model, demo):
    question = "river ice and the timing of floods"
    vector = Encoder.load(model, precision="float32").encode([question])[0].astype(float)
    distances = np.linalg.norm(np.asarray(stored.vectors, dtype=float) - vector, axis=1)
    order = np.argsort(distances)[:7]
    found = nearest_to_question(stored, question, 7)
    assert found["corpus_id"].tolist() == demo["corpus_id"].iloc[order].tolist()
    assert found["title"].tolist() == demo["title"].iloc[order].tolist()
    np.testing.assert_allclose(found["distance"], distances[order], rtol=1e-4)
    assert found["rank"].tolist() == [1, 2, 3, 4, 5, 6, 7]

    own = np.linalg.norm(stored.vectors - stored.vectors[41], axis=1)
    near = np.argsort(own)[1:4]
    other = nearest_to_paper(stored, str(demo["corpus_id"].iloc[41]), 3)
    assert other["corpus_id"].tolist() == demo["corpus_id"].iloc[near].tolist()
    assert len(nearest_to_paper(stored, "1000", 500)) == 59


def test_cosine_for_a_model_that_is_compared_so(tmp_path, model, demo):
    cosine = Encoder.load(model).save(tmp_path / "cosine", similarity="cosine")
    demo.to_json(tmp_path / "my.jsonl", orient="records", lines=True)
    write_vectors(Corpus(tmp_path / "my.jsonl"), str(cosine), tmp_path / "v.npy", precision="float32")
    stored = load_vectors(tmp_path / "v.npy")
    found = nearest_to_paper(stored, "1000", 5)
    unit = stored.vectors / np.linalg.norm(stored.vectors, axis=1, keepdims=True)
    expected = np.sort(unit[1:] @ unit[0])[::-1][:5]
    np.testing.assert_allclose(found["cosine"], expected, atol=1e-5)


def test_the_commands_and_a_compressed_file_with_other_names(tmp_path, model, stored, demo):
    other = demo.rename(columns={"title": "Überschrift", "abstract": "Summary"}).drop(columns="corpus_id")
    with gzip.open(tmp_path / "my.csv.gz", "wt", encoding="utf-8") as handle:
        other.to_csv(handle, index=False)
    out = tmp_path / "v.npy"
    columns = "{title: Überschrift, abstract: Summary}"
    done = cli(
        "embed", tmp_path / "my.csv.gz", "--model", model, "-o", out, "--columns", columns, "--precision", "float32"
    )
    assert done.exit_code == 0, done.output
    assert "60 papers, 0 left out" in done.output
    np.testing.assert_allclose(np.load(out), stored.vectors, atol=1e-5)
    asked = cli("nearest", "river", "ice", "--vectors", out, "-k", 3, "--model", model)
    assert asked.exit_code == 0, asked.output
    lines = asked.output.splitlines()
    assert len(lines) == 3
    assert lines[0].endswith(nearest_to_question(stored, "river ice", 1)["title"][0])
    by_paper = cli("nearest", "--paper", 42, "--vectors", out, "-k", 1)  # without an id column the row is the id
    assert by_paper.output.strip().endswith(nearest_to_paper(stored, str(1000 - 7 * 41), 1)["title"][0])
    both = cli("nearest", "river", "--paper", 42, "--vectors", out)
    assert both.exit_code == 1
    assert "either a question or --paper" in both.output


def test_any_script_line_breaks_and_plain_texts(tmp_path, model):
    rows = [
        {"corpus_id": "00a", "title": "تأثير\nالجليد", "abstract": "نص قصير."},
        {"corpus_id": "b", "title": "冰 and \u202eflood", "abstract": "A  word.\n\nAnother 😀."},
    ]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "my.jsonl").write_text(text, encoding="utf-8")
    write_vectors(Corpus(tmp_path / "my.jsonl"), str(model), tmp_path / "v.npy")
    stored = load_vectors(tmp_path / "v.npy")
    found = nearest_to_paper(stored, "b")
    assert found[["corpus_id", "title"]].values.tolist() == [["00a", "تأثير الجليد"]]

    survey = write_vectors(
        Corpus(tmp_path / "my.jsonl", text="abstract"), str(model), tmp_path / "t.npy", precision="float32"
    )
    assert survey.papers == 2
    expected = Encoder.load(model, precision="float32").encode(["نص قصير.", "A word. Another 😀."])
    np.testing.assert_allclose(np.load(tmp_path / "t.npy"), expected, atol=1e-5)


def test_papers_without_text_are_told_or_left_out(tmp_path, model):
    path, out = tmp_path / "my.csv", tmp_path / "v.npy"
    path.write_text("title,abstract\nA,One two.\nB,\n,Three.\nD,Four.\n")
    write_vectors(Corpus(path, invalid="drop"), str(model), out)
    before = out.read_bytes()
    refused = cli("embed", path, "--model", model, "-o", out)
    assert refused.exit_code == 1
    assert "2 papers cannot be embedded" in refused.output
    assert "row 2: no abstract ('B')" in refused.output
    assert "row 3: no title" in refused.output
    assert "--invalid drop" in refused.output
    assert out.read_bytes() == before
    left_out = cli("embed", path, "--model", model, "-o", out, "--invalid", "drop")
    assert "2 papers, 2 left out" in left_out.output
    assert pd.read_parquet(out.with_suffix(".parquet"))["corpus_id"].tolist() == [1, 4]
    path.write_text("title,abstract\n")
    with pytest.raises(DataError, match="no papers to embed"):
        write_vectors(Corpus(path), str(model), out)
    path.write_text("title,summary\nA,B\n")
    with pytest.raises(DataError, match=r"no column 'abstract'.*--columns"):
        write_vectors(Corpus(path), str(model), out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["my.csv", "v.json", "v.npy", "v.parquet"]


@pytest.mark.parametrize("change", ["weights", "pooling"])
def test_vectors_of_another_model_are_refused(tmp_path, model, stored, change):
    if change == "weights":
        encoder = Encoder.load(model)
        encoder.model.get_input_embeddings().weight.data[7] += 1e-3
    else:
        encoder = Encoder.load(model, pooling="cls")
    other = encoder.save(tmp_path / "other", similarity="euclidean")
    for ask in (nearest_to_question, nearest_to_paper):
        with pytest.raises(ValueError, match=r"other weights, tokens or pooling.*semcse embed"):
            ask(stored, "1000", model=str(other))
    moved = Encoder.load(model).save(tmp_path / "moved", similarity="euclidean")
    assert len(nearest_to_question(stored, "ice", model=str(moved))) == 10  # the same model elsewhere is the same


def test_files_that_do_not_belong_together_are_refused(tmp_path, model, stored):
    for suffix in (".npy", ".json", ".parquet"):
        (tmp_path / f"v{suffix}").write_bytes(stored.path.with_suffix(suffix).read_bytes())
    assert len(load_vectors(tmp_path / "v.npy").vectors) == 60
    np.save(tmp_path / "v.npy", stored.vectors[:59])
    with pytest.raises(DataError, match="expected 60 vectors"):
        load_vectors(tmp_path / "v.npy")
    (tmp_path / "v.npy").write_bytes(b"\x93NUMPY damaged")
    with pytest.raises(DataError, match="damaged"):
        load_vectors(tmp_path / "v.npy")
    (tmp_path / "v.json").unlink()
    with pytest.raises(DataError, match=r"v\.json not found"):
        load_vectors(tmp_path / "v.npy")


def test_a_failure_half_way_changes_nothing_and_is_gone_on_from(tmp_path, model, stored, demo, monkeypatch):
    for suffix in (".npy", ".json", ".parquet"):
        (tmp_path / f"v{suffix}").write_bytes(stored.path.with_suffix(suffix).read_bytes())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    demo.head(40).to_parquet(tmp_path / "my.parquet")
    encode, calls = Encoder.encode, []

    def fails(self, texts, *arguments, **options):
        calls.append(len(texts))
        if len(calls) == 3:
            raise OSError("No space left on device")
        return encode(self, texts, *arguments, **options)

    monkeypatch.setattr(Encoder, "encode", fails)
    with pytest.raises(OSError, match="No space"):
        write_vectors(Corpus(tmp_path / "my.parquet"), str(model), tmp_path / "v.npy", block=16)
    assert calls == [16, 16, 8]
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    write_vectors(Corpus(tmp_path / "my.parquet"), str(model), tmp_path / "v.npy", block=16)
    assert calls == [16, 16, 8, 8]
    write_vectors(Corpus(tmp_path / "my.parquet"), str(model), tmp_path / "whole.npy", block=16)
    for suffix in (".npy", ".parquet", ".json"):
        assert (tmp_path / f"v{suffix}").read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("change", ["a paper", "the model", "the length", "cut header", "nothing"])
def test_what_was_begun_is_kept_for_the_same_vectors_only(tmp_path, model, demo, monkeypatch, change):
    path, out, sizes = tmp_path / "my.jsonl", tmp_path / "v.npy", []
    papers = demo.head(40).copy()
    papers.to_json(path, orient="records", lines=True)
    encode = Encoder.encode

    def stops(self, texts, *arguments, **options):
        sizes.append(len(texts))
        if len(sizes) == 3:
            raise KeyboardInterrupt
        return encode(self, texts, *arguments, **options)

    monkeypatch.setattr(Encoder, "encode", stops)
    with pytest.raises(KeyboardInterrupt):
        write_vectors(Corpus(path), str(model), out, precision="float32", block=16)
    options = {"max_length": 8} if change == "the length" else {}
    if change == "a paper":
        papers.loc[3, "abstract"] += " More."
        papers.to_json(path, orient="records", lines=True)
    elif change == "the model":
        other = Encoder.load(model)
        other.model.get_input_embeddings().weight.data[7] += 1e-3
        model = other.save(tmp_path / "other", similarity="euclidean")
    elif change == "cut header":
        begun = tmp_path / "v.partial" / "vectors.npy"
        begun.write_bytes(begun.read_bytes()[:50])
    write_vectors(Corpus(path), str(model), out, precision="float32", block=16, **options)
    assert sizes[3:] == ([8] if change == "nothing" else [16, 16, 8])
    length = options.get("max_length", 512)
    expected = Encoder.load(model, precision="float32", max_length=length).encode(joined(papers))
    np.testing.assert_allclose(np.load(out), expected, atol=1e-5)


def test_a_bar_of_one_s_own_counts_the_tokens(model):
    texts = ["ice and floods", "ice"]
    encoder = Encoder.load(model)
    with tqdm(disable=False, total=0) as bar:
        encoder.encode(texts, progress=bar)
        encoder.encode(texts, progress=bar)
        assert bar.n == 2 * sum(len(encoder.tokenizer(text)["input_ids"]) for text in texts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "TF-IDF"}, "fitted on its texts"),
        ({"precision": "float16"}, "precision must be one of"),
        ({"max_length": 2}, "max_length must leave room"),
    ],
)
def test_models_that_cannot_embed_are_explained(model, options, message):
    with pytest.raises(ValueError, match=message):
        open_encoder(**{"model": str(model), **options})


def test_unknown_models_names_and_columns_are_explained(tmp_path, model):
    with pytest.raises(ModelUnavailable, match="neither a folder nor a model"):
        open_encoder("SciNLC")
    with pytest.raises(ValueError, match=r"ends in \.npy"):
        write_vectors(Corpus("my.csv"), str(model), tmp_path / "v.txt")
    with pytest.raises(ValueError, match="expected columns like"):
        parse_columns("[title]")
    with pytest.raises(ValueError, match="cannot be read"):
        parse_columns("{title")
