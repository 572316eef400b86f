"""Any checkpoint as a function from texts to vectors."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from semcse.batching import in_halves, pad, within_budget
from semcse.deberta import speed_up
from semcse.dense import read_dense, write_dense
from semcse.display import bar_options
from semcse.folders import (
    DENSE,
    POOLINGS,
    Layout,
    Replacement,
    described,
    known_modules,
    read_layout,
    without_pickles,
    write_layout,
)
from semcse.lean import make_lean
from semcse.losses import widen
from semcse.packed import can_pack, packed, side_by_side

PRECISIONS = ("auto", "float32", "bfloat16")
BATCH_TOKENS = {"cpu": 2048, "cuda": 32768}
"""Tokens encoded at once unless told otherwise: on a CPU what its caches hold, on a GPU enough to fill it."""
_TOKENIZED_AT_ONCE = 4096
_WORTH_PACKING = 2048  # tokens from which packing the weights costs less than it saves


class Encoder:
    """A transformer, its tokenizer, the pooling that makes one vector of a text, and maybe a linear layer behind it.

    Embeddings are float32 whatever happens inside; in float32 they are the same bits on every call on the same machine
    with the same texts and number of threads.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        pooling: str = "cls",
        max_length: int = 512,
        precision: str = "auto",
        normalize: bool = False,
        dense: nn.Linear | None = None,
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        if max_length < 3:
            raise ValueError(f"max_length must leave room for a token between the special ones, got {max_length}")
        self.model = model
        speed_up(model)
        make_lean(model, pooling)
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.max_length = min(max_length, longest_input(model, tokenizer))
        self.precision = precision
        self.normalize = normalize
        self.dense = dense

    @classmethod
    def load(
        cls,
        name_or_path: str | os.PathLike[str],
        pooling: str | None = None,
        max_length: int = 512,
        precision: str = "auto",
        revision: str | None = None,
        trust_remote_code: bool = False,
        device: str | torch.device | None = None,
        normalize: bool | None = None,
    ) -> "Encoder":
        """Load a folder or a hub name.

        Args:
            name_or_path: a transformers or sentence-transformers folder, or a hub name.
            pooling: "cls" (first token), "mean" or "last", and nothing behind it; None does what a
                sentence-transformers model says, linear layer included, and takes "cls" for other models.
            max_length: tokens after which a text is cut, special ones included; never above what the model can take.
            precision: "float32", "bfloat16" (faster where the hardware has it, about two digits), or "auto", which is
                float32: the numbers sentence-transformers gives.
            revision: of a hub name.
            trust_remote_code: run code that comes with the model.
            device: default the GPU where there is one.
            normalize: scale vectors to length 1; None follows the model unless `pooling` is given.

        Raises FileNotFoundError for a folder that does not exist, ValueError for one that holds no model.
        """
        source = check_source(name_or_path)
        layout = Layout(pooling or "cls", normalize=False)
        if pooling is None:
            layout = read_layout(described(source, revision)) or layout
        else:
            known_modules(Path(source))  # a folder with other modules is refused either way
        options = {"revision": revision, "trust_remote_code": trust_remote_code}
        model, tokenizer = _load_parts(source, options)
        device = device or default_device()
        nn.Module.to(model, device)
        return cls(
            model,
            tokenizer,
            layout.pooling,
            max_length,
            precision,
            layout.normalize if normalize is None else normalize,
            read_dense(layout.dense).to(device) if layout.dense else None,
        )

    @property
    def dimension(self) -> int:
        """D, the length of an embedding."""
        return self.dense.out_features if self.dense else int(self.model.config.hidden_size)

    @property
    def separator(self) -> str:
        """The tokenizer's token between two texts, as put between title and abstract; "" where it has none."""
        token = self.tokenizer.sep_token or self.tokenizer.eos_token
        return str(token) if token else ""

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.model.device

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of weights, configuration, tokenizer, pooling, length and precision: what decides an embedding."""
        digest = hashlib.sha256()
        layer = {f"dense.{name}": tensor for name, tensor in self.dense.state_dict().items()} if self.dense else {}
        for name, tensor in sorted((self.model.state_dict() | layer).items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        config = self.model.config.to_dict()
        for key in ("_name_or_path", "transformers_version", "dtype", "use_cache"):
            config.pop(key, None)
        settings = [config, self.pooling, self.max_length, self.normalize, self.precision == "bfloat16"]
        digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
        digest.update(_tokenizer_text(self.tokenizer).encode())
        return digest.hexdigest()

    def encode(
        self, texts: Sequence[str], batch_tokens: int | None = None, *, progress: bool | tqdm = False
    ) -> NDArray[np.float32]:
        """Embeddings (N, D), float32, in the order of `texts`.

        Equal texts are encoded once. Texts are sorted by length and cut into batches of at most `batch_tokens` tokens,
        padding included (none: what suits the device); a batch that memory has no room for is divided. `progress`
        shows a bar of tokens on a terminal, or is a bar of the caller's, which goes on by the tokens of these texts.

        Raises TypeError for anything but a sequence of strings, ValueError for embeddings that are not finite,
        RuntimeError where memory does not suffice for a single text.
        """
        rows, place = self._tokenized(texts)
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        embeddings = np.empty((len(rows), self.dimension), dtype=np.float32)
        budget = batch_tokens or BATCH_TOKENS["cpu" if self.device.type == "cpu" else "cuda"]
        self.model.train(False)
        total = int(lengths.sum())
        if self.device.type == "cpu":
            budget = min(budget, -(-total // torch.get_num_threads()))  # a batch for each thread
        shown = nullcontext(progress) if isinstance(progress, tqdm) else _token_bar(total, progress)
        with shown as bar, self._packed(total):
            for batch, vectors in side_by_side(
                partial(in_halves, partial(self._vectors, rows)), within_budget(lengths, budget), self.device
            ):
                embeddings[batch] = vectors
                bar.update(int(lengths[batch].sum()))
        _check_finite(embeddings, texts, place)
        return embeddings[place]

    def save(self, path: str | os.PathLike[str], similarity: str = "cosine", card: str | None = None) -> Path:
        """Write a sentence-transformers folder with safetensors, which plain transformers loads too.

        Args:
            path: the folder; it appears whole, replacing what is there.
            similarity: "cosine" or "euclidean", what sentence-transformers' `similarity` shall use.
            card: text of the README.md.
        """
        with Replacement(path) as folder, _no_bars():
            self.model.save_pretrained(folder)
            self.tokenizer.model_max_length = self.max_length
            self.tokenizer.save_pretrained(folder)
            layout = Layout(self.pooling, self.normalize, folder / DENSE if self.dense else None)
            write_layout(folder, layout, int(self.model.config.hidden_size), self.max_length, similarity)
            if self.dense:
                write_dense(folder / DENSE, self.dense)
            if card is not None:
                (folder / "README.md").write_text(card, encoding="utf-8")
        return Path(path)

    def _tokenized(self, texts: Sequence[str]) -> tuple[list[NDArray[np.int32]], NDArray[np.int64]]:
        """Token ids of each distinct text, and for each text the row that holds it."""
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise TypeError("encode expects a sequence of strings; put a single text into a list")
        distinct: dict[str, int] = {}
        place = np.array([distinct.setdefault(text, len(distinct)) for text in texts], dtype=np.int64)
        return tokenize(self.tokenizer, list(distinct), self.max_length), place

    def _packed(self, tokens: int) -> AbstractContextManager[None]:
        """The model made fast for that many tokens on a CPU."""
        dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        worth = tokens >= _WORTH_PACKING and can_pack(self.device, dtype)
        return packed(self.model, dtype) if worth else nullcontext()

    def _vectors(self, rows: Sequence[NDArray[np.int32]], batch: NDArray[np.int64]) -> NDArray[np.float32]:
        ids, mask = pad([rows[row] for row in batch], padding_token(self.tokenizer))
        return self._embed(ids.to(self.device), mask.to(self.device)).cpu().numpy()

    @torch.inference_mode()
    def _embed(self, ids: Tensor, mask: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        vectors = pool(hidden, mask, self.pooling)
        if self.dense:
            vectors = self.dense(vectors)
        return nn.functional.normalize(vectors, dim=-1) if self.normalize else vectors


def _token_bar(total: int, shown: bool) -> tqdm:
    return tqdm(total=total, unit="tok", unit_scale=True, **bar_options(shown))


def pool(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Vectors (N, D), float32 or better, from token states (N, L, D) padded on the right, with mask (N, L)."""
    if pooling == "cls":
        return widen(hidden[:, 0])
    if pooling == "last":
        return widen(hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1])
    states = widen(hidden)
    weights = mask[:, :, None].to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp_min(1e-9)


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> list[NDArray[np.int32]]:
    """Token ids of each text with the special tokens, cut at `max_length`."""
    rows: list[NDArray[np.int32]] = []
    for start in range(0, len(texts), _TOKENIZED_AT_ONCE):
        part = list(texts[start : start + _TOKENIZED_AT_ONCE])
        encoded = tokenizer(part, truncation=True, max_length=max_length, padding=False)
        rows += [np.array(ids, dtype=np.int32) for ids in encoded["input_ids"]]
    return rows


