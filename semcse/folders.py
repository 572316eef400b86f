"""Model folders in the layout of sentence-transformers, which is also that of plain transformers."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

from huggingface_hub import snapshot_download

from semcse.files import write_atomic

POOLINGS = ("cls", "mean", "last")
DENSE = "2_Dense"
"""Where we write a Dense module."""
_FLAGS = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "last": "pooling_mode_lasttoken",
}
_SIMILARITY = "config_sentence_transformers.json"
_DESCRIPTION = ("modules.json", _SIMILARITY, "*/config.json", "*Dense/model.safetensors")
_MODULES = ("Transformer", "Pooling", "Dense", "Normalize")
_NAMES = {"cls": "cls", "mean": "mean", "lasttoken": "last"}


class Layout(NamedTuple):
    """What a sentence-transformers folder says beside its weights."""

    pooling: str
    normalize: bool
    dense: Path | None = None
    """The folder of a Dense module between pooling and normalisation."""


def described(source: str, revision: str | None = None, local_files_only: bool = False) -> Path:
    """The folder that says what a model's modules are: `source`, or where the hub's few files about them lie.

    Where the hub (with `local_files_only` its cache) gives nothing, a path with nothing in it: loading the weights
    tells what is wrong.
    """
    if Path(source).is_dir():
        return Path(source)
    try:
        return Path(
            snapshot_download(
                source, revision=revision, allow_patterns=list(_DESCRIPTION), local_files_only=local_files_only
            )
        )
    except OSError:
        return Path(source)


def known_modules(folder: Path) -> dict[str, Path] | None:
    """Kind and folder of each module of a sentence-transformers folder; None for a plain transformers folder.

    Raises ValueError for modules that an Encoder does not know.
    """
    if not (folder / "modules.json").exists():
        return None
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    found = {module["type"].rpartition(".")[2]: folder / module["path"] for module in modules}
    if unknown := set(found) - set(_MODULES):
        raise ValueError(f"{folder} has a module {min(unknown)}; an Encoder knows {', '.join(_MODULES)}")
    if len(found) < len(modules) or list(found) != [kind for kind in _MODULES if kind in found]:
        order = ", ".join(_MODULES)
        raise ValueError(f"{folder} has the modules {', '.join(found)}; an Encoder has each once, in the order {order}")
    return found


def read_layout(folder: Path) -> Layout | None:
    """What a sentence-transformers folder does with token states; None for a plain transformers folder.

    Raises ValueError for modules or poolings that an Encoder does not know.
    """
    found = known_modules(folder)
    if found is None:
        return None
    if "Pooling" not in found:
        raise ValueError(f"{folder}/modules.json names no Pooling module; give pooling={', '.join(POOLINGS)}")
    return Layout(_pooling_of(found["Pooling"] / "config.json"), "Normalize" in found, found.get("Dense"))


class PickledWeights(ValueError):
    """Weights that are not loaded, since loading them could run code."""


@contextmanager
def without_pickles(source: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the refusal to load a model's weights into PickledWeights, with what to do."""
    try:
        yield
    except UnpicklingError:
        raise PickledWeights(
            f"the weights in {source} are a pickle that holds more than tensors; it could run code and is not loaded. "
            "Use a copy with model.safetensors"
        ) from None


def read_similarity(folder: Path) -> str | None:
    """The similarity that a sentence-transformers folder asks for, "cosine" or "euclidean"; None where it says none."""
    path = folder / _SIMILARITY
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    similarity: str | None = content.get("similarity_fn_name")
    return similarity


def _pooling_of(path: Path) -> str:
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if config.get("pooling_mode") in _NAMES:
        return _NAMES[config["pooling_mode"]]
    chosen = [key for key, value in config.items() if key.startswith("pooling_mode") and value]
    known = [name for name, flag in _FLAGS.items() if chosen == [flag]]
    if not known:
        raise ValueError(f"{path}: expected one of the poolings {', '.join(POOLINGS)}, got {', '.join(chosen)}")
    return known[0]


def write_layout(folder: Path, layout: Layout, dimension: int, max_length: int, similarity: str) -> None:
    """Write the files that make a transformers folder one of sentence-transformers.

    `dimension` is that of the token states. A Dense module is the caller's, at DENSE.
    """
    kinds = ["Transformer", "Pooling", *["Dense"] * (layout.dense is not None), *["Normalize"] * layout.normalize]
    paths = [f"{k}_{kind}" if k else "" for k, kind in enumerate(kinds)]
    entries = [
        {"idx": k, "name": str(k), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for k, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    pooling = {"word_embedding_dimension": dimension} | {flag: name == layout.pooling for name, flag in _FLAGS.items()}
    _write_json(folder / "modules.json", entries)
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    _write_json(folder / "1_Pooling" / "config.json", pooling)
    _write_json(folder / _SIMILARITY, {"similarity_fn_name": similarity})
    if layout.normalize:
        (folder / paths[-1]).mkdir(exist_ok=True)


def _write_json(path: Path, content: Any) -> None:
    write_atomic(path, json.dumps(content, indent=2) + "\n")


class Replacement:
    """A new folder that takes the place of `target` when the block ends without an error."""

    def __init__(self, target: str | os.PathLike[str]) -> None:
        self.target = Path(target)

    def __enter__(self) -> Path:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f".{self.target.name}-", dir=self.target.parent))
        self.folder.chmod(0o755)
        return self.folder

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            old = self.folder.with_name(self.folder.name + "-old")
            if self.target.exists():
                self.target.rename(old)
            self.folder.rename(self.target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
