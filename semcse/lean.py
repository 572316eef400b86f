"""The same networks with less work on a CPU: cheaper dropout, and only the first token where only it is pooled.

Layers change class, not weights: names, checkpoints and results stay those of transformers; tests hold outputs and
gradients equal.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.models.bert.modeling_bert import BertLayer, BertModel, BertSelfAttention
from transformers.models.deberta_v2.modeling_deberta_v2 import DebertaV2Layer, DebertaV2Model

from semcse.deberta import ShortTextAttention

_LEVELS = 2**16


def make_lean(model: PreTrainedModel, pooling: str) -> None:
    """Change the layers of a BERT or DeBERTa-v2 in place; other models keep theirs, but for dropout.

    With pooling "cls" the last layer computes the first token only, so `last_hidden_state` is (N, 1, D).
    """
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = LeanDropout
        elif type(module) is BertSelfAttention and not module.is_causal:
            module.__class__ = LeanBertAttention
    if pooling == "cls":
        _only_first_token(model)


def _only_first_token(model: PreTrainedModel) -> None:
    if type(model) is BertModel and not model.config.is_decoder:
        model.encoder.layer[-1].__class__ = FirstTokenBertLayer
    elif type(model) is DebertaV2Model:
        layer: Any = model.encoder.layer[-1]
        after_convolution = model.encoder.conv is not None and len(model.encoder.layer) == 1
        if type(layer.attention.self) is ShortTextAttention and not after_convolution:
            layer.__class__ = FirstTokenDebertaLayer


class LeanDropout(nn.Dropout):
    """Dropout that draws four decisions from one random number on a CPU, where drawing is what takes the time.

    The probability is rounded to 1/65536 and the scale follows the rounded one.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The input with some entries zero and the others scaled up, in training."""
        level = round(self.p * _LEVELS)
        if not self.training or level == 0 or input.device.type != "cpu":
            return functional.dropout(input, self.p, self.training)
        draws = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        kept = draws.view(torch.int16)[: input.numel()].view(input.shape) >= level - _LEVELS // 2
        return input * kept.to(input.dtype).mul_(_LEVELS / (_LEVELS - level))


class LeanBertAttention(BertSelfAttention):
    """Attention by plain products in training on a CPU, so that its dropout is the cheap one."""

    def forward(  # type: ignore[override]
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None]:
        """States (N, L, D) to context (N, L, D)."""
        if not self.training or hidden_states.device.type != "cpu":
            context: Any = super().forward(hidden_states, attention_mask, *args, **kwargs)
            return context[0], context[1]
        return self.attend(hidden_states, hidden_states, attention_mask), None

    def attend(self, asking: Tensor, states: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Context (N, Q, D) of the asking states (N, Q, D) among states (N, L, D)."""
        query, key, value = (
            project(source).unflatten(-1, (self.num_attention_heads, -1)).transpose(1, 2)
            for project, source in ((self.query, asking), (self.key, states), (self.value, states))
        )
        scores = (query * self.scaling) @ key.mT
        if attention_mask is not None:
            scores = scores + _additive(attention_mask[:, :, : asking.shape[1]], scores.dtype)
        shares = self.dropout(torch.softmax(scores, dim=-1)).to(value.dtype)
        context: Tensor = (shares @ value).transpose(1, 2).flatten(2)
        return context


class FirstTokenBertLayer(BertLayer):  # type: ignore[no-untyped-call]
    """A last layer (N, L, D) to (N, 1, D)."""

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
        """The state of the first token after this layer."""
        layer: Any = self
        first = hidden_states[:, :1]
        context = layer.attention.self.attend(first, hidden_states, attention_mask)
        attended = layer.attention.output(context, first)
        output: Tensor = layer.output(layer.intermediate(attended), attended)
        return output


class FirstTokenDebertaLayer(DebertaV2Layer):  # type: ignore[no-untyped-call]
    """A last layer (N, L, D) to (N, 1, D)."""

    def forward(  # type: ignore[override]
        self, hidden_states: Tensor, attention_mask: Tensor, query_states: Tensor | None = None, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None]:
        """The state of the first token after this layer."""
        return super().forward(hidden_states, attention_mask[:, :, :1], query_states=hidden_states[:, :1], **kwargs)


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)
