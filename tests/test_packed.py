"""The packed model against the plain one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertSelfAttention

from semcse import encoder as encoder_module
from semcse import packed as packed_module
from semcse.encoder import Encoder
from semcse.packed import BlockwiseBertAttention, packed, side_by_side
from tests.tiny import tiny_bert, tiny_deberta

TEXTS = ["a title of 3", "the paper says little about 14 and 15 .", "sentence", " ".join(["summary"] * 50)]
CPU = torch.device("cpu")


@pytest.fixture(params=[tiny_bert, tiny_deberta])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path: Path = request.param(tmp_path)
    return path


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("batch_tokens", [8, 4000])
def test_packed_float32_equals_plain(
    folder: Path, pooling: str, batch_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder.load(folder, pooling, precision="float32")
    plain = encoder.encode(TEXTS, batch_tokens)
    monkeypatch.setattr(encoder_module, "_WORTH_PACKING", 1)
    np.testing.assert_allclose(encoder.encode(TEXTS, batch_tokens), plain, atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("batch_tokens", [8, 4000])
def test_packed_bfloat16_is_near_and_padding_does_not_matter(
    folder: Path, pooling: str, batch_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = Encoder.load(folder, pooling, precision="float32").encode(TEXTS)
    monkeypatch.setattr(encoder_module, "_WORTH_PACKING", 1)
    near = Encoder.load(folder, pooling, precision="bfloat16").encode(TEXTS, batch_tokens)
    cosine = (exact * near).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(near, axis=1)
    assert not np.array_equal(exact, near)
    assert cosine.min() > 0.999


@pytest.mark.parametrize("length", [5, 31, 32, 33, 70])
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("at_once", [1, 2**19])
def test_blockwise_attention_equals_the_plain_one(
    length: int, padding: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_module, "SCORES_AT_ONCE", at_once)
    torch.manual_seed(0)
    config = BertConfig(hidden_size=24, num_attention_heads=3, attn_implementation="sdpa")
    attention = BertSelfAttention(config).eval()
    states = torch.randn(4, length, 24)
    real = torch.ones(4, 1, length, length, dtype=torch.bool)
    real[1:, :, :, length - padding :] = False
    added = torch.zeros(real.shape).masked_fill(~real, torch.finfo(torch.float32).min)
    with torch.inference_mode():
        expected = attention(states, real)[0]
        attention.__class__ = BlockwiseBertAttention
        for mask in (real, added, *([None] if not padding else [])):
            torch.testing.assert_close(attention(states, mask)[0], expected, atol=1e-5, rtol=0)


def test_blockwise_attention_adds_a_mask_as_it_is_given() -> None:
    torch.manual_seed(0)
    attention = BertSelfAttention(BertConfig(hidden_size=24, num_attention_heads=3, attn_implementation="sdpa")).eval()
    states, bias = torch.randn(2, 9, 24), torch.randn(2, 1, 1, 9)
    with torch.inference_mode():
        expected = attention(states, bias.expand(-1, -1, 9, -1))[0]
        attention.__class__ = BlockwiseBertAttention
        torch.testing.assert_close(attention(states, bias)[0], expected, atol=1e-5, rtol=0)


def test_the_model_is_its_old_self_afterwards(folder: Path) -> None:
    encoder = Encoder.load(folder, precision="float32")
    before, kinds = encoder.encode(TEXTS), [type(module) for module in encoder.model.modules()]
    for dtype in (torch.float32, torch.bfloat16):
        with packed(encoder.model, dtype):
            assert [type(module) for module in encoder.model.modules()] != kinds
        with pytest.raises(ZeroDivisionError), packed(encoder.model, dtype):
            _ = 1 / 0
        assert [type(module) for module in encoder.model.modules()] == kinds
        assert not any("copy" in vars(module) for module in encoder.model.modules())
        assert np.array_equal(encoder.encode(TEXTS), before)


def test_weights_changed_between_two_calls_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "_WORTH_PACKING", 1)
    encoder = Encoder.load(folder, precision="float32")
    before = encoder.encode(TEXTS)
    with torch.no_grad():
        for parameter in encoder.model.parameters():
            parameter.mul_(1.1)
    assert not np.allclose(before, encoder.encode(TEXTS), atol=1e-4)


def test_items_side_by_side_keep_their_order_and_the_threads_come_back() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        done = list(side_by_side(lambda item: (item * item, torch.get_num_threads()), range(7), CPU))
        assert done == [(i, (i * i, 1)) for i in range(7)]
        with pytest.raises(ZeroDivisionError):
            list(side_by_side(lambda item: 1 / item, [1, 0, 2], CPU))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
