"""A corpus of ten million papers through `semcse embed`'s reading and writing: the memory it takes.

SEMCSE_FAULTS=all ROWS=10000000 python -m pytest tests/faults/test_scale.py -s
"""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from semcse import corpus_vectors
from semcse.corpus_search import load_vectors
from semcse.corpus_vectors import Corpus, write_vectors
from semcse.models import Embedder
from tests.faults.listed import fault, linux, long

ROWS = int(os.environ.get("ROWS", "10000000"))
WARM_UP = 20_000
DIMENSIONS = 8
MOST = 256  # MiB above what 20,000 papers take


class Lengths:
    """Stands for a model: vectors that say which paper they are of, at no cost."""

    fingerprint = "lengths"
    separator = "[SEP]"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        numbers = np.array([int(text.split(maxsplit=2)[1]) for text in texts])
        return np.stack([(numbers >> 3 * k) & 7 for k in range(DIMENSIONS)], axis=1).astype(np.float32)


def corpus(path: Path, rows: int) -> Path:
    """Papers of some 120 bytes; on disk 1.2 GB for ten million."""
    filler = "some words of an abstract that says what was found and why it matters to those who ask."
    with path.open("w", encoding="utf-8") as handle:
        handle.write("title,abstract\n")
        for start in range(0, rows, 10_000):
            numbers = range(start, min(start + 10_000, rows))
            handle.write("".join(f"Paper {number},Number {number} has {filler}\n" for number in numbers))
    return path


def peak() -> float:
    """MiB that this process has held at most since `forget`."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def forget() -> None:
    Path("/proc/self/clear_refs").write_text("5")


@linux
@long
@fault(
    "a corpus of ten million papers",
    "read as a stream, vectors and titles written block by block; memory as for 20,000 papers, within 256 MiB",
)
def test_memory_does_not_grow_with_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.disk_usage(tmp_path).free < 1000 * ROWS:
        pytest.skip("too little room on the disk")
    monkeypatch.setattr(corpus_vectors, "open_encoder", lambda *_: Embedder("lengths", Lengths(), "cosine"))
    peaks = {}
    for rows in (WARM_UP, ROWS):
        path, out = corpus(tmp_path / f"{rows}.csv", rows), tmp_path / f"{rows}.npy"
        forget()
        survey = write_vectors(Corpus(path), "lengths", out)
        peaks[rows] = peak()
        assert survey.papers == rows
        path.unlink()
    print({rows: f"{mib:.0f} MiB" for rows, mib in peaks.items()})  # noqa: T201
    vectors = load_vectors(tmp_path / f"{ROWS}.npy").vectors
    for row in (0, 12_345 % ROWS, ROWS - 1):
        assert vectors[row].tolist() == [(row >> 3 * k) & 7 for k in range(DIMENSIONS)]
    (tmp_path / f"{ROWS}.npy").unlink()
    (tmp_path / f"{ROWS}.parquet").unlink()
    assert peaks[ROWS] < peaks[WARM_UP] + MOST
