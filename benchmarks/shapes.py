"""Shapes of models that the benchmarks build with random weights: speed and memory do not depend on the weights."""

from transformers import DebertaV2Config


def deberta_v2_base(vocabulary: int = 128_100) -> DebertaV2Config:
    """The configuration of DeBERTa-v2-base (12 layers, 768 wide)."""
    return DebertaV2Config(
        vocab_size=vocabulary,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        relative_attention=True,
        position_buckets=256,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
    )
