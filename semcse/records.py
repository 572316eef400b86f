"""Result records: one JSON file per (model, task), from which every table and figure is made."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from semcse.files import atomic_path, write_atomic
from semcse.readers import read_object

VERSION = 1
PACKAGES = ("semcse", "torch", "transformers", "numpy", "scikit-learn", "openTSNE")


def write_record(
    run: str | os.PathLike[str],
    model: str,
    task: str,
    scores: Mapping[str, Any],
    *,
    n: int,
    seed: int,
    seconds: float,
    **details: Any,
) -> Path:
    """Write `results/<task>--<model>.json`.

    `scores` holds what the seed determines; `n` counts the texts or papers behind them; `seconds` is wall time.
    `details` (metric, pooling, base ...) are kept beside. Python, package versions, git commit and hardware are added.
    """
    record = {
        "version": VERSION,
        "model": model,
        "task": task,
        "scores": scores,
        "n": n,
        "seed": seed,
        **details,
        "seconds": round(seconds, 3),
        **environment(),
    }
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    return write_atomic(Path(run) / "results" / f"{slug(task)}--{slug(model)}.json", text + "\n")


def slug(name: str) -> str:
    """A name as part of a file name, or as a folder's, which leads nowhere else."""
    return re.sub(r"^\.+|[^\w.+-]+", "_", name)


def display_name(model: str) -> str:
    """What tables call a model: the name of its folder, or the name itself."""
    path = Path(model).expanduser()
    return path.absolute().name if path.is_dir() else model


def read_records(run: str | os.PathLike[str], task: str | None = None) -> list[dict[str, Any]]:
    """The records of a run in the order of their file names, of one task if given."""
    remedy = "Delete it and measure again: semcse run SPEC --only 04."
    records = [read_object(path, remedy) for path in sorted((Path(run) / "results").glob("*.json"))]
    return [record for record in records if task in (None, record["task"])]


def score_table(records: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """Models by tasks; `columns` names each task's score, e.g. {"title_abstract": "mean_rank"}. Missing is NaN."""
    rows = [(r["model"], r["task"], r["scores"][columns[r["task"]]]) for r in records if r["task"] in columns]
    table = pd.DataFrame(rows, columns=["model", "task", "score"])
    return table.pivot(index="model", columns="task", values="score").reindex(columns=list(columns))


def mark_done(run: str | os.PathLike[str], stage: str, facts: Mapping[str, Any]) -> Path:
    """Write `done/<stage>.json`, the file by which the workflow knows that a notebook reached its end.

    It says when: the workflow compares contents, and what comes later is to be done again whatever the facts are.
    """
    record = {"stage": stage, "finished": datetime.now(UTC).isoformat(), **facts, **environment()}
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    return write_atomic(Path(run) / "done" / f"{stage}.json", text + "\n")


def write_points(
    run: str | os.PathLike[str], model: str, papers: pd.DataFrame, points: npt.NDArray[np.floating]
) -> Path:
    """Write `tsne/<model>.parquet`: the papers' corpus_id, title and field, and their place `points` (N, 2)."""
    path = Path(run) / "tsne" / f"{slug(model)}.parquet"
    with atomic_path(path) as temporary:
        papers[["corpus_id", "title", "field"]].assign(x=points[:, 0], y=points[:, 1]).to_parquet(temporary)
    return path


def read_points(run: str | os.PathLike[str], model: str) -> pd.DataFrame:
    """What `write_points` wrote: corpus_id, title, field, x, y."""
    return pd.read_parquet(Path(run) / "tsne" / f"{slug(model)}.parquet")


@cache
def environment() -> dict[str, Any]:
    """Where a result comes from: versions, git commit (None outside a checkout), hardware."""
    versions = {"python": platform.python_version()}
    versions |= {name: found for name in PACKAGES if (found := _version(name))}
    return {"versions": versions, "commit": _commit(), "hardware": _hardware()}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _hardware() -> dict[str, Any]:
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {"machine": platform.machine(), "cpu": _cpu_name(), "cores": os.cpu_count(), "gpus": gpus}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
