"""Result files of the original SciRepEval tool: one JSON object, task name to metrics, as tidy rows.

    {"Biomimicry": {"complete": {"f1": 70.11}, "few_shot": [{"sample_size": 64, "results": {"f1": 38.2}}, ...]},
     "Max hIndex": {"kendalltau": 15.25}, "Search": {"error": "why this task failed"}}

Results of our `modern` mode carry one more key, `_mode`, so that no reader takes them for official ones.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from semcse.files import write_atomic
from semcse.scirepeval import tasks as task_table

COLUMNS = ["table", "type", "task", "metric", "model", "value"]
MODE_KEY = "_mode"
_FEW_SHOT = re.compile(r"^(?P<metric>.+) \(fs-(?P<size>\d+)\)$")


def read_official(path: str | Path, model: str, failed: str = "raise") -> pd.DataFrame:
    """Tidy rows `table, type, task, metric, model, value` (and `mode`) from a result file.

    Failed tasks raise a ValueError with their reasons; with `failed="skip"` they are left out (an average over the
    rest is then refused by `aggregate`).
    """
    result = read_result(path)
    try:
        return to_rows(result, model, failed=failed)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_result(path: str | Path) -> dict[str, Any]:
    """The result object of a file; ValueError where it holds something else."""
    try:
        result = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not a JSON result file: {error}") from error
    if not isinstance(result, dict):
        raise ValueError(f"{path}: expected one JSON object, task name to metrics, got {type(result).__name__}")
    return result


def write_official(rows: pd.DataFrame, path: str | Path, model: str | None = None) -> Path:
    """Write the rows of one model as a result file (indent 4, as the original tool)."""
    return write_result(from_rows(rows, model), path)


def write_result(result: Mapping[str, Any], path: str | Path) -> Path:
    """Write a result object as a result file (indent 4, as the original tool), whole or not at all."""
    return write_atomic(path, json.dumps(result, indent=4, ensure_ascii=False) + "\n")


def to_rows(result: Mapping[str, Any], model: str, failed: str = "raise") -> pd.DataFrame:
    """Tidy rows from a result object; see `read_official`."""
    if failed not in ("raise", "skip"):
        raise ValueError(f"failed must be 'raise' or 'skip', got {failed!r}")
    if not isinstance(result, Mapping):
        raise ValueError(f"expected one JSON object, task name to metrics, got {type(result).__name__}")
    errors = failures(result)
    if errors and failed == "raise":
        listed = "; ".join(f"{task}: {reason}" for task, reason in errors.items())
        raise ValueError(f"{len(errors)} failed tasks: {listed}. Evaluate them again, or read with failed='skip'.")
    types = task_table.task_types()
    mode = result.get(MODE_KEY, "official")
    rows = []
    for task, entry in result.items():
        if task == MODE_KEY or task in errors:
            continue
        kind = types.get(task)
        for metric, value in _metrics(task, entry):
            rows.append((task_table.PAPER_TABLES.get(kind or ""), kind, task, metric, model, value, mode))
    return pd.DataFrame(rows, columns=[*COLUMNS, "mode"])


def from_rows(rows: pd.DataFrame, model: str | None = None) -> dict[str, Any]:
    """The result object of one model from tidy rows; `model` may be left out when there is only one."""
    models = list(dict.fromkeys(rows["model"]))
    chosen = model if model is not None else models[0] if len(models) == 1 else None
    if chosen not in models:
        raise ValueError(f"a result file holds one model: expected one of {models}, got {model!r}")
    own = rows[rows["model"] == chosen]
    doubled = own[own.duplicated(["task", "metric"])]
    if len(doubled):
        raise ValueError(f"doubled cells of {chosen}: {doubled[['task', 'metric']].to_numpy().tolist()}")
    mode = sorted(own["mode"].fillna("official").unique()) if "mode" in own else ["official"]
    if len(mode) > 1:
        raise ValueError(f"a result file holds one mode, got {mode}")
    result: dict[str, Any] = {} if mode == ["official"] else {MODE_KEY: mode[0]}
    for task, part in own.groupby("task", sort=False):
        result[str(task)] = _entry(dict(zip(part["metric"], part["value"].astype(float), strict=True)))
    return result


def failures(result: Mapping[str, Any]) -> dict[str, str]:
    """Task name to reason for the tasks that failed."""
    return {
        task: str(entry["error"]) for task, entry in result.items() if isinstance(entry, Mapping) and "error" in entry
    }


def _metrics(task: str, entry: Any) -> Iterator[tuple[str, float]]:
    if not isinstance(entry, Mapping) or not entry:
        raise ValueError(f"task {task!r}: expected an object of metrics, got {entry!r}")
    for metric, value in entry.get("complete", entry).items():
        if metric != "few_shot":
            yield metric, _number(task, metric, value)
    for few in entry.get("few_shot", ()):
        for metric, value in few["results"].items():
            name = task_table.few_shot_metric(metric, few["sample_size"])
            yield name, _number(task, name, value)


def _number(task: str, metric: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"task {task!r}, metric {metric!r}: expected a finite number, got {value!r}")
    return float(value)


def _entry(metrics: Mapping[str, float]) -> dict[str, Any]:
    full = {name: value for name, value in metrics.items() if not _FEW_SHOT.match(name)}
    few: dict[int, dict[str, float]] = {}
    for name, value in metrics.items():
        if match := _FEW_SHOT.match(name):
            few.setdefault(int(match["size"]), {})[match["metric"]] = value
    if not few:
        return full
    return {
        "complete": full,
        "few_shot": [{"sample_size": size, "results": part} for size, part in few.items()],
    }
