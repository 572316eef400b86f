"""Scores of embeddings on SciRepEval tasks (protocol section 4).

Two modes, never mixed in one table: `official` is the protocol with its quirks (solvers without intercept, half
precision for tasks that load a cache, Euclidean distances, rows without an embedding dropped and counted); `modern` has
scikit-learn's solvers with intercept and the metric of your choice, and refuses documents without an embedding.
"""

import os
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from semcse.display import bar_options
from semcse.scirepeval import modern_models, official_models, scores
from semcse.scirepeval.data import DataSource
from semcse.scirepeval.fewshot import multi_label_draws, single_label_draws
from semcse.scirepeval.official import MODE_KEY
from semcse.scirepeval.ranking import measure, reviewer_score, similarity
from semcse.scirepeval.solvers import compact
from semcse.scirepeval.tables import Embeddings, judgements, labelled, present, reviewers
from semcse.scirepeval.tasks import is_reviewer_task, validate

Array = NDArray[Any]
_MODELS = {"official": official_models, "modern": modern_models}


@dataclass
class TaskResult:
    """What one task gave: `metrics` as in the result file (or {"error": reason}), `counts` of documents, `seconds`."""

    name: str
    metrics: dict[str, Any]
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Protocol:
    """How tasks are scored: mode, metric of the ranking tasks, where test sets come from, threads."""

    mode: str = "official"
    metric: str = "euclidean"
    source: DataSource = field(default_factory=DataSource)
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)

    def __post_init__(self) -> None:
        if self.mode not in _MODELS:
            raise ValueError(f"mode must be one of {sorted(_MODELS)}, got {self.mode!r}")
        if self.metric not in ("euclidean", "cosine"):
            raise ValueError(f"metric must be 'euclidean' or 'cosine', got {self.metric!r}")
        if self.mode == "official" and self.metric != "euclidean":
            raise ValueError("the official mode ranks by Euclidean distance; use mode='modern' for another metric")

    @property
    def strict(self) -> bool:
        """Whether a document without an embedding is an error."""
        return self.mode == "modern"

    @property
    def models(self) -> ModuleType:
        """The module with this mode's model selection."""
        return _MODELS[self.mode]


