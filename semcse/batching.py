"""Token rows of different lengths as rectangles with little padding."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Indices = NDArray[np.int64]


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
