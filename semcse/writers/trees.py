"""The prompts of a paper as a tree of token ids, and several such trees side by side as one input of a model."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch

NOBODY = -1
"""The number of no prompt, no request."""


@dataclass(frozen=True)
class Tree:
    """The prompts of one paper as token ids: their common beginning, how each goes on, and who continues them.

    requests[k] are the numbers of the requests that branch from `prefix + suffixes[k]`.
    """

    prefix: list[int]
    suffixes: list[list[int]]
    requests: list[list[int]]

    @property
    def branches(self) -> list[tuple[int, int]]:
        """(suffix number, request number) of each branch."""
        return [(k, request) for k, requests in enumerate(self.requests) for request in requests]

    def size(self, new_tokens: int) -> int:
        """The most keys that the tree can come to hold."""
        return len(self.prefix) + sum(map(len, self.suffixes)) + len(self.branches) * new_tokens


def build_trees(prompts: Sequence[Sequence[int]], groups: Sequence[Hashable]) -> list[Tree]:
    """One tree for each group, in order of appearance; equal prompts of a group share a suffix.

    The prefix is the longest common beginning of the group's token ids, so that nothing about the tokenizer is
    assumed; at least one token remains to each suffix.
    """
    members: dict[Hashable, dict[tuple[int, ...], list[int]]] = {}
    for number, (prompt, group) in enumerate(zip(prompts, groups, strict=True)):
        members.setdefault(group, {}).setdefault(tuple(prompt), []).append(number)
    return [_tree(list(distinct), list(distinct.values())) for distinct in members.values()]


def _tree(prompts: list[tuple[int, ...]], requests: list[list[int]]) -> Tree:
    first, last = min(prompts), max(prompts)
    longest = min(map(len, prompts)) - 1
    common = next((i for i in range(longest) if first[i] != last[i]), longest)
    return Tree(list(first[:common]), [list(prompt[common:]) for prompt in prompts], requests)


@dataclass
class Layout:
    """The prompts of each paper side by side, each ending in the same column: ids, positions (P, Q); mask (P, Q, K)."""

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    ends: torch.Tensor


def lay_out(trees: Sequence[Tree], seen: torch.Tensor) -> Layout:
    count = max(len(tree.suffixes) for tree in trees)
    widths = [max(len(tree.suffixes[k]) for tree in trees if k < len(tree.suffixes)) for k in range(count)]
    ends = list(accumulate(widths))
    ids = torch.zeros(len(trees), ends[-1], dtype=torch.long)
    positions = torch.zeros_like(ids)
    owner = torch.full_like(ids, NOBODY)
    for row, tree in enumerate(trees):
        for k, suffix in enumerate(tree.suffixes):
            place = slice(ends[k] - len(suffix), ends[k])
            ids[row, place] = torch.tensor(suffix)
            positions[row, place] = torch.arange(len(suffix)) + len(tree.prefix)
            owner[row, place] = k
    own = (owner[:, :, None] == owner[:, None, :]).tril() & (owner != NOBODY)[:, :, None]
    own |= torch.eye(ends[-1], dtype=torch.bool)
    paper = seen[:, None, :].expand(-1, ends[-1], -1)
    return Layout(ids, positions, torch.cat([paper, own], dim=2), torch.tensor(ends) - 1)
