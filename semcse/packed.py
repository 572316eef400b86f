"""Inference on a CPU with less to do: weights packed once for oneDNN, scores that stay in cache, a batch a thread.

A packed model is the same model with the same weights under the same names; it goes back to what it was afterwards.
Results differ from the plain ones by rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers.activations import GELUActivation
from transformers.models.bert.modeling_bert import BertIntermediate
from transformers.models.deberta_v2.modeling_deberta_v2 import DebertaV2Intermediate

from semcse.lean import LeanBertAttention

Item = TypeVar("Item")
Done = TypeVar("Done")
MOST_WORKERS = 16
SCORES_AT_ONCE = 2**19
"""Attention scores computed together; in bfloat16 a megabyte, what a core's cache holds."""
LANES = 32
"""bfloat16 values that a vector register holds; a softmax over whole registers takes little more than half the time."""


@contextmanager
def packed(model: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Within this context a model on a CPU computes its linear layers in `dtype`, from weights packed once.

    Layers give `dtype` whatever they are given, so no autocast is needed. Weights must not change meanwhile.
    """
    replaced = IN_BFLOAT16 if dtype == torch.bfloat16 else IN_FLOAT32
    changed: list[tuple[nn.Module, type[nn.Module]]] = []
    activations: list[tuple[Any, nn.Module]] = []
    try:
        for module in model.modules():
            if type(module) in replaced:
                changed.append((module, type(module)))
                module.__class__ = replaced[type(module)]
        for module in model.modules():
            if isinstance(module, PackedLinear):
                module.pack(dtype)
        for module in model.modules():
            if isinstance(module, (BertIntermediate, DebertaV2Intermediate)) and _is_gelu(module.intermediate_act_fn):
                activations.append((module, module.intermediate_act_fn))
                module.dense.after = "gelu"  # type: ignore[assignment]
                module.intermediate_act_fn = nn.Identity()
        yield
    finally:
        for module, activation in activations:
            module.intermediate_act_fn = activation
        for module, before in changed:
            if isinstance(module, PackedLinear):
                module.unpack()
            module.__class__ = before


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether `packed` works for a model on this device."""
    ops: Any = torch.ops.mkldnn
    if device.type != "cpu" or not torch._C._has_mkldnn or not hasattr(ops, "_linear_pointwise"):
        return False
    return dtype == torch.float32 or bool(ops._is_mkldnn_bf16_supported())


def side_by_side(
    work: Callable[[Item], Done], items: Sequence[Item], device: torch.device
) -> Iterator[tuple[Item, Done]]:
    """Each item with its result, in order; on a CPU as many at a time as there are threads, each on one thread.

    Threads that share one batch wait for each other after every operation; those with a batch each do not.
    """
    threads = torch.get_num_threads()
    workers = min(threads, len(items), MOST_WORKERS) if device.type == "cpu" else 1
    if workers < 2:
        yield from ((item, work(item)) for item in items)
        return
    torch.set_num_threads(threads // workers)  # threads that start from here on take this number
    try:
        with ThreadPoolExecutor(workers) as pool:
            yield from zip(items, pool.map(work, items), strict=True)
    finally:
        torch.set_num_threads(threads)


class PackedLinear(nn.Linear):
    """A linear layer whose weights are in the order in which oneDNN reads them."""

    after: str

    def pack(self, dtype: torch.dtype) -> None:
        """Keep a packed copy of the weights beside them."""
        ops: Any = torch.ops.mkldnn
        weight = self.weight.detach().to(dtype)
        self.__dict__["copy"] = ops._reorder_linear_weight(weight, 1024)
        self.__dict__["offset"] = None if self.bias is None else self.bias.detach().to(dtype)
        self.__dict__["after"] = "none"

    def unpack(self) -> None:
        """Drop the copy."""
        for name in ("copy", "offset", "after"):
            self.__dict__.pop(name, None)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) of any type to (..., out) in the type of the copy."""
        weight = self.__dict__["copy"]
        ops: Any = torch.ops.mkldnn
        product: Tensor = ops._linear_pointwise(
            input.to(weight.dtype), weight, self.__dict__["offset"], self.__dict__["after"], [], "none"
        )
        return product


class BlockwiseBertAttention(LeanBertAttention):
    """Attention by plain products over few texts at a time: faster in bfloat16 than the fused kernel on such CPUs."""

    def forward(  # type: ignore[override]
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None]:
        """States (N, L, D) to context (N, L, D)."""
        query, key, value = (
            project(hidden_states).unflatten(-1, (self.num_attention_heads, -1)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        query = torch.mul(query, self.scaling, out=query.new_empty(query.shape))
        texts, heads, length, _ = query.shape
        spare = -length % LANES
        key, value = _longer(key, spare), _longer(value, spare)
        mask = _added(attention_mask, spare, texts, length, query.dtype)
        step = max(1, SCORES_AT_ONCE // (heads * length * (length + spare)))
        context = torch.empty_like(query)
        for start in range(0, texts, step):
            part = slice(start, start + step)
            scores = query[part] @ key[part].mT
            if mask is not None:
                scores += mask[part]
            torch.softmax(scores, dim=-1, out=scores)
            torch.matmul(scores, value[part], out=context[part])
        return context.transpose(1, 2).flatten(2), None


class NarrowLayerNorm(nn.LayerNorm):
    """Layer normalisation that gives bfloat16, computed in float32, so that what flows between layers is narrow."""

    def forward(self, input: Tensor) -> Tensor:
        """The same shape in bfloat16."""
        return nn.functional.layer_norm(input.bfloat16(), self.normalized_shape, self.weight, self.bias, self.eps)


IN_FLOAT32: dict[type[nn.Module], Any] = {nn.Linear: PackedLinear}
IN_BFLOAT16: dict[type[nn.Module], Any] = {
    nn.Linear: PackedLinear,
    nn.LayerNorm: NarrowLayerNorm,
    LeanBertAttention: BlockwiseBertAttention,
}


def _longer(states: Tensor, spare: int) -> Tensor:
    """States (N, H, L, d) with `spare` zero rows behind them, contiguous."""
    texts, heads, length, size = states.shape
    result = states.new_empty(texts, heads, length + spare, size)
    result[:, :, :length] = states
    result[:, :, length:] = 0
    return result


def _added(mask: Tensor | None, spare: int, texts: int, length: int, dtype: torch.dtype) -> Tensor | None:
    """What is added to the scores (N, H, L, L + spare) for padding, (N, 1, 1, L + spare); None where there is none.

    `mask` is (N, 1, L or 1, L), true for real tokens, or to be added itself.
    """
    if mask is None:
        mask = torch.zeros(texts, 1, 1, length, dtype=dtype)
    elif mask.dtype == torch.bool:
        mask = torch.zeros(1, dtype=dtype).masked_fill(~mask[:, :, :1], torch.finfo(dtype).min)
    if not spare and not bool(mask[:, :, :1].any()):
        return None
    return nn.functional.pad(mask[:, :, :1].to(dtype), (0, spare), value=torch.finfo(dtype).min)


def _is_gelu(activation: nn.Module) -> bool:
    return isinstance(activation, GELUActivation) or (
        isinstance(activation, nn.GELU) and activation.approximate == "none"
    )