def padding_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id to pad with; any will do under a mask."""
    return 0 if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)


def longest_input(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens that the model and its tokenizer can take, special ones included."""
    positions = getattr(model.config, "max_position_embeddings", None) or 10**6
    if getattr(model.config, "position_embedding_type", "absolute") == "absolute" and "roberta" in str(
        model.config.model_type
    ):
        positions -= int(model.config.pad_token_id or 0) + 1  # RoBERTa counts positions from behind the padding id
    return int(min(positions, tokenizer.model_max_length))


def default_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def check_source(name_or_path: str | os.PathLike[str]) -> str:
    """The folder or hub name as a string; raises FileNotFoundError where a path is meant and nothing is there."""
    source = os.fspath(name_or_path)
    path = Path(source)
    if path.is_dir():
        if not (path / "config.json").exists():
            raise ValueError(f"{path} holds no model: config.json is missing; name a folder saved by a model")
        return source
    means_path = isinstance(name_or_path, os.PathLike) or path.is_absolute() or source.startswith((".", "~"))
    if means_path or source.count("/") > 1:
        raise FileNotFoundError(f"no model folder at {path}; train one, or give an existing folder or a hub name")
    return source


def _load_parts(source: str, options: dict[str, Any]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model in float32 and tokenizer; weights that a checkpoint lacks are always the same random ones."""
    try:
        with _no_bars(), torch.random.fork_rng(), without_pickles(source):
            torch.manual_seed(0)
            model = AutoModel.from_pretrained(source, dtype=torch.float32, **options)
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
    except SafetensorError as error:
        raise ValueError(
            f"the weights in {source} are damaged ({error}); train the model again, or fetch it anew"
        ) from error
    except OSError as error:
        raise FileNotFoundError(
            f"cannot load the model {source!r}: it is neither a local folder nor in the local cache, and the hub gave "
            f"none ({str(error).splitlines()[0]}); download it and name the folder"
        ) from error
    return model, tokenizer


@contextmanager
def _no_bars() -> Iterator[None]:
    """Without transformers' bars over the shards of a model, which end before one sees them."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _tokenizer_text(tokenizer: PreTrainedTokenizerBase) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return json.dumps(tokenizer.get_vocab(), sort_keys=True)
    content = json.loads(backend.to_str())
    for key in ("truncation", "padding"):  # how it was last called, not what it is
        content.pop(key, None)
    return json.dumps(content, sort_keys=True)


def _check_finite(embeddings: NDArray[np.float32], texts: Sequence[str], place: NDArray[np.int64]) -> None:
    bad = np.flatnonzero(~np.isfinite(embeddings[place]).all(axis=1))
    if len(bad):
        raise ValueError(
            f"the embedding of text {bad[0]} is not finite ({len(bad)} of {len(texts)} texts): "
            f"{texts[bad[0]][:80]!r}; the model's weights are broken or its precision too low"
        )
