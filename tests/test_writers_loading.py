"""Models as they lie on the hub: with eyes, with the chat template beside the tokenizer, or without one."""

import json
from pathlib import Path

import pytest
import torch
from tiny_llama import tiny_model, tiny_tokenizer
from transformers import Mistral3Config, Mistral3ForConditionalGeneration

from semcse.queries import generate_queries, load_queries
from semcse.readers import DataError
from semcse.writers.base import Decoding
from semcse.writers.in_process import TransformersWriter

TEMPLATE = "{{ bos_token }}[INST]{{ messages[0]['content'] }}[/INST]"
PAPERS = [
    {"corpus_id": number, "title": f"Title {number}", "abstract": "We grow cells in mice. " * (number + 1)}
    for number in range(3)
]


@pytest.fixture
def mistral(tmp_path: Path) -> Path:
    """A folder with the architecture of Mistral Small 3.1, the paper's model for queries, in small."""
    torch.manual_seed(0)
    text = {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 8,
            "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3}  # fmt: skip
    eyes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "image_size": 28, "patch_size": 14, "head_dim": 8}  # fmt: skip
    config = Mistral3Config(
        text_config={"model_type": "mistral", **text},
        vision_config={"model_type": "pixtral", **eyes},
        image_token_index=299,
    )
    Mistral3ForConditionalGeneration(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    return tmp_path


def test_model_that_sees_answers_through_its_chat_template(mistral: Path, tmp_path: Path) -> None:
    decoding = Decoding(temperature=1.0, max_new_tokens=12, chat=True)
    found = {}
    for shared in (True, False):
        writer = TransformersWriter(mistral, decoding=decoding, shared_prefix=shared)
        assert writer.tokenizer.chat_template == TEMPLATE
        generate_queries(PAPERS, writer, tmp_path / f"queries{shared}", redraws=5)
        found[shared] = load_queries(tmp_path / f"queries{shared}")
    assert found[True] == found[False]
    assert found[True]


def test_base_model_is_no_writer_of_queries() -> None:
    with pytest.raises(DataError, match=r"no chat template\. Queries need an instruction-tuned model"):
        TransformersWriter(tiny_model(), tiny_tokenizer(), decoding=Decoding(chat=True))


def test_what_is_no_language_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(DataError, match="no causal language model to be had"):
        TransformersWriter(tmp_path)
