"""Generation in which all continuations of a paper share its keys and values.

A paper is one row of the batch, not fifteen. Its keys and values are computed and stored once; behind them, in the
same row, stand the prompts, and then the tokens of all branches side by side. A mask lets each branch see the paper,
its own prompt and its own tokens, and position ids count as if the others were not there. So a step of decoding is
one forward pass of shape (papers, branches), for any causal model that takes a 4-D mask and position ids.

Transformers' own continuous batching with block sharing takes over five times as long on a CPU
(`benchmarks/generation.py`): it shares whole blocks only, and only with prompts that came earlier, so that the abstract
is computed two to five times; and its samples depend on what else is in the batch, which ours must not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache, PreTrainedModel

from semcse.writers.trees import NOBODY, Layout, Tree, build_trees, lay_out

Choose = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""From request numbers (N,), how many tokens each has (N,), and logits (N, V) to the next tokens (N,)."""


@dataclass
class Flight:
    """Papers in generation: P papers, at most B live branches each, K cached keys.

    visible (P, B, K): which keys a branch sees; requests (P, B): the request number of a branch, or NOBODY;
    tokens and positions (P, B): what goes into the next step.
    """

    cache: DynamicCache
    visible: torch.Tensor
    requests: torch.Tensor
    tokens: torch.Tensor
    positions: torch.Tensor

    @property
    def live(self) -> torch.Tensor:
        """Branches that still go on, (P, B)."""
        return self.requests != NOBODY


def generate(
    model: PreTrainedModel,
    trees: Sequence[Tree],
    choose: Choose,
    ended: Callable[[list[int]], bool],
    *,
    max_new_tokens: int,
    budget: int,
) -> dict[int, list[int]]:
    """The generated tokens of each request number.

    choose: picks the next tokens; ended: whether a continuation is over after these tokens (the limit
    `max_new_tokens` apart). Papers join while the cached keys of all stay within `budget` (one paper always may),
    long ones first, so that neighbours are of similar length; finished branches leave.
    """
    waiting = sorted(trees, key=lambda tree: -tree.size(max_new_tokens))
    written: dict[int, list[int]] = {}
    flight: Flight | None = None
    while waiting or flight is not None:
        joining = _admit(waiting, flight, max_new_tokens, budget)
        if joining:
            new, logits = _take_off(model, joining)
            _advance(new, logits, choose, ended, written, max_new_tokens)
            flight = new if flight is None else _merge(flight, new)
        assert flight is not None  # noqa: S101, for mypy: where nothing flies, one paper always joins
        flight = _without_finished(flight)
        if flight is not None:
            _advance(flight, _step(model, flight), choose, ended, written, max_new_tokens)
    return written


def _admit(waiting: list[Tree], flight: Flight | None, new_tokens: int, budget: int) -> list[Tree]:
    """Take from the waiting list what fits now; a flight is only joined when half of the budget is free."""
    used = 0 if flight is None else flight.visible.shape[0] * (flight.visible.shape[2] + _growth(flight, new_tokens))
    if flight is not None and used > budget / 2:
        return []
    joining: list[Tree] = []
    while waiting and ((not joining and flight is None) or used + waiting[0].size(new_tokens) <= budget):
        used += waiting[0].size(new_tokens)
        joining.append(waiting.pop(0))
    return joining


def _growth(flight: Flight, new_tokens: int) -> int:
    return flight.requests.shape[1] * new_tokens


