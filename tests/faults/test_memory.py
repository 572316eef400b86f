"""Memory that runs out while texts are encoded."""

import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from semcse.batching import in_halves
from semcse.encoder import Encoder
from tests.faults.listed import fault, linux
from tests.tiny import VOCABULARY, tiny_tokenizer

MIB = 2**20
IN_HALVES = "memory did not suffice for a batch, which goes on in halves"
Told = Callable[[object], None]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """A small model whose inner layer asks for 64 KiB a token."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16384}
    folder = tmp_path_factory.mktemp("wide")
    BertModel(BertConfig(vocab_size=len(VOCABULARY), max_position_embeddings=64, **sizes)).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return Encoder.load(folder, pooling="mean", device="cpu")


@contextmanager
def room(mib: int) -> Iterator[None]:
    """This process may take so much more memory and no more; the kernel refuses."""
    taken = re.search(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())
    assert taken is not None
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (int(taken[1]) * 1024 + mib * MIB, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def texts() -> list[str]:
    return [" ".join(str((7 * row + column) % 200) for column in range(60 - row % 5)) for row in range(100)]


@linux
@fault(
    "memory runs out while a batch is encoded",
    "the batch goes on in halves, as often as needed; the vectors are the same up to rounding",
    IN_HALVES,
)
def test_a_batch_without_room_goes_on_in_halves(wide: Encoder, texts: list[str], told: Told) -> None:
    expected = wide.encode(texts, batch_tokens=256)
    with room(mib=160), pytest.warns(UserWarning, match=IN_HALVES) as said:
        found = wide.encode(texts, batch_tokens=8192)  # whole it would take 384 MiB
    told(said[0].message)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.ptp(expected, axis=0).max() > 1e-3


@fault(
    "there is no memory for a single text",
    "an error that says what to lower; files that were there stay",
    "no room in memory for a single text (...). Close other programs, or lower max_length",
)
def test_no_room_for_one_text(wide: Encoder, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(wide.model, "forward", full)
    with pytest.raises(RuntimeError) as error:
        wide.encode(["1 2 3"])
    told(error.value)


@pytest.mark.parametrize(
    "problem",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("could not create a primitive"),
        MemoryError(),
    ],
    ids=["GPU", "oneDNN", "Python"],
)
def test_every_kind_of_refusal_halves_and_keeps_the_order(problem: Exception) -> None:
    asked: list[int] = []

    def work(batch: np.ndarray) -> np.ndarray:
        asked.append(len(batch))
        if len(batch) > 3:
            raise problem
        return np.stack([batch, batch**2], axis=1).astype(np.float32)

    batch = np.array([5, 3, 9, 1, 0, 2, 7, 8, 6, 4])
    with pytest.warns(UserWarning, match=IN_HALVES):
        found = in_halves(work, batch)
    assert found.tolist() == [[k, k * k] for k in batch]
    assert asked == [10, 5, 3, 2, 5, 3, 2]


def test_other_errors_are_not_taken_for_it() -> None:
    def work(batch: np.ndarray) -> np.ndarray:
        raise RuntimeError("the size of tensor a must match")

    with pytest.raises(RuntimeError, match="must match"):
        in_halves(work, np.arange(8))
