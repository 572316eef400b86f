"""Pairs as token rows: tokenised once and ahead, cut into groups of like length in the step."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset
from transformers import PreTrainedTokenizerBase

from semcse.batching import equal_groups, pad
from semcse.encoder import padding_token, tokenize
from semcse.sampler import PairSampler

Batch = dict[str, Any]
GROUP_ROWS = 16  # on a CPU: rows enough for efficient products, lengths alike enough to waste little


class TokenTable:
    """Token ids of many texts, one after the other in memory."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> None:
        rows = tokenize(tokenizer, texts, max_length)
        self.lengths = np.array([len(row) for row in rows], dtype=np.int64)
        self._ends = np.cumsum(self.lengths)
        self._ids = np.concatenate(rows)

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        end = self._ends[row]
        return self._ids[end - self.lengths[row] : end]


class PairStream(IterableDataset[Batch]):
    """Batches without end, epoch after epoch, from batch number `start` on.

    A batch holds anchors, then positives, as `groups` of texts of like length, each padded to its own longest:
    `groups` a list of (ids, mask), `order` the row of the concatenated groups at which each text stands, `tokens`
    the number of real tokens, `corpus_ids` the papers. Which pairs make a batch is the sampler's choice alone.
    """

    def __init__(
        self, sampler: PairSampler, tokenizer: PreTrainedTokenizerBase, max_length: int, group_rows: int | None
    ) -> None:
        self.sampler = sampler
        self.table = TokenTable(tokenizer, sampler.texts, max_length)
        self.padding = padding_token(tokenizer)
        self.group_rows = group_rows
        self.start = 0

    def __iter__(self) -> Iterator[Batch]:
        epoch, batch = divmod(self.start, len(self.sampler))
        self.sampler.set_epoch(epoch)
        self.sampler.load_state_dict(self.sampler.state_dict() | {"batch": batch})
        while True:
            for anchors, positives, papers in self.sampler.indices():
                yield self.batch(np.concatenate([anchors, positives]), papers)
            epoch += 1
            self.sampler.set_epoch(epoch)

    def batch(self, texts: NDArray[np.int64], papers: NDArray[np.int64]) -> Batch:
        """The batch of these rows of the sampler's texts and papers."""
        lengths = self.table.lengths[texts]
        groups = equal_groups(lengths, self.group_rows or len(texts))
        return {
            "groups": [pad([self.table[row] for row in texts[group]], self.padding) for group in groups],
            "order": torch.from_numpy(np.argsort(np.concatenate(groups))),
            "tokens": int(lengths.sum()),
            "corpus_ids": [self.sampler.ids[paper] for paper in papers],
        }
