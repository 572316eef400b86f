"""Cached steps against uncached ones, and groups against whole batches."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModel

from semcse.batching import equal_groups, pad, within_budget
from semcse.gradcache import cached_backward
from semcse.losses import InfoNCELoss, Objective, TripletLoss
from semcse.pairs import Batch, PairStream
from semcse.sampler import PairSampler
from semcse.trainable import TrainableEncoder
from tests.test_sampler import papers
from tests.tiny import tiny_bert, tiny_deberta, tiny_tokenizer


def batch(group_rows: int | None) -> Batch:
    """Ten pairs in groups of so many texts."""
    stream = PairStream(PairSampler(papers(10), batch_size=10), tiny_tokenizer(), 64, group_rows)
    return next(iter(stream))


def model(folder: Path, dropout: bool) -> TrainableEncoder:
    """A tiny model in float64."""
    trainable = TrainableEncoder(AutoModel.from_pretrained(folder), "cls", projection=6).double()
    if not dropout:
        for module in trainable.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    return trainable.train()


def step(trainable: TrainableEncoder, data: Batch, loss: Objective, cached: bool) -> list[Tensor]:
    """Loss and every gradient."""
    torch.manual_seed(0)
    trainable.zero_grad()
    if cached:
        value = cached_backward(trainable, data["groups"], data["order"], loss, lambda part: part.backward())
    else:
        value = loss(*trainable(data["groups"], data["order"]).chunk(2))
        value.backward()
    return [value.detach(), *(p.grad.clone() for p in trainable.parameters() if p.grad is not None)]


@pytest.mark.parametrize("make", [tiny_bert, tiny_deberta])
@pytest.mark.parametrize("loss", [InfoNCELoss(), TripletLoss()], ids=str)
@pytest.mark.parametrize("dropout", [False, True])
def test_cached_equals_uncached(tmp_path: Path, make: object, loss: Objective, dropout: bool) -> None:
    trainable = model(make(tmp_path), dropout)  # type: ignore[operator]
    data = batch(group_rows=6)
    assert len(data["groups"]) == 3
    for got, want in zip(step(trainable, data, loss, True), step(trainable, data, loss, False), strict=True):
        torch.testing.assert_close(got, want, atol=1e-10, rtol=0)


def test_the_comparison_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainable, data = model(tiny_bert(tmp_path), True), batch(group_rows=6)
    want = step(trainable, data, InfoNCELoss(), False)
    monkeypatch.setattr("semcse.gradcache._set_random_state", lambda *_: None)  # other dropout the second time
    got = step(trainable, data, InfoNCELoss(), True)
    assert max(float((a - b).abs().max()) for a, b in zip(got, want, strict=True)) > 1e-4


def test_groups_equal_the_whole_batch(tmp_path: Path) -> None:
    trainable = model(tiny_bert(tmp_path), False)
    whole = step(trainable, batch(None), InfoNCELoss(), False)
    for rows in (1, 4, 7):
        parts = step(trainable, batch(rows), InfoNCELoss(), False)
        for got, want in zip(parts, whole, strict=True):
            torch.testing.assert_close(got, want, atol=1e-10, rtol=0)


def test_batches_are_the_samplers_pairs(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    sampler = PairSampler(papers(21), batch_size=5, seed=2)
    stream = PairStream(sampler, tokenizer, 64, group_rows=3)
    stream.start = 7  # the third batch of the second epoch, each of five
    data = next(iter(stream))
    other = PairSampler(papers(21), batch_size=5, seed=2)
    other.set_epoch(1)
    pairs = list(other)[2]
    texts = [a for a, _, _ in pairs] + [p for _, p, _ in pairs]
    rows = [
        ids[mask.bool()].tolist() for group, masks in data["groups"] for ids, mask in zip(group, masks, strict=True)
    ]
    assert [rows[row] for row in data["order"]] == [tokenizer(text)["input_ids"] for text in texts]
    assert data["corpus_ids"] == [corpus_id for _, _, corpus_id in pairs]
    assert data["tokens"] == sum(len(row) for row in rows)


def test_budget_is_kept_and_every_row_comes_once() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 200)
    batches = within_budget(lengths, 64)
    assert sorted(np.concatenate(batches)) == list(range(200))
    assert all(lengths[rows].max() * len(rows) <= 64 for rows in batches)
    assert [rows.tolist() for rows in within_budget(np.array([100, 3]), 64)] == [[0], [1]]
    assert within_budget(np.array([], dtype=np.int64), 64) == []
    assert [len(rows) for rows in equal_groups(lengths, 64)] == [67, 67, 66]


def test_padding_by_hand() -> None:
    ids, mask = pad([np.array([7, 8]), np.array([9])], padding=1)
    assert ids.tolist() == [[7, 8], [9, 1]]
    assert mask.tolist() == [[1, 1], [1, 0]]
