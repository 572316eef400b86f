"""Each text embedded once per model: a cache of embeddings keyed by what decides them, read by memory mapping."""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from semcse.arrays import write_array
from semcse.files import alone, atomic_path, file_digest, write_atomic

Embeddings = npt.NDArray[np.float32]
SHARD = 8192
"""Texts per file: what an interrupted run loses at most."""


class TextEncoder(Protocol):
    """What the cache needs of an encoder; `fingerprint` covers weights, pooling, length, precision, prefix."""

    @property
    def fingerprint(self) -> str: ...

    def encode(self, texts: Sequence[str]) -> Embeddings: ...


def embed(encoder: TextEncoder, texts: Sequence[str], folder: str | Path, **options: Any) -> Embeddings:
    """Embeddings (N, D) of `texts` as a read-only memory map of float32, encoding only texts that `folder` lacks.

    Another model, revision, pooling, length, precision or text is another entry. A damaged file is reported by a
    warning and encoded again. `options` go to `encoder.encode`. Raises TypeError for a single string and ValueError for
    no texts or an encoder that returns something else than one finite vector a text.
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise TypeError("embed expects a sequence of strings; put a single text into a list")
    if not len(texts):
        raise ValueError("there are no texts to embed")
    store = Path(folder) / encoder.fingerprint[:32]
    keys = [_digest(text.encode()) for text in texts]
    view = store / "views" / f"{_digest(' '.join(keys).encode())}.npy"
    with alone(store / "lock"):  # the next process then finds the files whole
        known = _read(view)
        if known is None:
            shards = _complete(store, encoder, dict(zip(keys, texts, strict=True)), options)
            known = _write(view, _assemble(keys, shards), keys)
    return known


def cached(encoder: TextEncoder, folder: str | Path, **options: Any) -> Callable[[list[str]], Embeddings]:
    """`embed` as the function from texts to vectors that the benchmark's tasks take."""
    return partial(_embed_texts, encoder, folder, options)


def _embed_texts(encoder: TextEncoder, folder: str | Path, options: dict[str, Any], texts: list[str]) -> Embeddings:
    return embed(encoder, texts, folder, **options)


def _complete(
    store: Path, encoder: TextEncoder, distinct: dict[str, str], options: dict[str, Any]
) -> list[tuple[list[str], Embeddings]]:
    """All shards (keys, vectors) that together hold the distinct texts, the missing ones encoded now."""
    shards = list(_shards(store))
    held = {key for keys, _ in shards for key in keys}
    missing = [key for key in distinct if key not in held]
    for start in range(0, len(missing), SHARD):
        keys = missing[start : start + SHARD]
        vectors = _checked(encoder.encode([distinct[key] for key in keys], **options), len(keys))
        path = store / f"shard-{_digest(' '.join(keys).encode())[:32]}.npy"
        shards.append((keys, _write(path, vectors, keys)))
    return shards


def _shards(store: Path) -> Iterator[tuple[list[str], Embeddings]]:
    for path in sorted(store.glob("shard-*.npy")):
        vectors = _read(path)
        if vectors is not None:
            yield json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["texts"], vectors


def _assemble(keys: list[str], shards: list[tuple[list[str], Embeddings]]) -> Embeddings:
    """Vectors in the order of `keys`."""
    wanted = dict.fromkeys(keys)
    place = {key: (s, row) for s, (held, _) in enumerate(shards) for row, key in enumerate(held) if key in wanted}
    located = np.array([place[key] for key in keys])
    result = np.empty((len(keys), shards[located[0, 0]][1].shape[1]), dtype=np.float32)
    for s in np.unique(located[:, 0]):
        mine = located[:, 0] == s
        result[mine] = shards[s][1][located[mine, 1]]
    return result


def _checked(vectors: Any, expected: int) -> Embeddings:
    array = np.asarray(vectors, dtype=np.float32)
    if array.ndim != 2 or len(array) != expected:
        raise ValueError(f"expected one vector for each of {expected} texts, the encoder gave shape {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise ValueError(f"{len(bad)} of {expected} embeddings hold NaN or infinite values, first text {bad[0]}")
    return array


def _write(path: Path, vectors: Embeddings, keys: list[str]) -> Embeddings:
    """Save vectors, then the description that makes them valid; return them memory-mapped."""
    path.with_suffix(".json").unlink(missing_ok=True)
    with atomic_path(path) as temporary:
        write_array(temporary, vectors)
        checksum = file_digest(temporary)
    write_atomic(path.with_suffix(".json"), json.dumps({"sha256": checksum, "texts": keys}))
    mapped: Embeddings = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


def _read(path: Path) -> Embeddings | None:
    """The vectors of a file whose description agrees; None where there is none or it is damaged."""
    description = path.with_suffix(".json")
    if not (path.exists() and description.exists()):
        return None
    try:
        intact = json.loads(description.read_text(encoding="utf-8"))["sha256"] == file_digest(path)
    except (ValueError, KeyError):
        intact = False
    if not intact:
        warnings.warn(f"{path} is damaged; its texts are encoded again", stacklevel=4)
        return None
    vectors: Embeddings = np.load(path, mmap_mode="r", allow_pickle=False)
    return vectors


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
