"""Token rows of different lengths as rectangles with little padding, in batches that memory has room for."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from numpy.typing import NDArray
from torch import Tensor

Indices = NDArray[np.int64]
ONEDNN_WITHOUT_MEMORY = ("could not create a primitive", "could not create a memory")
"""What oneDNN says when its allocations fail; it says no more."""


def within_budget(lengths: Indices, batch_tokens: int) -> list[Indices]:
    """Rows in falling order of length, cut so that count times longest stays within `batch_tokens`.

    A row longer than the budget gets a batch of its own. Equal lengths keep their order.
    """
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        rows = max(1, batch_tokens // max(1, int(lengths[order[start]])))
        batches.append(order[start : start + rows])
        start += rows
    return batches


def equal_groups(lengths: Indices, rows: int) -> list[Indices]:
    """Rows in falling order of length, cut into groups of about `rows` each."""
    order = np.argsort(-lengths, kind="stable")
    return np.array_split(order, max(1, round(len(order) / rows)))


def pad(rows: Sequence[NDArray[Any]], padding: int) -> tuple[Tensor, Tensor]:
    """Token ids (N, L) padded on the right, and the mask (N, L) of real tokens."""
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, padding, dtype=np.int64)
    ids[mask] = np.concatenate(rows)
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def in_halves(work: Callable[[Indices], NDArray[np.float32]], batch: Indices) -> NDArray[np.float32]:
    """`work(batch)`, one row (D,) for each of its members; where memory does not suffice, half by half.

    The rows are those of the whole batch up to rounding, and a warning says that it was divided. Raises RuntimeError
    when there is no room for a single member.
    """
    try:
        return work(batch)
    except (MemoryError, RuntimeError) as error:
        if not _memory_ran_out(error):
            raise
        problem = str(error).partition("\n")[0]
    clear_device_cache()  # out here: the error's frames held what the batch had taken
    if len(batch) < 2:
        raise RuntimeError(
            f"no room in memory for a single text ({problem}). Close other programs, or lower max_length: shorter "
            "texts need less"
        )
    warnings.warn(
        "memory did not suffice for a batch, which goes on in halves; a lower batch_tokens saves the attempts",
        stacklevel=2,
    )
    return np.concatenate([in_halves(work, half) for half in np.array_split(batch, 2)])


def _memory_ran_out(error: Exception) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or should_reduce_batch_size(error):
        return True
    return str(error).startswith(ONEDNN_WITHOUT_MEMORY)
