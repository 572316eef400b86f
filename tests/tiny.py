"""Models so small that a test can train them."""

from collections import Counter
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, DebertaV2Config, DebertaV2Model, PreTrainedTokenizerFast

from semcse.papers import load_papers

WORDS = ["title", "summary", "sentence", "paper", "of", "says", "little", "about", "a", "the", "."]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *map(str, range(200))]


def tiny_tokenizer(words: list[str] | None = None) -> PreTrainedTokenizerFast:
    """Whole words and numbers below 200, or as many of the given `words` as there is room for."""
    vocabulary = VOCABULARY if words is None else [*VOCABULARY[:5], *words][: len(VOCABULARY)]
    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **special)


def tiny_bert(folder: Path, seed: int = 0, dropout: float = 0.1) -> Path:
    """A two-layer BERT with random weights and dropout, saved to `folder`."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    BertModel(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def tiny_demo_bert(folder: Path) -> Path:
    """`tiny_bert` whose vocabulary is words of the demo corpus, so that its papers differ for it."""
    words = Counter(word for text in load_papers("demo")["abstract"] for word in text.lower().split() if word.isalpha())
    tiny_bert(folder)
    tiny_tokenizer([word for word, _ in words.most_common(500)][100:]).save_pretrained(folder)
    return folder


def tiny_deberta_config(**changes: object) -> DebertaV2Config:
    """The shape of DeBERTa-v3, made small."""
    settings: dict[str, object] = {
        "vocab_size": len(VOCABULARY),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
        "relative_attention": True,
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": "p2c|c2p",
        "position_biased_input": False,
        "type_vocab_size": 0,
    }
    return DebertaV2Config(**(settings | changes))  # type: ignore[arg-type]


def tiny_deberta(folder: Path, seed: int = 0) -> Path:
    """A two-layer DeBERTa-v2 with random weights, saved to `folder`."""
    torch.manual_seed(seed)
    DebertaV2Model(tiny_deberta_config()).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
