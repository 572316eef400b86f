"""SciRepEval within a study: which models our evaluator scores, on which tasks, and where the results go.

<folder>/scirepeval/<mode>/<model>/tasks/   a record a task, from which a stopped evaluation goes on (see `driver`)
<folder>/results/scirepeval/<model>.json    the result file of the mode `official`; in `modern/` there, that of `modern`
<folder>/embeddings/<model>/scirepeval/     vectors, used by both modes
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from semcse.models import Embedder, ModelUnavailable, open_model
from semcse.precision import inner_precision
from semcse.records import display_name, slug
from semcse.schema import SciRepEval
from semcse.scirepeval.data import DataSource
from semcse.scirepeval.driver import run, stored_records
from semcse.scirepeval.evaluate import Protocol
from semcse.scirepeval.official import MODE_KEY, failures, write_result
from semcse.scirepeval.results import result_path, scirepeval_settings
from semcse.scirepeval.s2and import write_embeddings
from semcse.scirepeval.tasks import named_tasks
from semcse.stored import trained_models

LENGTH = 512
"""Tokens of a text in the mode `official` (protocol section 3.2)."""


@dataclass(frozen=True)
class Target:
    """What a command scores: models by name, the settings, the folder for results, and a run's trained models."""

    folder: Path
    names: list[str]
    settings: SciRepEval
    trained: list[dict[str, Any]] = field(default_factory=list)


def find_target(target: str, out: str | Path | None = None, **changes: Any) -> Target:
    """A run's folder means the models that its parameters name, or else its trained ones; all else is one model.

    `changes` to the settings that are None are left out. Raises ValueError for a wrong one.
    """
    run = Path(target).expanduser()
    is_run = (run / "params" / "scirepeval.yaml").is_file()
    given = {name: value for name, value in changes.items() if value is not None}
    base = scirepeval_settings(run).model_dump() if is_run else {}
    try:
        settings = SciRepEval(**{**base, **given})
    except ValidationError as error:
        raise ValueError("; ".join(f"{each['loc'][:1]}: {each['msg']}" for each in error.errors())) from error
    if not is_run:
        return Target(Path(out or "runs/scirepeval"), [target], settings)
    trained = trained_models(run) if any((run / "done").glob("training-*.json")) else []
    return Target(Path(out or run), settings.evaluate or [model["name"] for model in trained], settings, trained)


def score_target(target: Target, others: Sequence[str] = (), say: Callable[[str], None] = print) -> dict[str, str]:
    """Score the models one after the other, and return what could not be scored, with the reasons.

    `others` are models whose vectors are averaged with those of each. Raises ValueError, before anything is scored,
    for a target without models or with two of the same name.
    """
    labels = [" + ".join(display_name(name) for name in (own, *others)) for own in target.names]
    if not labels or len(set(labels)) < len(labels):
        raise ValueError(f"expected models with different names to score, got {labels}; see scirepeval.evaluate")
    problems: dict[str, str] = {}
    for name, label in zip(target.names, labels, strict=True):
        try:
            models = [open_scored(each, target.settings, target.trained) for each in (name, *others)]
            result = score_model(target.folder, label, models, target.settings)
        except (ModelUnavailable, FileNotFoundError) as error:
            problems[label] = str(error)
            continue
        problems |= {f"{label}, {task}": reason for task, reason in failures(result).items()}
        say(f"{label}: {result_path(target.folder, label, target.settings.mode)}")
    return problems


def write_s2and(target: Target, folder: str | Path) -> list[Path]:
    """Write the embedding files that the S2AND tool reads into its data folder, `<set>_<model>.pkl` in each set's."""
    written: list[Path] = []
    for name in target.names:
        model = open_scored(name, target.settings, target.trained)
        written += write_embeddings(folder, model.encode, model.separator, slug(display_name(name)))
    return written


def open_scored(name: str, settings: SciRepEval, trained: Sequence[Mapping[str, Any]] = ()) -> Embedder:
    """One model as it is scored. Raises ModelUnavailable or ValueError, saying what to do."""
    options: dict[str, Any] = {
        "precision": inner_precision(settings.precision),
        "max_length": LENGTH if settings.mode == "official" else None,
    }
    for model in trained:
        if model["name"] == name:
            return open_model(model["folder"], metric=model["metric"], **options)
    return open_model(name, **options)


def score_model(folder: str | Path, label: str, models: Sequence[Embedder], settings: SciRepEval) -> dict[str, Any]:
    """Score a model, or the mean of the vectors of several (protocol section 3.4), and return its result object.

    Tasks that are done are not done again. The result file holds every task that this model, with these weights, has
    been scored on in this mode, also in earlier calls; a task that failed is in it with its reason.
    """
    place = Path(folder) / "scirepeval" / settings.mode / slug(label)
    first, *others = models
    metric = first.metric if settings.mode == "modern" else "euclidean"
    root = Path(settings.data) if settings.data else None
    protocol = Protocol(settings.mode, metric, DataSource(root, settings.revisions))
    identity = {"fingerprints": [model.fingerprint for model in models]}
    run(
        first.encode,
        first.separator,
        place,
        label,
        named_tasks(settings.tasks),
        protocol,
        identity,
        Path(folder) / "embeddings" / slug(label) / "scirepeval",
        [(model.encode, model.separator) for model in others],
    )
    return _publish(folder, label, place, identity, settings)


def _publish(
    folder: str | Path, label: str, place: Path, identity: Mapping[str, Any], settings: SciRepEval
) -> dict[str, Any]:
    """Write the result file from all records of these weights."""
    result: dict[str, Any] = {} if settings.mode == "official" else {MODE_KEY: settings.mode}
    for record in stored_records(place):
        if record["settings"] == identity:
            result[record["name"]] = record["metrics"]
    write_result(result, result_path(folder, label, settings.mode))
    return result
