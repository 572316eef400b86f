"""Sampling a token so that the choice depends on the sequence's own seed and step, not on its neighbours."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import LogitsProcessor


def uniforms(seeds: Sequence[int], steps: int) -> torch.Tensor:
    """Uniform numbers in [0, 1) for each seed and step, (N, steps) float32; row n is a function of seeds[n] alone."""
    rows = [np.random.Generator(np.random.Philox(key=seed)).random(steps, dtype=np.float32) for seed in seeds]
    return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, steps)


def pick(logits: torch.Tensor, uniform: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """A token (N,) for each row of logits (N, V), by the inverse of the distribution function at `uniform` (N,).

    The most probable tokens that together have at least `top_p` are kept. Temperature 0 takes the most probable one.
    Tokens are ordered by falling probability, so that differences of rounding in the logits rarely change the choice.
    """
    if temperature == 0:
        return logits.argmax(dim=-1)
    ordered, tokens = torch.sort(logits.float() / temperature, dim=-1, descending=True, stable=True)
    cumulative = torch.softmax(ordered, dim=-1).cumsum(dim=-1)
    kept = (cumulative < top_p).sum(dim=-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    threshold = uniform[:, None] * cumulative.gather(1, kept)
    place = torch.searchsorted(cumulative, threshold, right=True).clamp(max=kept)
    return tokens.gather(1, place).squeeze(1)


class SeededSampling(LogitsProcessor):
    """Makes greedy `model.generate` draw by `pick`: each sequence with its own uniform numbers, one a step.

    uniform: (N, steps), row n for sequence n of the batch; prompt_length: tokens before the first step.
    """

    def __init__(self, uniform: torch.Tensor, prompt_length: int, temperature: float, top_p: float) -> None:
        self.uniform = uniform
        self.prompt_length = prompt_length
        self.temperature = temperature
        self.top_p = top_p

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores with which only the drawn token can be chosen."""
        step = input_ids.shape[1] - self.prompt_length
        chosen = pick(scores, self.uniform[:, step].to(scores.device), self.temperature, self.top_p)
        only = torch.full_like(scores, -torch.inf)
        only.scatter_(1, chosen[:, None], 0.0)
        return only  # type: ignore[return-value]
