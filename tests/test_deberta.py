"""The fast DeBERTa-v2 attention against the one of transformers."""

import copy
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, DebertaV2Model

from semcse.deberta import ShortTextAttention, speed_up
from semcse.encoder import Encoder
from tests.tiny import tiny_deberta, tiny_deberta_config

VARIANTS = {
    "shared, log buckets": {},
    "own projections": {"share_att_key": False},
    "no buckets": {"position_buckets": -1, "max_relative_positions": 12},
    "short table": {"position_buckets": 4},
}


def pair(changes: dict[str, object]) -> tuple[DebertaV2Model, DebertaV2Model]:
    """A model and its fast copy, in float64, without dropout."""
    torch.manual_seed(0)
    model = DebertaV2Model(tiny_deberta_config(**changes)).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    fast = copy.deepcopy(model)
    assert speed_up(fast) == 2
    return model, fast


def states(model: DebertaV2Model, length: int) -> torch.Tensor:
    """States of three texts of different lengths, padding included."""
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(5, 200, (3, length), generator=generator)
    lengths = torch.tensor([length, max(1, length - 1), max(1, length // 2)])
    mask = (torch.arange(length) < lengths[:, None]).long()
    return model(input_ids=ids, attention_mask=mask).last_hidden_state


@pytest.mark.parametrize("length", [1, 2, 7, 40])
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
def test_outputs_and_every_gradient_are_equal(changes: dict[str, object], length: int) -> None:
    model, fast = pair(changes)
    expected, got = states(model, length), states(fast, length)
    torch.testing.assert_close(got, expected, atol=1e-10, rtol=0)
    weights = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for output in (expected, got):
        (output * weights).sum().backward()
    for (name, one), (_, other) in zip(model.named_parameters(), fast.named_parameters(), strict=True):
        if one.grad is None:
            assert other.grad is None, name
        else:
            torch.testing.assert_close(other.grad, one.grad, atol=1e-9, rtol=0, msg=name)


def test_the_comparison_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    model, fast = pair({})
    original = ShortTextAttention._reached
    monkeypatch.setattr(ShortTextAttention, "_reached", lambda *args: original(*args).flip(0))
    assert float((states(model, 7) - states(fast, 7)).detach().abs().max()) > 1e-3


def test_dropout_is_applied_in_training() -> None:
    _, fast = pair({})
    fast.train()
    torch.manual_seed(1)
    assert not torch.equal(states(fast, 7), states(fast, 7))


def test_an_encoder_takes_it_by_itself(tmp_path: Path) -> None:
    encoder = Encoder.load(tiny_deberta(tmp_path))
    assert any(isinstance(module, ShortTextAttention) for module in encoder.model.modules())
    saved = encoder.save(tmp_path / "saved")
    assert type(DebertaV2Model.from_pretrained(saved)) is DebertaV2Model


def test_other_models_are_left_alone() -> None:
    bert = BertModel(BertConfig(vocab_size=10, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    assert speed_up(bert) == 0
    plain = DebertaV2Model(tiny_deberta_config(pos_att_type="c2p", share_att_key=False))
    assert speed_up(plain) == 0


def test_positions_given_from_outside_are_refused() -> None:
    _, fast = pair({})
    attention = next(module for module in fast.modules() if isinstance(module, ShortTextAttention))
    hidden, mask = torch.zeros(1, 3, 16, dtype=torch.float64), torch.ones(1, 1, 3, 3)
    table = torch.zeros(16, 16, dtype=torch.float64)
    with pytest.raises(ValueError, match="relative_pos"):
        attention(hidden, mask, relative_pos=torch.zeros(1, 3, 3), rel_embeddings=table)
    with pytest.raises(ValueError, match="all tokens or the first"):
        attention(hidden, mask, query_states=hidden[:, :2], rel_embeddings=table)
