"""Sampling a token so that the choice depends on the sequence's own seed and step, not on its neighbours."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import LogitsProcessor


def uniforms(seeds: Sequence[int], steps: int) -> torch.Tensor:
    """Uniform numbers in [0, 1) for each seed and step, (N, steps) float32; row n is a function of seeds[n] alone."""
    rows = [np.random.Generator(np.random.Philox(key=seed)).random(steps, dtype=np.float32) for seed in seeds]
    return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, steps)


HEAD = 256


def pick(logits: torch.Tensor, uniform: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """A token (N,) for each row of logits (N, V), by the inverse of the distribution function at `uniform` (N,).

    The most probable tokens that together have at least `top_p` are kept. Temperature 0 takes the most probable one.
    Tokens are ordered by falling probability, so that differences of rounding in the logits rarely change the choice;
    rows whose mass lies in the first few tokens, as nearly all do, are spared the sorting of the rest.
    """
    if temperature == 0:
        return logits.argmax(dim=-1)
    scaled = logits.float() / temperature
    head, tokens = scaled.topk(min(HEAD, scaled.shape[-1]), dim=-1)
    cumulative = (head - scaled.logsumexp(dim=-1, keepdim=True)).exp().cumsum(dim=-1)
    chosen = _invert(cumulative, tokens, uniform, top_p)
    rest = cumulative[:, -1] < top_p
    if bool(rest.any()):
        ordered, tokens = scaled[rest].sort(dim=-1, descending=True, stable=True)
        chosen[rest] = _invert(ordered.softmax(dim=-1).cumsum(dim=-1), tokens, uniform[rest], top_p)
    return chosen


def _invert(cumulative: torch.Tensor, tokens: torch.Tensor, uniform: torch.Tensor, top_p: float) -> torch.Tensor:
    last = (cumulative < top_p).sum(dim=-1, keepdim=True).clamp(max=cumulative.shape[-1] - 1)
    threshold = uniform[:, None] * cumulative.gather(1, last)
    place = torch.searchsorted(cumulative, threshold, right=True).clamp(max=last)
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
