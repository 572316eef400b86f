"""Large batches in the memory of small ones: gradient caching (Gao et al., 2021)."""

import contextlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from semcse.losses import Objective
from semcse.trainable import Group


def cached_backward(
    model: nn.Module,
    groups: Sequence[Group],
    order: Tensor,
    objective: Objective,
    backward: Callable[[Tensor], None],
) -> Tensor:
    """Loss of the whole batch, its gradient added to the parameters, one group's activations in memory at a time.

    Equal to the uncached step: every group is embedded without a graph, the loss gives each embedding its gradient,
    and every group is embedded again with the same dropout to pass it on. `backward` is called with one scalar per
    group, their gradients add up; across processes only the last one synchronises.
    """
    device = order.device
    states, parts = [], []
    with torch.no_grad():
        for group in groups:
            states.append(_random_state(device))
            parts.append(model([group], _rows(group)))
    embeddings = torch.cat(parts)[order].requires_grad_()
    loss = objective(*embeddings.chunk(2))
    (gradient,) = torch.autograd.grad(loss, embeddings)
    for number, (group, state, part) in enumerate(
        zip(groups, states, torch.split(gradient[torch.argsort(order)], [len(part) for part in parts]), strict=True)
    ):
        _set_random_state(state, device)
        last = number == len(groups) - 1
        quiet = contextlib.nullcontext() if last else getattr(model, "no_sync", contextlib.nullcontext)()
        with quiet:
            backward((model([group], _rows(group)) * part).sum())
    return loss.detach()


def _rows(group: Group) -> Tensor:
    return torch.arange(len(group[0]), device=group[0].device)


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _set_random_state(state: tuple[Tensor, Tensor | None], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)
