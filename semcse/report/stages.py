"""What became of each stage of a run: done, failed, borrowed or not run yet; when, and in how many seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from semcse.executed import Execution, Failure, read_execution, read_json, time_of
from semcse.run import STAGES
from semcse.sweep import BORROWED

State = Literal["done", "failed", "unfinished", "borrowed", "not run"]
FINISHED: tuple[State, ...] = ("done", "borrowed")
ABLATIONS = "08_ablations"
WRITTEN = {"scirepeval": "SciRepEval", "tsne": "t-SNE", "pca": "PCA"}
SCORES = "scores"
"""The stage without a notebook: SciRepEval by our own evaluator."""


@dataclass(frozen=True)
class Invocation:
    """The last call of the workflow: when it started, and when it ended (None: under way, or killed)."""

    started: datetime
    finished: datetime | None


@dataclass(frozen=True)
class Progress:
    """One stage of a run: its files and what they say."""

    run: Path
    stage: str
    title: str
    notebook: Path | None

    @property
    def anchor(self) -> str:
        """Name of the executed notebook's place in a page."""
        return f"notebook-{self.stage}"

    @property
    def done_file(self) -> Path:
        """By its existence the workflow knows that the stage is done."""
        return self.run / "done" / f"{self.stage}.json"

    @cached_property
    def execution(self) -> Execution | None:
        """What the executed notebook says; None where there is none."""
        return read_execution(self.notebook) if self.notebook and self.notebook.is_file() else None

    @cached_property
    def record(self) -> dict[str, Any]:
        """What the stage noted when it was done; empty before."""
        return read_json(self.done_file) or {}

    @cached_property
    def lender(self) -> Path | None:
        """The run whose files this one uses instead of its own, by its links."""
        borrowed = self.run / BORROWED[self.stage][0] if self.stage in BORROWED else None
        return borrowed.resolve().parent if borrowed and borrowed.is_symlink() else None

    @property
    def state(self) -> State:
        """Done, failed, unfinished (under way or killed), borrowed, or not run."""
        if self.done_file.is_file():
            if self.execution is None:
                return "borrowed" if self.lender else "done"
            return "done" if self.failure is None else "failed"
        if self.execution is None:
            return "not run"
        return "failed" if self.failure else "unfinished"

    @property
    def failure(self) -> Failure | None:
        """The error of the executed notebook, unless the stage was brought to its end afterwards, in JupyterLab say."""
        found = self.execution
        if found is None or found.failure is None or not self.done_file.is_file():
            return found.failure if found else None
        finished = datetime.fromtimestamp(self.done_file.stat().st_mtime, UTC)
        return None if found.ended is None or finished > found.ended else found.failure

    @property
    def seconds(self) -> float | None:
        """Time of the executed notebook; None where nothing was executed here."""
        return self.execution.seconds if self.execution else None

    def earlier(self, last: Invocation | None) -> bool | None:
        """Whether it ended (where it did) before the last invocation started; None where unknown."""
        time = (self.execution.ended or self.execution.started) if self.execution else None
        return None if last is None or time is None else time < last.started


def run_stages(run: Path, parameters: Mapping[str, Any]) -> list[Progress]:
    """All stages of a run in order, one for each trained model, whether they have run or not."""
    found = []
    for stage in STAGES:
        if stage.rule == "training":
            found += [_progress(run, f"training-{name}", f"{stage.notebook}-{name}") for name in trained(parameters)]
        else:
            found.append(_progress(run, stage.rule, stage.notebook))
    if (run / "done" / f"{SCORES}.json").is_file() or (parameters.get("scirepeval") or {}).get("evaluate"):
        found.append(Progress(run, SCORES, "SciRepEval scores", None))
    return found


def sweep_stage(sweep: Path) -> Progress:
    """Notebook 08 of a sweep."""
    return _progress(sweep, "ablations", ABLATIONS)


def trained(parameters: Mapping[str, Any]) -> list[str]:
    """Names of the models that a run trains."""
    own = (parameters.get("training") or {}).get("name")
    return [str(name) for name in ([own] if own else []) + list(parameters.get("variants") or {})]


def last_invocation(folder: Path) -> Invocation | None:
    """When the workflow was last called for a run or sweep; None where nothing tells it.

    A member is brought up to date by the workflow of its sweep.
    """
    above = folder.resolve().parent.parent
    found = read_json(folder / "last.json") or (
        read_json(above / "last.json") if (above / "sweep.json").is_file() else None
    )
    started = time_of((found or {}).get("started"))
    return Invocation(started, time_of((found or {}).get("finished"))) if started else None


def _progress(run: Path, stage: str, notebook: str) -> Progress:
    number, _, name = notebook.partition("_")
    words, _, model = name.partition("-")
    title = " ".join([number, *(WRITTEN.get(word, word) for word in words.split("_")), model])
    return Progress(run, stage, title.rstrip(), run / "notebooks" / f"{notebook}.ipynb")
