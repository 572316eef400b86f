"""A causal language model and its tokenizer, from the hub or a folder."""

import json
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.hub import cached_file

from semcse.folders import PickledWeights, without_pickles
from semcse.readers import DataError


def load_model(
    model: str | Path | PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    dtype: str = "auto",
    device: str | None = None,
    trust_remote_code: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model, ready to write, and its tokenizer. A loaded model is taken as it is, and needs its tokenizer.

    Models that also see, such as Mistral Small 3.1, are loaded whole. Raises DataError when there is no such model.
    """
    if isinstance(model, PreTrainedModel):
        if tokenizer is None:
            raise ValueError("a loaded model needs its tokenizer: TransformersWriter(model, tokenizer)")
        model.eval()  # type: ignore[no-untyped-call]
        return model, tokenizer
    try:
        with without_pickles(model):
            network = _network(model, dtype, trust_remote_code)
        tokenizer = tokenizer or _tokenizer(model, trust_remote_code)
    except PickledWeights as error:
        raise DataError(f"{error}, and point the summaries' model parameter to it.") from None
    except (OSError, ValueError) as error:
        raise DataError(
            f"{model}: no causal language model to be had under this name or in this folder ({str(error)[:300]}). "
            "Download it, or point the summaries' model parameter to a local folder."
        ) from error
    network.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()  # type: ignore[arg-type]
    return network, tokenizer


def _network(model: str | Path, dtype: str, trust_remote_code: bool) -> PreTrainedModel:
    options = {"dtype": dtype, "trust_remote_code": trust_remote_code}
    try:
        network: PreTrainedModel = AutoModelForCausalLM.from_pretrained(model, **options)
    except ValueError:  # not registered as a causal model; perhaps one that sees, too
        network = AutoModelForImageTextToText.from_pretrained(model, **options)
    return network


def _tokenizer(model: str | Path, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    """The tokenizer, with the chat template of the processor where it has none of its own."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(model, trust_remote_code=trust_remote_code)
    if tokenizer.chat_template is None:
        try:
            path = cached_file(str(model), "chat_template.json")
        except OSError:
            return tokenizer
        tokenizer.chat_template = json.loads(Path(str(path)).read_text("utf-8"))["chat_template"]
    return tokenizer


def stop_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end a text, by the model's generation settings and the tokenizer; ValueError if none."""
    configured = model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    known = [token for token in [*ids, tokenizer.eos_token_id] if token is not None]
    if not known:
        raise ValueError("the model has no end-of-text token; set tokenizer.eos_token")
    return list(dict.fromkeys(known))
