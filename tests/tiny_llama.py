"""A random Llama of two layers with a tokenizer trained on a few words, built in a second."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEXT = (
    "In summary, we show that the cells grow. Results of the new method, e.g. on mice, differ by 3.5 percent! "
    "Why do small models with large samples learn? It is shown here. A comprehensive view of our work is given."
)


def tiny_tokenizer(padding_side: str = "left") -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of at most 300 tokens, ASCII only, that puts <s> before a text, as Llama 3's does."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = [*map(chr, range(33, 127)), "Ġ", "Ċ"]
    core.train_from_iterator(
        [TEXT],
        trainers.BpeTrainer(
            vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
        ),
    )
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="</s>", padding_side=padding_side
    )


def tiny_model(seed: int = 0, hidden: int = 32, layers: int = 2, vocabulary: int = 300) -> LlamaForCausalLM:
    """A random Llama with grouped key-value heads, in float32; the weights are large enough for varied output."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return LlamaForCausalLM(config).eval()