def evaluate(
    tasks: Iterable[Mapping[str, Any]],
    embeddings: Mapping[str, Array],
    mode: str = "official",
    metric: str = "euclidean",
    source: DataSource | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Scores of `embeddings` (document id to vector (D,)) on task objects, as the original tool's result object.

    A task that fails yields {"error": reason}; documents without an embedding are announced by a warning. In the mode
    `modern` the result carries `_mode`.
    """
    checked = [validate(task) for task in tasks]
    protocol = Protocol(mode, metric, source or DataSource(), workers or os.cpu_count() or 1)
    result: dict[str, Any] = {} if mode == "official" else {MODE_KEY: mode}
    for task in tqdm(checked, desc="SciRepEval", **bar_options()):
        outcome = evaluate_task(task, embeddings, protocol)
        announce(outcome)
        result[task["name"]] = outcome.metrics
    return result


def evaluate_task(task: Mapping[str, Any], embeddings: Mapping[str, Array], protocol: Protocol) -> TaskResult:
    """Scores of one task. Its failure is part of the result, with the reason; nothing partial is returned."""
    counts: Counter[str] = Counter()
    started = time.perf_counter()
    try:
        metrics = _SCORERS[task["type"]](task, embeddings, protocol, counts)
    except (ValueError, KeyError, TypeError, OSError, ArithmeticError, MemoryError) as error:
        metrics = {"error": f"{type(error).__name__}: {error}"}
    return TaskResult(task["name"], metrics, dict(counts), time.perf_counter() - started)


def announce(result: TaskResult) -> None:
    """Warn about a failed task, about documents that were dropped, and about those embedded as an empty text."""
    if "error" in result.metrics:
        warnings.warn(f"{result.name} failed: {result.metrics['error']}", stacklevel=3)
        return
    if gone := dropped(result.counts):
        listed = ", ".join(f"{n} of {result.counts[what]} {what}" for what, n in gone.items())
        warnings.warn(f"{result.name}: dropped {listed.replace('_', ' ')} without embedding", stacklevel=3)
    if empty := result.counts.get("without_text"):
        listed = f"{empty} of {result.counts['documents']} documents"
        warnings.warn(f"{result.name}: {listed} have no text and were embedded as an empty one", stacklevel=3)


def dropped(counts: Mapping[str, int]) -> dict[str, int]:
    """What was left out for want of an embedding: `queries`, `candidates`, `train_papers` ... and how many of each."""
    end = "_without_embedding"
    return {what.removesuffix(end): n for what, n in counts.items() if what.endswith(end) and n}


@dataclass(frozen=True)
class _Supervised:
    """Features (N, D) and labels of the training and the test papers."""

    train: Array
    train_labels: Array
    test: Array
    test_labels: Array

    @property
    def rows(self) -> NDArray[np.int64]:
        """All training rows."""
        return np.arange(len(self.train))


def _supervised(
    task: Mapping[str, Any], embeddings: Mapping[str, Array], kind: str, protocol: Protocol, counts: Counter[str]
) -> _Supervised:
    spec = task["data"].get("test") or task["data"]["meta"]
    splits = {split: labelled(protocol.source, spec, split, kind) for split in ("train", "test")}
    table = _table(task, embeddings, [name for ids, _ in splits.values() for name in ids], protocol)
    parts: list[Array] = []
    for split, (ids, labels) in splits.items():
        mask = present(ids, table, f"{split}_papers", counts, protocol.strict)
        rows = table.rows([name for name, there in zip(ids, mask, strict=True) if there])
        parts += [compact(table.matrix[rows]), labels[mask]]
    return _Supervised(*parts)


def _table(
    task: Mapping[str, Any], embeddings: Mapping[str, Array], wanted: Iterable[str], protocol: Protocol
) -> Embeddings:
    table = Embeddings.of(embeddings, wanted)
    loads = protocol.mode == "official" and (task.get("embeddings") or {}).get("load")
    return table.halved() if loads else table


def _classification(
    task: Mapping[str, Any], embeddings: Mapping[str, Array], protocol: Protocol, counts: Counter[str]
) -> dict[str, Any]:
    multi = bool(task.get("multi_label"))
    data = _supervised(task, embeddings, "multi" if multi else "class", protocol, counts)
    fit = protocol.models.multilabel if multi else protocol.models.classifier
    model = fit(data.train, data.train_labels, data.rows, workers=protocol.workers)
    complete = scores.classification(data.test_labels, model.predict(data.test), task["metrics"])
    if not task.get("few_shot"):
        return complete
    few = [_few_shot(data, task["metrics"], entry, multi, protocol) for entry in task["few_shot"]]
    return {"complete": complete, "few_shot": few}


def _few_shot(
    data: _Supervised, metrics: list[str], entry: Mapping[str, int], multi: bool, protocol: Protocol
) -> dict[str, Any]:
    """Means over the iterations of one few-shot setting, of the values rounded in each iteration."""
    draws = multi_label_draws if multi else single_label_draws
    fit = protocol.models.multilabel if multi else protocol.models.few_shot_classifier

    def one(rows: NDArray[np.int64]) -> dict[str, float]:
        model = fit(data.train, data.train_labels, rows)
        return scores.classification(data.test_labels, model.predict(data.test), metrics)

    with ThreadPoolExecutor(protocol.workers) as pool:
        drawn = draws(data.train_labels, entry["sample_size"], entry["iterations"])
        found = list(tqdm(pool.map(one, drawn), total=entry["iterations"], desc="few-shot", disable=None, leave=False))
    means = {metric: float(np.mean([values[metric] for values in found])) for metric in metrics}
    return {"sample_size": entry["sample_size"], "results": means}


def _regression(
    task: Mapping[str, Any], embeddings: Mapping[str, Array], protocol: Protocol, counts: Counter[str]
) -> dict[str, Any]:
    data = _supervised(task, embeddings, "value", protocol, counts)
    model = protocol.models.regressor(data.train, data.train_labels, data.rows, workers=protocol.workers)
    return scores.regression(data.test_labels, model.predict(data.test), task["metrics"])


def _ranking(
    task: Mapping[str, Any], embeddings: Mapping[str, Array], protocol: Protocol, counts: Counter[str]
) -> dict[str, Any]:
    if is_reviewer_task(task):
        return _reviewer_matching(task, embeddings, protocol, counts)
    judged = judgements(protocol.source, task["data"].get("test") or task["data"]["meta"], "test")
    wanted = [name for query, candidates in judged.items() for name in (query, *candidates)]
    table = _table(task, embeddings, wanted, protocol)
    mask = present(list(judged), table, "queries", counts, protocol.strict)
    present([name for own in judged.values() for name in own], table, "candidates", counts, protocol.strict)
    run = {}
    for query in (name for name, there in zip(judged, mask, strict=True) if there):
        names = [name for name in judged[query] if name in table.index]
        values = similarity(table[query], table.matrix[table.rows(names)], protocol.metric) if names else ()
        run[query] = dict(zip(names, map(float, values), strict=True))
    return dict(measure(run, judged, task["metrics"]))


def _reviewer_matching(
    task: Mapping[str, Any], embeddings: Mapping[str, Array], protocol: Protocol, counts: Counter[str]
) -> dict[str, Any]:
    spec = task["data"].get("test") or task["data"]["meta"]
    judged = {kind: judgements(protocol.source, spec, f"test_{kind}") for kind in ("hard", "soft")}
    papers = reviewers(protocol.source, task["data"]["reviewers"])
    used = {name for own in judged["hard"].values() for name in own if name in papers}
    wanted = [*judged["hard"], *(paper for name in sorted(used) for paper in papers[name])]
    table = _table(task, embeddings, wanted, protocol)
    present(wanted, table, "papers", counts, strict=True)
    counts["reviewers"] += len(used)
    run = {
        query: {
            name: reviewer_score(table[query], table.matrix[table.rows(papers[name])]) for name in own if name in papers
        }
        for query, own in judged["hard"].items()
    }
    found = {kind: measure(run, judged[kind], task["metrics"]) for kind in judged}
    return {f"{kind}_{metric}": value for kind, values in found.items() for metric, value in values.items()}


_SCORERS = {
    "classification": _classification,
    "regression": _regression,
    "proximity": _ranking,
    "adhoc_search": _ranking,
}
