"""The cache of embeddings: a hit equals a fresh encoding, a change misses, damage is repaired."""

import fcntl
import hashlib
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from semcse import embeddings
from semcse.embeddings import cached, embed

TEXTS = ["a cell", "two stars", "a cell", "three proofs"]


class Counting:
    """Vectors from a hash of model and text; remembers what it was asked."""

    def __init__(self, fingerprint="f" * 64):
        self.fingerprint = fingerprint
        self.asked = []

    def encode(self, texts, scale=1.0):
        self.asked.extend(texts)
        digests = [hashlib.sha256((self.fingerprint + text).encode()).digest()[:12] for text in texts]
        return scale * np.frombuffer(b"".join(digests), np.uint8).reshape(len(texts), 12).astype(np.float32)


def test_each_distinct_text_is_encoded_once(tmp_path):
    encoder = Counting()
    first = embed(encoder, TEXTS, tmp_path)
    assert encoder.asked == ["a cell", "two stars", "three proofs"]
    np.testing.assert_array_equal(first, Counting().encode(TEXTS))
    again = embed(encoder, [*TEXTS[::-1], "new"], tmp_path)
    assert encoder.asked[3:] == ["new"]
    np.testing.assert_array_equal(again, Counting().encode([*TEXTS[::-1], "new"]))
    assert again.dtype == np.float32


def test_a_hit_is_memory_mapped_equal_and_asks_nothing(tmp_path):
    fresh = np.array(embed(Counting(), TEXTS, tmp_path))
    encoder = Counting()
    hit = embed(encoder, TEXTS, tmp_path)
    assert isinstance(hit, np.memmap)
    assert not hit.flags.writeable
    assert encoder.asked == []
    np.testing.assert_array_equal(hit, fresh)


def test_files_are_not_read_while_another_process_writes_them(tmp_path):
    """A member of a sweep once looked for a description that another one was just replacing."""
    fresh = np.array(embed(Counting(), TEXTS, tmp_path))
    store = next(tmp_path.iterdir())
    with ThreadPoolExecutor(1) as pool:
        with (store / "lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            waiting = pool.submit(embed, Counting(), TEXTS, tmp_path)
            view = next((store / "views").glob("*.json"))
            content = view.read_bytes()
            view.unlink()
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
            view.write_bytes(content)
        np.testing.assert_array_equal(waiting.result(timeout=30), fresh)


def test_another_model_misses(tmp_path):
    embed(Counting(), TEXTS, tmp_path)
    other = Counting("0" * 64)
    np.testing.assert_array_equal(embed(other, TEXTS, tmp_path), Counting("0" * 64).encode(TEXTS))
    assert len(other.asked) == 3


def test_shards_keep_what_was_encoded_before_an_interruption(tmp_path, monkeypatch):
    monkeypatch.setattr(embeddings, "SHARD", 2)
    texts = [f"text {i}" for i in range(7)]

    class Breaking(Counting):
        def encode(self, part):
            if len(self.asked) >= 4:
                raise KeyboardInterrupt
            return super().encode(part)

    with pytest.raises(KeyboardInterrupt):
        embed(Breaking(), texts, tmp_path)
    encoder = Counting()
    np.testing.assert_array_equal(embed(encoder, texts, tmp_path), Counting().encode(texts))
    assert encoder.asked == texts[4:]


@pytest.mark.parametrize("damage", ["flip", "cut", "no description", "bad description"])
def test_damaged_files_are_detected_and_encoded_again(tmp_path, damage):
    embed(Counting(), TEXTS, tmp_path)
    for path in tmp_path.rglob("*.npy"):
        content = bytearray(path.read_bytes())
        if damage == "flip":
            content[-1] ^= 255
            path.write_bytes(content)
        elif damage == "cut":
            path.write_bytes(content[:-5])
        elif damage == "no description":
            path.with_suffix(".json").unlink()
        else:
            path.with_suffix(".json").write_text('{"sha')
    encoder = Counting()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        np.testing.assert_array_equal(embed(encoder, TEXTS, tmp_path), Counting().encode(TEXTS))
    assert len(encoder.asked) == 3
    assert any("damaged" in str(w.message) for w in caught) == (damage != "no description")
    assert embed(Counting(), TEXTS, tmp_path).shape == (4, 12)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_cached_is_the_function_that_tasks_take(tmp_path):
    encoder = Counting()
    encode = cached(encoder, tmp_path, scale=2.0)
    np.testing.assert_array_equal(encode(TEXTS), 2 * Counting().encode(TEXTS))
    encode(TEXTS)
    assert len(encoder.asked) == 3


class Wrong(Counting):
    def __init__(self, vectors):
        super().__init__()
        self.vectors = vectors

    def encode(self, texts):
        return self.vectors


@pytest.mark.parametrize(
    ("encoder", "texts", "error", "message"),
    [
        (Counting(), "a text", TypeError, "put a single text into a list"),
        (Counting(), ["a", None], TypeError, "sequence of strings"),
        (Counting(), [], ValueError, "no texts"),
        (Wrong(np.zeros((1, 3))), ["a", "b"], ValueError, r"2 texts, the encoder gave shape \(1, 3\)"),
        (Wrong(np.array([[0.0], [np.nan]])), ["a", "b"], ValueError, "first text 1"),
    ],
)
def test_bad_input(tmp_path, encoder, texts, error, message):
    with pytest.raises(error, match=message):
        embed(encoder, texts, tmp_path)
    assert not list(tmp_path.rglob("*.npy"))
