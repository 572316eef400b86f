"""Layers with less work against those of transformers."""

import copy
from pathlib import Path

import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor
from transformers import AutoModel, PreTrainedModel

from semcse.deberta import speed_up
from semcse.lean import FirstTokenBertLayer, FirstTokenDebertaLayer, LeanDropout, make_lean
from tests.tiny import tiny_bert, tiny_deberta


def without_dropout(folder: Path) -> PreTrainedModel:
    """A model in float64 in training mode whose dropout does nothing."""
    model = AutoModel.from_pretrained(folder).double().train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def first_states(model: PreTrainedModel) -> Tensor:
    """First tokens of three padded texts."""
    ids = torch.randint(5, 200, (3, 9), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(9) < torch.tensor([9, 5, 1])[:, None]).long()
    return model(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("make", [tiny_bert, tiny_deberta])
def test_outputs_and_every_gradient_are_equal(tmp_path: Path, make: object, pooling: str, training: bool) -> None:
    model = without_dropout(make(tmp_path)).train(training)  # type: ignore[operator]
    lean = copy.deepcopy(model)
    speed_up(lean)
    make_lean(lean, pooling)
    last = type(lean.encoder.layer[-1])
    assert (last in (FirstTokenBertLayer, FirstTokenDebertaLayer)) == (pooling == "cls")
    expected, got = first_states(model), first_states(lean)
    torch.testing.assert_close(got, expected, atol=1e-9, rtol=0)
    for output in (expected, got):
        output.square().sum().backward()
    for (name, one), (_, other) in zip(model.named_parameters(), lean.named_parameters(), strict=True):
        if one.grad is not None:
            torch.testing.assert_close(other.grad, one.grad, atol=1e-8, rtol=0, msg=name)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_drops_so_often_and_keeps_the_mean(p: float) -> None:
    """A two-sided binomial test at the level 0.001, and neighbours are independent at the same level."""
    torch.manual_seed(0)
    dropped = LeanDropout(p).train()(torch.ones(401, 501)).flatten()
    zero = dropped == 0
    assert binomtest(int(zero.sum()), len(zero), p).pvalue > 0.001
    both = zero[:-1] & zero[1:]
    assert binomtest(int(both[::2].sum()), len(both[::2]), p * p).pvalue > 0.001
    torch.testing.assert_close(dropped[~zero], torch.full_like(dropped[~zero], 1 / (1 - p)), atol=1e-4, rtol=0)
    for lane in range(4):
        assert binomtest(int(zero[lane::4].sum()), len(zero[lane::4]), p).pvalue > 0.001


def test_dropout_passes_gradients_and_follows_the_seed() -> None:
    layer = LeanDropout(0.5).train()
    values = torch.ones(7, requires_grad=True)
    torch.manual_seed(1)
    out = layer(values)
    out.sum().backward()
    assert torch.equal(values.grad, out.detach())  # type: ignore[arg-type]
    torch.manual_seed(1)
    assert torch.equal(layer(values), out)
    assert torch.equal(layer.eval()(values), values)
    assert torch.equal(LeanDropout(0.0).train()(values), values)


def test_attention_of_bert_drops_in_training(tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(tiny_bert(tmp_path)).train()
    make_lean(model, "mean")
    assert not torch.equal(first_states(model), first_states(model))
