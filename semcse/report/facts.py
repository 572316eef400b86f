"""Parameters, environment and caches of a run, from the files that it left."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from semcse.params import Section, Study
from semcse.report.stages import Invocation

OWN_NAMES = ("name", "folder")
"""Parameters that every run has its own of, so that they are not called a difference."""


class Parameter(NamedTuple):
    """A resolved parameter beside the default, which is the paper's value where the paper states one."""

    key: str
    value: str
    default: str
    meaning: str
    differs: bool


class Fact(NamedTuple):
    """A part of the environment: each value with the stages that saw it."""

    name: str
    values: dict[str, list[str]]


class CacheCount(NamedTuple):
    """Texts in the embeddings cache, each encoded once by each encoder; `fresh` of them since the last invocation."""

    encoders: int
    texts: int
    fresh: int | None


def read_parameters(run: Path) -> dict[str, Any]:
    """The resolved parameters as they were written, which an older version may have done; empty where unreadable."""
    try:
        content = yaml.safe_load((run / "params.yaml").read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def parameters(content: Mapping[str, Any]) -> list[Parameter]:
    """Every parameter of a run in the order of its file."""
    defaults, meanings = _defaults()
    rows = []
    for key, value in flatten(content).items():
        shown, default = _shown(value), _shown(defaults[key]) if key in defaults else "not a parameter any more"
        rows.append(Parameter(key, shown, default, meanings.get(key, ""), shown != default and key not in OWN_NAMES))
    return rows


def changes(content: Mapping[str, Any], reference: Mapping[str, Any]) -> list[str]:
    """What one run's parameters say otherwise than another's, as `key: value`; names and seeds aside."""
    left, right = flatten(content), flatten(reference)
    passed_over = (*OWN_NAMES, "seed", "variants")
    return [f"{key}: {_shown(v)}" for key, v in left.items() if key not in passed_over and v != right.get(key)]


def flatten(content: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        inner = isinstance(value, dict) and key != "variants"
        flat |= {f"{key}.{name}": item for name, item in value.items()} if inner else {key: value}
    return flat


@cache
def _defaults() -> tuple[dict[str, Any], dict[str, str]]:
    meanings = {key: field.description or "" for key, field in Study.model_fields.items()}
    for key, field in Study.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            inner = field.annotation.model_fields.items()
            meanings |= {f"{key}.{name}": item.description or "" for name, item in inner}
    return flatten(Study().model_dump(mode="json")), meanings


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value or "''"
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def environment(records: Mapping[str, Mapping[str, Any]]) -> list[Fact]:
    """Versions, commit and hardware from what stages noted; what differs between stages has several values."""
    facts: dict[str, dict[str, list[str]]] = {}
    for stage, record in records.items():
        for name, value in _noted(record):
            facts.setdefault(name, {}).setdefault(value, []).append(stage)
    return [Fact(name, values) for name, values in facts.items()]


def _noted(record: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    yield from ((str(name), str(value)) for name, value in (record.get("versions") or {}).items())
    if "commit" in record:
        yield "commit", str(record["commit"] or "outside a checkout")
    for name, value in (record.get("hardware") or {}).items():
        yield name, ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def cached_texts(folder: Path, last: Invocation | None) -> CacheCount | None:
    """What a cache of embeddings holds, from its files; None where there is no such cache."""
    counts = {path: rows for path in folder.glob("*/shard-*.npy") if (rows := _rows(path)) is not None}
    if not counts:
        return None
    fresh = None
    if last is not None:
        fresh = sum(rows for path, rows in counts.items() if _written(path) >= last.started)
    return CacheCount(len({path.parent for path in counts}), sum(counts.values()), fresh)


def _rows(path: Path) -> int | None:
    try:
        return int(np.load(path, mmap_mode="r", allow_pickle=False).shape[0])
    except (OSError, ValueError):
        return None


def _written(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
