"""The model in training: an encoder's transformer, its pooling and an optional head."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from semcse.encoder import pool

Group = tuple[Tensor, Tensor]  # ids (n, L) and mask (n, L)


class TrainableEncoder(nn.Module):
    """Texts in groups of like length to vectors (N, D), or (N, projection) with a head.

    The word embeddings of all groups are looked up together, so that their gradient, as large as the vocabulary, is
    made once and not for each group.
    """

    def __init__(self, backbone: PreTrainedModel, pooling: str, projection: int | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        width = backbone.config.hidden_size
        self.head = nn.Linear(width, projection, bias=False) if projection else nn.Identity()
        for name, parameter in backbone.named_parameters():
            if name.startswith("pooler."):
                parameter.requires_grad_(False)  # not on the way to any embedding

    def forward(self, groups: Sequence[Group], order: Tensor) -> Tensor:
        """Vectors (N, D) in float32; row k is row `order[k]` of the groups taken together."""
        ids = torch.cat([ids[mask.bool()] for ids, mask in groups])
        words = self.backbone.get_input_embeddings()(ids)
        parts, start = [], 0
        for _, mask in groups:
            count = int(mask.sum())
            parts.append(self._vectors(words[start : start + count], mask))
            start += count
        vectors: Tensor = self.head(torch.cat(parts)[order])
        return vectors

    def _vectors(self, words: Tensor, mask: Tensor) -> Tensor:
        spread = words.new_zeros(*mask.shape, words.shape[-1]).masked_scatter(mask[:, :, None].bool(), words)
        hidden = self.backbone(inputs_embeds=spread, attention_mask=mask).last_hidden_state
        return pool(hidden, mask, self.pooling)
