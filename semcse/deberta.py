"""DeBERTa-v2 attention for short texts, equal to transformers' own in outputs and gradients.

The reference multiplies every query and key with all relative positions of the model (512 rows for a base model),
copies that table for each text, and picks what it needs through index tensors as large as the scores. A text of L
tokens reaches 2 L - 1 relative positions. Here the table is cut to those, in the order in which a row of the product
read with a shifted stride is already the wanted score: nothing is copied or gathered.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.deberta_v2.modeling_deberta_v2 import (
    DebertaV2Encoder,
    DisentangledSelfAttention,
    make_log_bucket_position,
)


def speed_up(model: PreTrainedModel) -> int:
    """Give a DeBERTa-v2 model the attention of this module; return the number of layers changed, 0 for other models.

    Weights, their names and the results stay as they are.
    """
    changed = 0
    for module in model.modules():
        if type(module) is DisentangledSelfAttention and _applies(module):
            module.__class__ = ShortTextAttention
            changed += 1
    for module in model.modules():
        if changed and type(module) is DebertaV2Encoder:
            module.__class__ = LeanEncoder
    return changed


def _applies(attention: DisentangledSelfAttention) -> bool:
    return bool(attention.relative_attention) and {"c2p", "p2c"} <= set(attention.pos_att_type)


class LeanEncoder(DebertaV2Encoder):
    """The encoder without the table of relative positions, which its layers no longer use."""

    def get_rel_pos(self, *_: Any, **__: Any) -> None:
        """Nothing."""


class ShortTextAttention(DisentangledSelfAttention):
    """Disentangled attention over the relative positions that occur."""

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor,
        output_attentions: bool = False,
        query_states: Tensor | None = None,
        relative_pos: Tensor | None = None,
        rel_embeddings: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """States (N, L, D) to context (N, Q, D) of all tokens or of the first; the mask is (N, 1, Q, L)."""
        if relative_pos is not None or rel_embeddings is None:
            raise ValueError("relative_pos cannot be given here; load the model without semcse.deberta.speed_up")
        length, heads = hidden_states.shape[1], self.num_attention_heads
        asking = hidden_states if query_states is None else query_states
        if asking.shape[1] not in (1, length):
            raise ValueError("queries must be all tokens or the first; for others use the attention of transformers")
        rows = self.pos_dropout(rel_embeddings[self._reached(length, rel_embeddings.device)])
        scale = 1 / float(torch.tensor(3.0 * self.attention_head_size).sqrt())  # in float32, as the reference
        query = _heads(self.query_proj(asking) * scale, heads)
        key = _heads(self.key_proj(hidden_states), heads)
        if asking.shape[1] == length:
            scores = query @ key.mT + _shifted(query @ self._position_keys(rows).mT)
            scores = scores + _shifted(key @ self._position_queries(rows.flip(0), scale).mT).mT
        else:
            ahead = rows[length - 1 :]  # keys as seen from the first token
            scores = query @ (key + self._position_keys(ahead)).mT
            scores = scores + (key * self._position_queries(ahead, scale)).sum(-1)[:, :, None]
        scores = scores.masked_fill(~attention_mask.bool(), torch.finfo(scores.dtype).min)
        shares = self.dropout(torch.softmax(scores, dim=-1))
        value = _heads(self.value_proj(hidden_states), heads)
        context = (shares.to(value.dtype) @ value).transpose(1, 2).flatten(2)
        return context, shares if output_attentions else None

    def _reached(self, length: int, device: torch.device) -> Tensor:
        """Rows of the position table for key minus query from -(L - 1) to L - 1."""
        return _rows(length, self.pos_ebd_size, self.position_buckets, self.max_relative_positions, device)

    def _position_keys(self, rows: Tensor) -> Tensor:
        project = self.key_proj if self.share_att_key else self.pos_key_proj
        return _heads(project(rows)[None], self.num_attention_heads)

    def _position_queries(self, rows: Tensor, scale: float) -> Tensor:
        project = self.query_proj if self.share_att_key else self.pos_query_proj
        return _heads(project(rows)[None] * scale, self.num_attention_heads)


@lru_cache(maxsize=1024)
def _rows(length: int, span: int, buckets: int, farthest: int, device: torch.device) -> Tensor:
    distance = torch.arange(length - 1, -length, -1, device=device)  # query minus key
    if buckets > 0 and farthest > 0:
        distance = make_log_bucket_position(distance, buckets, farthest).to(torch.long)
    return torch.clamp(distance + span, 0, 2 * span - 1)


def _heads(states: Tensor, heads: int) -> Tensor:
    """(N, L, H * d) as (N, H, L, d)."""
    return states.view(*states.shape[:-1], heads, -1).transpose(1, 2)


def _shifted(products: Tensor) -> Tensor:
    """(N, H, L, L): entry [i, j] is entry [i, j - i + L - 1] of products (N, H, L, 2 L - 1), as a view."""
    products = products.contiguous()
    outer, heads, length, width = products.shape
    strides = (heads * length * width, length * width, width - 1, 1)
    return products.as_strided((outer, heads, length, length), strides, products.storage_offset() + length - 1)
