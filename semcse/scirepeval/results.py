"""SciRepEval results of a run: the paper's, imported ones, and our own, as one table of tidy rows.

A table holds one mode. `official` has the paper's models, imported result files, and the run's own
`results/scirepeval/<model>.json`; `modern` has the run's own `results/scirepeval/modern/<model>.json` and nothing else.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from semcse import published
from semcse.files import write_atomic
from semcse.records import display_name
from semcse.schema import SciRepEval
from semcse.scirepeval.driver import stored_records
from semcse.scirepeval.evaluate import dropped
from semcse.scirepeval.official import MODE_KEY, failures, read_result, to_rows
from semcse.scirepeval.s2and import read_b3, with_s2and

Run = str | os.PathLike[str]
OURS = " (ours)"
"""Added to the name of a model of ours where the paper or an import has results under that name."""


def result_path(run: Run, model: str, mode: str) -> Path:
    """Where the result file of one of our own evaluations is."""
    return _home(run, mode) / (re.sub(r"[^\w .+()-]", "_", model) + ".json")


def score_missing(run: Run, settings: SciRepEval) -> None:
    """Score the models of `settings.evaluate` that have no result file in this mode, in a process of its own.

    That is `semcse scirepeval RUN`, whose lines are passed on. Tasks that fail do not raise; `scirepeval_outcomes` has
    their reasons. Raises RuntimeError when the command itself cannot go on.
    """
    names = [display_name(name) for name in settings.evaluate]
    if all(result_path(run, name, settings.mode).is_file() for name in names):
        return
    command = [sys.executable, "-m", "semcse.cli", "scirepeval", "--go-on", os.fspath(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines = []
        for line in process.stdout or ():
            lines.append(line.rstrip())
            sys.stdout.write(line)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {lines[-1] if lines else 'no message'}")


def scirepeval_results(run: Run, settings: SciRepEval, mode: str = "official") -> pd.DataFrame:
    """Rows `table, type, task, metric, model, value, mode` of every model that has results in this mode.

    Official: the paper's models, then `settings.official`, then our own. S2AND scores of `settings.s2and` are added to
    imported and own results. Failed tasks have no rows (see `scirepeval_outcomes`).

    Raises ValueError for a model that the paper does not have, an import under a name that is taken, a file of
    the other mode, and an S2AND score for a model without results.
    """
    parts = [_paper(settings)] if mode == "official" else []
    taken = {name for part in parts for name in part["model"]}
    found = _results(run, settings, mode, taken)
    unknown = sorted({*settings.s2and} - {*found}) if mode == "official" else []
    if unknown:
        raise ValueError(f"s2and names {unknown}, which have no results of our own or imported; there are {[*found]}")
    for name, result in found.items():
        if mode == "official" and name in settings.s2and:
            result = with_s2and(result, read_b3(settings.s2and[name]))
        parts.append(to_rows(result, name, failed="skip"))
    columns = [*published.individual().columns, "mode"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def scirepeval_outcomes(run: Run, settings: SciRepEval) -> pd.DataFrame:
    """What became of tasks, a row a model, mode and task: all of our own evaluations, and failed ones of imports.

    Columns `model, mode, task, papers, without text, without embedding, minutes, outcome`; the outcome of a failed task
    is its reason.
    """
    records = [r for folder in sorted((Path(run) / "scirepeval").glob("*/*")) for r in stored_records(folder)]
    rows = [_outcome(record) for record in records if _is_current(run, record)]
    known = {(row["model"], row["mode"], row["task"]) for row in rows}
    paper = {*_paper(settings)["model"]}
    for mode in ("official", "modern"):
        for name, result in _results(run, settings, mode, paper if mode == "official" else set()).items():
            for task, reason in failures(result).items():
                if (name.removesuffix(OURS), mode, task) not in known:
                    rows.append({"model": name, "mode": mode, "task": task, "outcome": f"failed: {reason}"})
    return pd.DataFrame(rows)


def scirepeval_settings(run: Run) -> SciRepEval:
    """The section with which notebook 05 ran last in this folder, or the defaults."""
    path = Path(run) / "params" / "scirepeval.yaml"
    return SciRepEval.of(yaml.safe_load(path.read_text("utf-8"))) if path.is_file() else SciRepEval()


def keep_settings(run: Run, settings: SciRepEval) -> SciRepEval:
    """Make `settings` the ones that views and redrawing use, also after a change in an open notebook."""
    path = Path(run) / "params" / "scirepeval.yaml"
    stored = yaml.safe_load(path.read_text("utf-8")) if path.is_file() else {}
    if not stored or SciRepEval.of(stored) != settings:
        values = {**stored, **settings.model_dump(mode="json")}
        write_atomic(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
    return settings


def _paper(settings: SciRepEval) -> pd.DataFrame:
    paper = published.individual().assign(mode="official")
    unknown = sorted({*settings.models} - {*paper["model"]})
    if unknown:
        raise ValueError(f"the paper has no individual results of {unknown}; it has {sorted(set(paper['model']))}")
    return paper[paper["model"].isin(settings.models)] if settings.models else paper


def _home(run: Run, mode: str) -> Path:
    home = Path(run) / "results" / "scirepeval"
    return home if mode == "official" else home / mode


def _results(run: Run, settings: SciRepEval, mode: str, taken: set[str]) -> dict[str, dict[str, Any]]:
    """Result objects by the name that tables show."""
    found: dict[str, dict[str, Any]] = {}
    for name, path in settings.official.items() if mode == "official" else ():
        if name in taken:
            raise ValueError(f"{path}: there are results of {name!r} already; give it another name")
        found[name] = _of_mode(Path(path), mode)
    for own in sorted(_home(run, mode).glob("*.json")):
        shown = own.stem + OURS if own.stem in {*taken, *found} else own.stem
        found[shown] = _of_mode(own, mode)
    return found


def _of_mode(path: Path, mode: str) -> dict[str, Any]:
    result = read_result(path)
    stored = result.get(MODE_KEY, "official")
    if stored != mode:
        raise ValueError(
            f"{path} holds results of the mode {stored!r}, expected {mode!r}; the two never share a table. Our own "
            "results belong into results/scirepeval/ (official) or results/scirepeval/modern/"
        )
    return result


def _is_current(run: Run, record: dict[str, Any]) -> bool:
    """Whether a record is in the model's result file; one of weights that are no more is not."""
    path = result_path(run, record["model"], record["mode"])
    return path.is_file() and read_result(path).get(record["name"]) == record["metrics"]


def _outcome(record: dict[str, Any]) -> dict[str, Any]:
    counts, reason = record["counts"], record["metrics"].get("error")
    return {
        "model": record["model"],
        "mode": record["mode"],
        "task": record["name"],
        "papers": counts.get("documents"),
        "without text": counts.get("without_text", 0),
        "without embedding": sum(dropped(counts).values()),
        "minutes": record["seconds"] / 60,
        "outcome": f"failed: {reason}" if reason else "scored",
    }
