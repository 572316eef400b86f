"""The scored SciRepEval tasks as data.

A task is a mapping in the form of the original tool's evaluation config, one JSON object a line: `tasks.jsonl`
beside this module holds the 22 configured tasks. S2AND, the 23rd scored task, is measured by a separate tool.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

Task = dict[str, Any]
"""A task object: `name`, `type`, `data` {`meta`, `test`, ...}, `metrics` and options."""

TYPES = ("classification", "regression", "proximity", "adhoc_search")
S2AND = "S2AND"
S2AND_METRIC = "b3_f1"
REVIEWERS = "Paper-Reviewer Matching"
PAPER_TABLES = {"classification": 4, "regression": 5, "proximity": 6, "adhoc_search": 7}

_F1_LIKE = ("f1", "precision", "recall")
_AVERAGES = ("macro", "micro", "weighted", "samples")
METRICS = {
    "classification": {"accuracy", *_F1_LIKE, *(f"{name}_{kind}" for name in _F1_LIKE for kind in _AVERAGES)},
    "regression": {"kendalltau", "pearsonr"},
}
_OPTIONS = {
    "name",
    "type",
    "data",
    "metrics",
    "few_shot",
    "multi_label",
    "fields",
    "embeddings",
    "batch_size",
}


def all_tasks() -> list[Task]:
    """The 22 configured tasks in the original's order of evaluation."""
    text = files("semcse.scirepeval").joinpath("tasks.jsonl").read_text(encoding="utf-8")
    return _parse(text, "tasks.jsonl")


def read_tasks(path: str | Path) -> list[Task]:
    """Tasks from a file in the original tool's config format, checked object by object."""
    return _parse(Path(path).read_text(encoding="utf-8"), str(path))


def select_tasks(
    names: Iterable[str] = (), types: Iterable[str] = (), tasks: Iterable[Task] | None = None
) -> list[Task]:
    """The tasks with one of the `names` or `types`, in table order; all of them when both are empty.

    Raises ValueError for an unknown name or type, with the nearest spelling.
    """
    table = all_tasks() if tasks is None else list(tasks)
    wanted, kinds = list(names), list(types)
    _known(wanted, [task["name"] for task in table], "task")
    _known(kinds, TYPES, "task type")
    if not wanted and not kinds:
        return table
    return [task for task in table if task["name"] in wanted or task["type"] in kinds]


def named_tasks(wanted: Iterable[str]) -> list[Task]:
    """The tasks that names and types mean, in table order; all 22 for none. ValueError for an unknown one."""
    words = list(wanted)
    _known(words, [*(task["name"] for task in all_tasks()), *TYPES], "task or task type")
    return select_tasks([word for word in words if word not in TYPES], [word for word in words if word in TYPES])


def validate(task: Mapping[str, Any]) -> Task:
    """A copy of a task object, or a ValueError that names what is wrong with it."""
    name = task.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"a task needs a name, got {name!r} in {dict(task)!r}")
    _known([task.get("type")], TYPES, f"type of task {name!r}")
    _known(list(task), sorted(_OPTIONS), f"key of task {name!r}")
    data = task.get("data")
    if not isinstance(data, Mapping) or not (data.get("test") or data.get("meta")):
        raise ValueError(f"task {name!r} needs data with a meta or a test set, got {data!r}")
    _check_metrics(name, task)
    for entry in task.get("few_shot", ()):
        if not all(isinstance(entry.get(k), int) and entry[k] > 0 for k in ("sample_size", "iterations")):
            raise ValueError(f"few_shot of task {name!r}: expected sample_size and iterations > 0, got {entry!r}")
    return dict(task)


def cells(tasks: Iterable[Mapping[str, Any]] | None = None, s2and: bool = True) -> list[tuple[str, str]]:
    """The (task, metric) pairs that an evaluation of `tasks` yields, few-shot metrics as `f1 (fs-64)`.

    All tasks without an argument: 36 cells, 35 without S2AND.
    """
    found = [cell for task in (all_tasks() if tasks is None else tasks) for cell in _cells_of(task)]
    return [*found, (S2AND, S2AND_METRIC)] if s2and else found


def task_types(s2and: bool = True) -> dict[str, str]:
    """Task name to task type for the 23 scored tasks (22 without S2AND)."""
    kinds = {task["name"]: task["type"] for task in all_tasks()}
    return {**kinds, S2AND: "proximity"} if s2and else kinds


def few_shot_metric(metric: str, sample_size: int) -> str:
    """The tidy name of a few-shot metric."""
    return f"{metric} (fs-{sample_size})"


def is_reviewer_task(task: Mapping[str, Any]) -> bool:
    """Whether candidates are reviewers who are represented by several papers."""
    return bool(task["data"].get("reviewers"))


def _cells_of(task: Mapping[str, Any]) -> list[tuple[str, str]]:
    metrics = list(task["metrics"])
    if is_reviewer_task(task):
        metrics = [f"{kind}_{metric}" for kind in ("hard", "soft") for metric in metrics]
    few = [
        few_shot_metric(metric, entry["sample_size"])
        for entry in task.get("few_shot", ())
        for metric in task["metrics"]
    ]
    return [(task["name"], metric) for metric in (*metrics, *few)]


def _check_metrics(name: str, task: Mapping[str, Any]) -> None:
    metrics = task.get("metrics")
    if not isinstance(metrics, (list, tuple)) or not metrics:
        raise ValueError(f"task {name!r} needs a non-empty list of metrics, got {metrics!r}")
    if task["type"] in METRICS:
        _known(metrics, sorted(METRICS[task["type"]]), f"metric of task {name!r}")
        return
    for metric in metrics:
        if metric not in ("map", "ndcg") and not (metric.startswith("P_") and metric[2:].isdigit()):
            raise ValueError(f"metric of task {name!r}: expected map, ndcg or P_<k>, got {metric!r}")


def _known(values: Iterable[Any], allowed: Iterable[str], what: str) -> None:
    choices = list(allowed)
    for value in values:
        if value not in choices:
            close = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.5)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"unknown {what}: {value!r}{hint} (allowed: {', '.join(choices)})")


def _parse(text: str, source: str) -> list[Task]:
    tasks = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                tasks.append(validate(json.loads(line)))
            except ValueError as error:
                raise ValueError(f"{source}, line {number}: {error}") from error
    if not tasks:
        raise ValueError(f"{source} holds no task")
    return tasks
