"""The linear layer behind the pooling, against sentence-transformers and arithmetic."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModel

from semcse.dense import read_dense, whitening_layer, write_dense
from semcse.encoder import Encoder
from semcse.folders import DENSE
from semcse.geometry import partial_whitening
from tests.tiny import tiny_bert

TEXTS = ["A title.", "Kinetics of the reaction [SEP] An abstract. " * 5, "", "Neurons"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


def layer(rows: int = 5, columns: int | None = None, bias: bool = True) -> nn.Linear:
    """A layer with weights drawn at random."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Linear(columns or rows, rows, bias=bias).requires_grad_(False)


def with_layer(bert: Path, normalize: bool = False, rows: int = 5) -> Encoder:
    """A mean-pooled encoder with a layer to fewer dimensions."""
    plain = Encoder.load(bert, "mean")
    return Encoder(plain.model, plain.tokenizer, "mean", normalize=normalize, dense=layer(rows, plain.dimension))


def test_layer_is_applied_after_pooling(bert: Path) -> None:
    encoder = with_layer(bert)
    pooled = Encoder.load(bert, "mean").encode(TEXTS)
    assert encoder.dense is not None
    by_hand = pooled @ encoder.dense.weight.numpy().T + encoder.dense.bias.numpy()
    assert encoder.encode(TEXTS).shape == (4, encoder.dimension) == (4, 5)
    np.testing.assert_allclose(encoder.encode(TEXTS), by_hand, atol=1e-5)


@pytest.mark.parametrize("normalize", [False, True])
def test_saved_folder_is_one_of_sentence_transformers(bert: Path, tmp_path: Path, normalize: bool) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = with_layer(bert, normalize)
    folder = encoder.save(tmp_path / "model")
    again = Encoder.load(folder)
    peer = SentenceTransformer(str(folder), device="cpu")
    assert (again.dimension, again.normalize) == (5, normalize)
    np.testing.assert_allclose(encoder.encode(TEXTS), again.encode(TEXTS), atol=1e-6)
    np.testing.assert_allclose(peer.encode(TEXTS), again.encode(TEXTS), atol=1e-5)
    AutoModel.from_pretrained(folder)


def test_folder_made_by_sentence_transformers(bert: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer, models

    transformer = models.Transformer(str(bert))
    pooling = models.Pooling(transformer.get_embedding_dimension(), "mean")
    width = pooling.get_embedding_dimension()
    plain = models.Dense(width, 3, bias=False, activation_function=nn.Identity())
    peer = SentenceTransformer(modules=[transformer, pooling, plain, models.Normalize()], device="cpu")
    peer.save(str(tmp_path / "linear"))
    np.testing.assert_allclose(Encoder.load(tmp_path / "linear").encode(TEXTS), peer.encode(TEXTS), atol=1e-5)
    SentenceTransformer(modules=[transformer, pooling, models.Dense(width, 3)], device="cpu").save(
        str(tmp_path / "tanh")
    )
    with pytest.raises(ValueError, match=r"Tanh.*kind: sentence-transformers"):
        Encoder.load(tmp_path / "tanh")
    SentenceTransformer(modules=[transformer, pooling, models.Normalize(), plain], device="cpu").save(
        str(tmp_path / "o")
    )
    with pytest.raises(ValueError, match="in the order Transformer, Pooling, Dense, Normalize"):
        Encoder.load(tmp_path / "o")


def test_explicit_pooling_leaves_the_layer_out(bert: Path, tmp_path: Path) -> None:
    folder = with_layer(bert).save(tmp_path / "model")
    for pooling in ("mean", "cls"):
        encoder = Encoder.load(folder, pooling)
        assert encoder.dense is None
        assert np.array_equal(encoder.encode(TEXTS), Encoder.load(bert, pooling).encode(TEXTS))


def test_fingerprint_knows_the_layer(bert: Path, tmp_path: Path) -> None:
    folder = with_layer(bert).save(tmp_path / "model")
    fingerprints = {Encoder.load(folder).fingerprint, Encoder.load(folder, "mean").fingerprint}
    write_dense(folder / DENSE, layer(5, Encoder.load(bert).dimension, bias=False))
    fingerprints.add(Encoder.load(folder).fingerprint)
    assert len(fingerprints) == 3
    assert Encoder.load(bert, "mean").fingerprint in fingerprints


def test_model_of_the_hub_is_what_its_description_says(bert: Path, tmp_path: Path) -> None:
    """From a cache in the hub's layout, in a process of its own, since where the cache lies is read at import."""
    folder = with_layer(bert, normalize=True).save(tmp_path / "model", similarity="euclidean")
    repository = tmp_path / "hub" / "models--owner--whitened"
    commit = "0123456789" * 4
    shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    script = f"""
import numpy as np
from semcse.encoder import Encoder
from semcse.models import open_model
assert open_model("owner/whitened").metric == "euclidean"
encoder = Encoder.load("owner/whitened", device="cpu")
assert (encoder.pooling, encoder.normalize, encoder.dimension) == ("mean", True, 5), vars(encoder)
np.save({str(tmp_path / "vectors.npy")!r}, encoder.encode({TEXTS!r}))
"""
    surroundings = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub")}
    subprocess.run([sys.executable, "-c", script], env=surroundings, check=True, timeout=300)
    np.testing.assert_allclose(np.load(tmp_path / "vectors.npy"), Encoder.load(folder).encode(TEXTS), atol=1e-6)


def test_whitening_layer_is_the_map() -> None:
    X = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32) * np.arange(1, 7) + 3
    made = whitening_layer(X, 0.5)
    np.testing.assert_allclose(made(torch.from_numpy(X).float()).numpy(), partial_whitening(X, 0.5)(X), atol=1e-4)
    assert made.weight.dtype == made.bias.dtype == torch.float32
    assert not made.weight.requires_grad


def test_damaged_layer_is_refused(tmp_path: Path) -> None:
    write_dense(tmp_path, layer())
    assert torch.equal(read_dense(tmp_path).weight, layer().weight)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(ValueError, match="damaged"):
        read_dense(tmp_path)
    weights.rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="kind: sentence-transformers"):
        read_dense(tmp_path)


def test_layer_with_a_residual_is_refused(tmp_path: Path) -> None:
    write_dense(tmp_path, layer())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"use_residual": True}))
    with pytest.raises(ValueError, match="not a linear layer"):
        read_dense(tmp_path)
