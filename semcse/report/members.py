"""The members of a sweep and the runs that lend them papers and summaries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from semcse.executed import Failure, read_json
from semcse.report.facts import changes, read_parameters
from semcse.report.stages import FINISHED, Invocation, Progress, run_stages
from semcse.sweep import BORROWED, REFERENCE

MEASURED = ("sampling", "summaries", "training", "benchmarks")
"""Stages of a member; those after are for single runs."""


@dataclass(frozen=True)
class Row:
    """A member, or a lender (whose seed is None)."""

    name: str
    ablation: str
    seed: int | None
    folder: Path
    noted_problem: str | None
    stages: tuple[Progress, ...]

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """As they were resolved."""
        return read_parameters(self.folder)

    @property
    def page(self) -> Path:
        """Its own report, where one was written, else its folder."""
        own = self.folder / "report.html"
        return own if own.is_file() else self.folder

    @property
    def done(self) -> bool:
        """Whether every stage has come to its end."""
        return bool(self.stages) and all(stage.state in FINISHED for stage in self.stages)

    @property
    def failures(self) -> list[tuple[Progress, Failure]]:
        """Stages that failed here, with their errors."""
        return [(stage, stage.failure) for stage in self.stages if stage.failure is not None]

    @property
    def problem(self) -> str | None:
        """Why it is not done."""
        if self.done:
            return None
        if self.failures:
            stage, failure = self.failures[0]
            return f"{stage.title}: {failure.message}"
        open_stages = [f"{stage.title}: {stage.state}" for stage in self.stages if stage.state not in FINISHED]
        return self.noted_problem or next(iter(open_stages), "nothing has run yet")

    @property
    def seconds(self) -> float | None:
        """Time of all that was executed in its folder; None where nothing was."""
        spent = [stage.seconds for stage in self.stages if stage.seconds is not None]
        return sum(spent) if spent else None

    def at(self, stage: str) -> list[Progress]:
        """Its progress in one stage of MEASURED; several where it trains several models."""
        return [found for found in self.stages if found.stage.partition("-")[0] == stage]

    def executed(self, last: Invocation | None) -> bool:
        """Whether the last invocation executed anything of it."""
        return any(stage.earlier(last) is False for stage in self.stages)


@dataclass(frozen=True)
class SweepFacts:
    """Lenders and members, what each ablation changes, and the parameters of the reference."""

    members: tuple[Row, ...]
    lenders: tuple[Row, ...]
    ended: bool
    stages: tuple[str, ...] = MEASURED

    @property
    def rows(self) -> tuple[Row, ...]:
        """All, lenders first."""
        return (*self.lenders, *self.members)

    @property
    def reference(self) -> dict[str, Any]:
        """Parameters of the first reference member, else of the first member."""
        chosen = next((row for row in self.members if row.ablation == REFERENCE), None)
        return (chosen or self.members[0]).parameters if self.members else {}

    @property
    def ablations(self) -> dict[str, list[str]]:
        """What each ablation changes against the reference."""
        first = {row.ablation: row for row in reversed(self.members)}
        names = dict.fromkeys(row.ablation for row in self.members)
        return {name: changes(first[name].parameters, self.reference) for name in names if name != REFERENCE}

    @property
    def longest(self) -> float:
        """Seconds of the member or lender that took longest, for bars."""
        return max((row.seconds or 0.0 for row in self.rows), default=0.0)


def sweep_facts(sweep: Path) -> SweepFacts:
    """What the folder of a sweep says; where it has not ended yet, members are those that have a folder."""
    noted = read_json(sweep / "sweep.json")
    outcomes = noted["members"] if noted and isinstance(noted.get("members"), list) else list(_by_folders(sweep))
    members = tuple(_member(sweep, outcome) for outcome in outcomes)
    lenders = tuple(_lender(folder) for folder in sorted((sweep / "shared").glob("*")) if (folder / "params").is_dir())
    return SweepFacts(members, lenders, noted is not None)


def _by_folders(sweep: Path) -> Iterable[dict[str, Any]]:
    for folder in sorted((sweep / "members").glob("*")):
        ablation, _, seed = folder.name.rpartition("-seed")
        yield {"ablation": ablation or folder.name, "seed": seed, "folder": f"members/{folder.name}", "problem": None}


def _member(sweep: Path, outcome: dict[str, Any]) -> Row:
    folder = sweep / outcome["folder"]
    stages = [s for s in run_stages(folder, read_parameters(folder)) if s.stage.partition("-")[0] in MEASURED]
    return Row(folder.name, outcome["ablation"], outcome["seed"], folder, outcome.get("problem"), tuple(stages))


def _lender(folder: Path) -> Row:
    """A lender makes papers, summaries or both; what it does neither make nor borrow is no stage of it."""
    stages = [s for s in run_stages(folder, read_parameters(folder)) if s.stage in BORROWED and s.state != "not run"]
    return Row(f"shared/{folder.name}", folder.name, None, folder, None, tuple(stages))