def _take_off(model: PreTrainedModel, trees: Sequence[Tree]) -> tuple[Flight, torch.Tensor]:
    """Compute prefixes and prompts of these papers: the flight, and logits (P, B, V) behind each branch's prompt."""
    device = model.device
    cache = DynamicCache()
    width = max(len(tree.prefix) for tree in trees)
    ids = torch.zeros(len(trees), width, dtype=torch.long)
    seen = torch.zeros(len(trees), width, dtype=torch.bool)
    for row, tree in enumerate(trees):
        ids[row, : len(tree.prefix)] = torch.tensor(tree.prefix)
        seen[row, : len(tree.prefix)] = True
    if width:
        model(input_ids=ids.to(device), past_key_values=cache, use_cache=True, logits_to_keep=1)
    layout = lay_out(trees, seen)
    ends = layout.ends.to(device)
    logits = model(
        input_ids=layout.ids.to(device),
        attention_mask=layout.mask[:, None].to(device),
        position_ids=layout.positions.to(device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=ends,
    ).logits
    return _branch(trees, layout, cache, logits)


def _branch(
    trees: Sequence[Tree], layout: Layout, cache: DynamicCache, logits: torch.Tensor
) -> tuple[Flight, torch.Tensor]:
    """Branches from the prompts; logits (P, prompts, V) become (P, B, V)."""
    width = max(len(tree.branches) for tree in trees)
    suffix = torch.zeros(len(trees), width, dtype=torch.long)
    requests = torch.full_like(suffix, NOBODY)
    positions = torch.zeros_like(suffix)
    for row, tree in enumerate(trees):
        for column, (k, request) in enumerate(tree.branches):
            suffix[row, column] = k
            requests[row, column] = request
            positions[row, column] = len(tree.prefix) + len(tree.suffixes[k])
    rows = torch.arange(len(trees))[:, None]
    device = logits.device
    visible = layout.mask[rows, layout.ends[suffix]].to(device)
    flight = Flight(cache, visible, requests.to(device), torch.zeros_like(suffix).to(device), positions.to(device))
    return flight, logits[rows.to(device), suffix.to(device)]


def _advance(
    flight: Flight,
    logits: torch.Tensor,
    choose: Choose,
    ended: Callable[[list[int]], bool],
    written: dict[int, list[int]],
    max_new_tokens: int,
) -> None:
    """Choose the next token of each live branch, write it down, and end the branches that are over."""
    live = flight.live
    numbers = flight.requests[live]
    own = [written.setdefault(number, []) for number in numbers.tolist()]
    chosen = choose(numbers, torch.tensor(list(map(len, own)), device=logits.device), logits[live])
    for tokens, token in zip(own, chosen.tolist(), strict=True):
        tokens.append(token)
    over = [ended(tokens) or len(tokens) >= max_new_tokens for tokens in own]
    flight.tokens[live] = chosen
    flight.requests[live] = torch.where(torch.tensor(over, device=logits.device), NOBODY, numbers)


def _step(model: PreTrainedModel, flight: Flight) -> torch.Tensor:
    """Logits (P, B, V) after the tokens of all branches, whose keys join the cache."""
    papers, branches = flight.tokens.shape
    itself = torch.eye(branches, dtype=torch.bool, device=flight.visible.device).expand(papers, -1, -1)
    flight.visible = torch.cat([flight.visible, itself], dim=2)
    logits: torch.Tensor = model(
        input_ids=flight.tokens,
        attention_mask=flight.visible[:, None],
        position_ids=flight.positions,
        past_key_values=flight.cache,
        use_cache=True,
    ).logits
    flight.positions = flight.positions + 1
    return logits


def _without_finished(flight: Flight, worthwhile: float = 0.75) -> Flight | None:
    """The flight without papers, branches and keys that nobody needs, once a quarter of its branches is over."""
    live = flight.live
    left = int(live.sum())
    if left == 0:
        return None
    if left > worthwhile * live.numel():
        return flight
    rows = live.any(dim=1).nonzero().squeeze(1)
    order = live[rows].int().argsort(dim=1, descending=True, stable=True)[:, : int(live.sum(dim=1).max())]
    requests = flight.requests[rows].gather(1, order)
    visible = flight.visible[rows].gather(1, order[:, :, None].expand(-1, -1, flight.visible.shape[2]))
    visible &= (requests != NOBODY)[:, :, None]
    needed = visible.any(dim=1)
    keys = needed.int().argsort(dim=1, descending=True, stable=True)[:, : int(needed.sum(dim=1).max())]
    _select_keys(flight.cache, rows, keys)
    return Flight(
        flight.cache,
        visible.gather(2, keys[:, None, :].expand(-1, visible.shape[1], -1)),
        requests,
        flight.tokens[rows].gather(1, order),
        flight.positions[rows].gather(1, order),
    )


def _select_keys(cache: DynamicCache, rows: torch.Tensor, keys: torch.Tensor) -> None:
    """Keep these rows of the cache and, in each, these keys (rows, K')."""
    for layer in cache.layers:
        for name in ("keys", "values"):
            states = getattr(layer, name)[rows]
            index = keys[:, None, :, None].expand(-1, states.shape[1], -1, states.shape[3])
            setattr(layer, name, states.gather(2, index))


def _merge(one: Flight, two: Flight) -> Flight:
    """Both flights as one; the narrower is padded with keys that nobody sees and branches of nobody."""
    branches = max(one.visible.shape[1], two.visible.shape[1])
    keys = max(one.visible.shape[2], two.visible.shape[2])
    for layer, other in zip(one.cache.layers, two.cache.layers, strict=True):
        for name in ("keys", "values"):
            padded = [_padded(getattr(part, name), keys, 2) for part in (layer, other)]
            setattr(layer, name, torch.cat(padded))
    flat = [
        torch.cat([_padded(getattr(part, name), branches, 1, value) for part in (one, two)])
        for name, value in (("requests", NOBODY), ("tokens", 0), ("positions", 0))
    ]
    visible = torch.cat([_padded(_padded(part.visible, branches, 1), keys, 2) for part in (one, two)])
    return Flight(one.cache, visible, *flat)


def _padded(tensor: torch.Tensor, size: int, dim: int, value: int = 0) -> torch.Tensor:
    missing = size - tensor.shape[dim]
    if missing == 0:
        return tensor
    shape = [*tensor.shape]
    shape[dim] = missing
    return torch.cat([tensor, tensor.new_full(shape, value)], dim=dim)


def context_limit(model: PreTrainedModel, shared: bool = True) -> int | None:
    """The longest prompt and continuation, in tokens; with a shared prefix a sliding window is a limit, too."""
    config = model.config.get_text_config()
    names = ["max_position_embeddings", *(["sliding_window"] if shared else [])]
    limits = [limit for name in names if (limit := getattr(config, name, None)) is not None]
    return min(limits, default=None)


def check_model(model: PreTrainedModel) -> None:
    """Raise ValueError when the model does not heed a 4-D mask and position ids, which a shared prefix needs."""
    prompts = [[3, 4, 5, 6, 7, 8], [3, 4, 5, 9, 10, 4, 11]]
    _, shared = _take_off(model, build_trees(prompts, [0, 0]))
    for prompt, logits in zip(prompts, shared[0], strict=True):
        plain = model(input_ids=torch.tensor([prompt], device=model.device)).logits[0, -1]
        if torch.cosine_similarity(plain.float(), logits.float(), dim=0) < 0.99:
            raise ValueError(
                f"{type(model).__name__} with attention {model.config._attn_implementation!r} does not compute the "
                "same with a shared prefix. Load it with attention 'sdpa', or set shared_prefix to false."
            )
