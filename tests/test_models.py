"""The model zoo: entries, local copies, the check of the packaged weights, baselines, unavailable models."""

import time
from pathlib import Path
from urllib.error import HTTPError, URLError

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import BertConfig, BertModel, BertTokenizerFast

from semcse import models, published
from semcse.baselines import WordCounts
from semcse.embeddings import embed
from semcse.encoder import Encoder
from semcse.models import Embedder, ModelUnavailable, load_models, open_model, resolve

TEXTS = ["a cell divides", "two stars collide", "a proof by induction"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A random two-layer BERT as a transformers folder."""
    folder = tmp_path_factory.mktemp("tiny")
    words = sorted({word for text in TEXTS for word in text.split()})
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    BertTokenizerFast(vocab=vocabulary).save_pretrained(folder)
    return folder


def zoo(tmp_path, text):
    path = tmp_path / "models.yaml"
    path.write_text(text)
    return path


def test_zoo_lists_the_papers_models_by_their_names_in_table_1():
    entries = load_models()
    assert [name for name, entry in entries.items() if entry.paper] == list(published.table1()["model"])
    sizes = published.table1().set_index("model")["parameters"]
    assert all(entry.parameters == sizes[name] for name, entry in entries.items() if entry.paper)
    assert {entries[name].metric for name in ("SemCSE", "SPECTER", "SciNCL")} == {"euclidean"}
    assert entries["all-MiniLM-L6-v2"].pooling == "mean"
    assert entries["all-MiniLM-L6-v2 (CLS)"].pooling == "cls"
    remote = {name for name, entry in entries.items() if entry.trust_remote_code}
    assert remote == {"jina-v2", "jina-v3", "NvEmbed-V2", "SemCSE-Multi"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A: {hub: a/b, metric: euclid, licence: MIT}", r"models.yaml: A.metric: .*'euclidean' or 'cosine'.*'euclid'"),
        ("A: {hub: a/b, metric: cosine, licence: MIT, poling: cls}", "A.poling: Extra inputs"),
        ("A: {metric: cosine, licence: MIT}", "needs hub or path"),
        ("- a", "expected model names"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load_models(zoo(tmp_path, text))
    with pytest.raises(FileNotFoundError, match="should list the models"):
        load_models(tmp_path / "none.yaml")


def test_minilm_comes_from_its_package_after_a_check(monkeypatch, tmp_path):
    folder = Path(resolve("all-MiniLM-L6-v2"))
    assert (folder / "model.safetensors").is_file()
    assert resolve("all-MiniLM-L6-v2 (CLS)") == resolve(models.MINILM) == str(folder)
    monkeypatch.setattr(models, "MINILM_SHA256", "0" * 64)
    with pytest.raises(ValueError, match="is not the published model: sha256 53aa5117"):
        resolve("all-MiniLM-L6-v2")
    monkeypatch.setattr(models, "MINILM_PACKAGE", "no_such_package")
    assert resolve("all-MiniLM-L6-v2") == models.MINILM


def test_folders_and_hub_names_resolve_to_themselves(tiny, tmp_path):
    assert resolve(str(tiny)) == str(tiny)
    assert resolve("SPECTER") == "allenai/specter"
    assert resolve("owner/model") == "owner/model"
    entries = load_models(zoo(tmp_path, "Mine: {path: copy, metric: cosine, licence: MIT}"))
    assert resolve("Mine", entries) == str(tmp_path / "copy")


def test_native_minilm_equals_sentence_transformers():
    theirs = SentenceTransformer(resolve("all-MiniLM-L6-v2"), device="cpu").encode(TEXTS)
    ours = open_model("all-MiniLM-L6-v2").encode(TEXTS)
    ours = ours / np.linalg.norm(ours, axis=1, keepdims=True)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    first_token = open_model("all-MiniLM-L6-v2 (CLS)")
    assert first_token.metric == "cosine"
    assert np.abs(first_token.encode(TEXTS) - open_model("all-MiniLM-L6-v2").encode(TEXTS)).max() > 0.1


def test_pooling_length_and_prefix_make_other_embeddings_and_other_cache_entries(tiny, tmp_path):
    text = "Tiny: {path: %s, pooling: cls, metric: euclidean, licence: MIT, prefix: '%s', max_length: %d}"
    entries = load_models(zoo(tmp_path, text % (tiny, "", 32)))
    prefixed = load_models(zoo(tmp_path, text % (tiny, "two ", 32)))
    shorter = load_models(zoo(tmp_path, text % (tiny, "", 4)))
    variants = [
        open_model("Tiny", models=entries),
        open_model("Tiny", models=entries, pooling="mean"),
        open_model("Tiny", models=prefixed),
        open_model("Tiny", models=shorter),
    ]
    results = [np.array(embed(variant, TEXTS, tmp_path / "cache")) for variant in variants]
    assert len({variant.fingerprint for variant in variants}) == 4
    for i in range(4):
        np.testing.assert_array_equal(results[i], variants[i].encode(TEXTS))
        assert all(np.abs(results[i] - results[j]).max() > 1e-4 for j in range(i))
    np.testing.assert_allclose(results[2], variants[0].encode(["two " + t for t in TEXTS]), atol=1e-6)
    assert open_model("Tiny", models=entries).fingerprint == variants[0].fingerprint
    assert variants[0].separator == "[SEP]"


def test_sentence_transformers_kind(tiny, tmp_path):
    text = f"Own: {{path: {tiny}, kind: sentence-transformers, metric: cosine, licence: MIT, max_length: 8}}"
    model = open_model("Own", models=load_models(zoo(tmp_path, text)))
    theirs = SentenceTransformer(str(tiny), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(model.encode(TEXTS), theirs, atol=1e-6)
    assert (model.separator, len(model.fingerprint)) == ("[SEP]", 64)


def test_models_that_cannot_be_had_say_what_to_do(monkeypatch, tmp_path):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("semcse.encoder.Encoder.load", offline)
    with pytest.raises(
        ModelUnavailable, match=r"download it \(0.4 GB\) with `hf download allenai/specter .*path: FOLDER"
    ):
        open_model("SPECTER")
    with pytest.raises(ModelUnavailable, match="--revision 1c644c92"):
        open_model("e5-base")
    with pytest.raises(ModelUnavailable, match="AdapterHub"):
        open_model("SPECTER2 proximity")
    with pytest.raises(ModelUnavailable, match="nearest: SciNCL"):
        open_model("SciNLC")
    entries = load_models(zoo(tmp_path, "Mine: {path: copy, metric: cosine, licence: MIT}"))
    with pytest.raises(ModelUnavailable, match="where no folder is"):
        open_model("Mine", models=entries)


@pytest.fixture
def asked_again():
    models.hub_reachable.cache_clear()
    yield
    models.hub_reachable.cache_clear()


@pytest.mark.usefixtures("asked_again")
def test_without_a_hub_a_model_is_missing_at_once_and_the_hub_asked_once(monkeypatch):
    asked = []

    def refuse(request, timeout):
        asked.append((request.full_url, request.get_method(), timeout))
        raise URLError("no network")

    def load(*_, **__):
        raise AssertionError("nothing may be loaded from the hub")

    monkeypatch.setattr(models.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(models, "urlopen", refuse)
    monkeypatch.setattr("semcse.encoder.Encoder.load", load)
    started = time.monotonic()
    for name in ("SPECTER", "SciNCL", "jina-v3"):
        with pytest.raises(ModelUnavailable, match="hf download"):
            open_model(name)
    assert time.monotonic() - started < 2
    assert asked == [(models.constants.ENDPOINT, "HEAD", models.PATIENCE)]


@pytest.mark.usefixtures("asked_again")
def test_a_hub_that_answers_is_asked_for_models_and_an_offline_one_is_not(monkeypatch):
    def unfriendly(request, timeout):
        raise HTTPError(request.full_url, 403, "no", {}, None)

    monkeypatch.setattr(models, "urlopen", unfriendly)
    monkeypatch.setattr(models.constants, "HF_HUB_OFFLINE", True)
    assert not models.hub_reachable()
    models.hub_reachable.cache_clear()
    monkeypatch.setattr(models.constants, "HF_HUB_OFFLINE", False)
    assert models.hub_reachable()


@pytest.mark.usefixtures("asked_again")
def test_without_a_hub_the_local_cache_still_gives_a_model(monkeypatch, tiny, tmp_path):
    monkeypatch.setattr(models.constants, "HF_HUB_OFFLINE", True)
    wanted = []

    def snapshot(source, revision, local_files_only):
        wanted.append((source, revision, local_files_only))
        return str(tiny)

    monkeypatch.setattr(models, "snapshot_download", snapshot)
    text = "Own: {hub: some/model, revision: abc, metric: cosine, pooling: mean, licence: MIT}"
    model = open_model("Own", models=load_models(zoo(tmp_path, text)))
    assert model.encode(TEXTS).shape == (3, 16)
    assert wanted == [("some/model", "abc", True)]


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_a_folder_is_compared_as_it_says_itself(tiny, tmp_path, similarity):
    folder = Encoder.load(tiny).save(tmp_path / "own", similarity=similarity)
    assert open_model(str(folder)).metric == similarity
    assert open_model(str(folder), metric="cosine").metric == "cosine"
    (folder / "config_sentence_transformers.json").unlink()
    assert open_model(str(folder)).metric == "cosine"


def test_tfidf_is_scikit_learns_and_finds_shared_words():
    corpus = [
        "cells divide in tissue",
        "stars collide in space",
        "tissue of dividing cells",
        "space and stars",
        "cells",
    ]
    encoder = open_model("TF-IDF", corpus)
    vectors = encoder.encode(corpus)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    similar = vectors @ vectors.T
    assert similar[0, 2] > 0.3
    assert similar[0, 1] == 0
    assert encoder.encode(["unknown words"]).max() == 0
    assert encoder.metric == "cosine"
    assert encoder.fingerprint != open_model("TF-IDF", corpus[:4]).fingerprint
    with pytest.raises(ValueError, match="give them as corpus"):
        open_model("TF-IDF")
    with pytest.raises(ValueError, match="got 1"):
        WordCounts(["one"])


def test_svd_keeps_similarities_of_the_full_vectors():
    random = np.random.default_rng(0)
    words = [f"word{i}" for i in range(30)]
    corpus = [" ".join(random.choice(words, 12)) for _ in range(60)]
    full, reduced = WordCounts(corpus).encode(corpus), WordCounts(corpus, dimensions=29).encode(corpus)
    assert reduced.shape == (60, 29)
    # 29 of 30 directions: the Gram matrix differs by the least singular value only
    assert np.linalg.norm(full @ full.T - reduced @ reduced.T, 2) < 0.2 * np.linalg.norm(full @ full.T, 2)
    np.testing.assert_array_equal(reduced, WordCounts(corpus, dimensions=29).encode(corpus))
    with pytest.raises(ValueError, match="29 dimensions need more than"):
        WordCounts(corpus[:5], dimensions=29)


def test_embedder_passes_options_on():
    class Recording:
        fingerprint, separator = "f", "|"

        def encode(self, texts, **options):
            return texts, options

    embedder = Embedder("x", Recording(), "cosine", prefix="query: ")
    assert embedder.encode(["a"], batch_tokens=5) == (["query: a"], {"batch_tokens": 5})
    assert embedder.separator == "|"
