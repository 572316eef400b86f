"""Batches that span processes: starting them, and gathering embeddings without losing their gradients."""

import os
import uuid
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of processes in the default group, 1 without one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's rank in the default group, 0 without one."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def under_torchrun() -> bool:
    """Whether torchrun, accelerate or `launch` has started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def launch(devices: int, function: Callable[..., Any], *arguments: Any) -> None:
    """Call `function(*arguments)` in `devices` processes of this machine, as torchrun would, and wait for them.

    `function` must be importable by name and join the group itself. Raises ValueError for more devices than there
    are, and torch's ChildFailedError, which shows the first traceback, when a process fails.
    """
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    have = torch.cuda.device_count() if torch.cuda.is_available() else os.cpu_count() or 1
    if devices > have:
        raise ValueError(f"training.devices is {devices}, but this machine has {have}; lower it")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.5,
    )
    elastic_launch(config, function)(*arguments)


def row_counts(rows: int, device: torch.device) -> list[int]:
    """The number of rows that each rank holds, in the order of the ranks."""
    if world_size() == 1:
        return [rows]
    counts = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(world_size())]
    dist.all_gather(counts, torch.tensor([rows], dtype=torch.int64, device=device))
    return [int(count) for count in counts]


class _Gather(torch.autograd.Function):
    """all_gather whose backward sums the gradients of all ranks and keeps the own rows."""

    @staticmethod
    def forward(ctx: Any, local: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        padded = local.new_zeros(max(counts), *local.shape[1:])
        padded[: len(local)] = local
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        start = sum(ctx.counts[: rank()])
        return total[start : start + ctx.counts[rank()]], None


def gather_rows(local: Tensor, counts: list[int]) -> Tensor:
    """Rows of all ranks in rank order, (sum(counts), D), with gradients flowing back to the rank that owns a row.

    The gradient that arrives at a row is the sum over the ranks' losses. Where each rank's loss is scaled so that
    their mean is the loss of the whole batch, averaging parameter gradients over ranks, as DistributedDataParallel
    does, gives the gradient of one process with the whole batch.
    """
    if len(counts) == 1:
        return local
    gathered: Tensor = _Gather.apply(local, counts)  # type: ignore[no-untyped-call]
    return gathered


def mean_over_ranks(value: Tensor) -> Tensor:
    """`value` with its gradient as it is, but showing the mean over all ranks."""
    if world_size() == 1:
        return value
    mean = value.detach().clone()
    dist.all_reduce(mean)
    return value + (mean / world_size() - value).detach()
