"""Runs: parameters written out, notebooks executed by papermill, the order decided by Snakemake."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import nbformat
import yaml

from semcse.executed import read_execution
from semcse.files import alone, write_atomic
from semcse.params import Study

SECOND = 10**9
"""In the nanoseconds of file times."""


@dataclass(frozen=True)
class Stage:
    """A notebook and the section of the study that it takes."""

    rule: str
    notebook: str
    section: str

    @property
    def number(self) -> str:
        return self.notebook[:2]


STAGES = (
    Stage("sampling", "01_data_sampling", "sampling"),
    Stage("summaries", "02_summary_generation", "summaries"),
    Stage("training", "03_training", "training"),
    Stage("benchmarks", "04_benchmarks", "benchmarks"),
    Stage("scirepeval", "05_scirepeval_aggregation", "scirepeval"),
    Stage("tsne", "06_tsne", "tsne"),
    Stage("pca", "07_pca_anisotropy", "pca"),
)


class RunError(RuntimeError):
    """A run that could not be carried out; the message says which stage and what to do."""


class JobFailed(RunError):
    """A notebook failed; the others that do not depend on it were not the cause."""


@dataclass(frozen=True)
class Engine:
    """Where notebooks are executed: a Snakemake profile, and how many at a time.

    `profile` is the name of one in `workflow/profiles/` or a folder with a `config.yaml` like theirs. On this machine
    `jobs` share `cores` (all by default); on a cluster every job gets what the study's `resources` ask for, and
    `jobs` is how many may be queued or running (none: the profile's number).
    """

    profile: str = "local"
    cores: int | None = None
    jobs: int | None = None

    @cached_property
    def folder(self) -> Path:
        """The profile's folder. Raises RunError when there is none."""
        shipped = project_file("workflow", "profiles")
        given = Path(self.profile).expanduser()
        for folder in (shipped / self.profile, given):
            if (folder / "config.yaml").is_file():
                return folder.resolve()
        names = ", ".join(sorted(path.name for path in shipped.iterdir()))
        raise RunError(f"no profile {self.profile!r}: give one of {names}, or a folder that holds a config.yaml")

    @cached_property
    def local(self) -> bool:
        """Whether notebooks run on this machine."""
        settings = yaml.safe_load((self.folder / "config.yaml").read_text("utf-8")) or {}
        return bool(settings.get("executor", "local") == "local")

    @property
    def threads(self) -> int | None:
        """Of one job on this machine; None on a cluster."""
        return max(1, self._cores // (self.jobs or 1)) if self.local else None

    @property
    def arguments(self) -> list[str]:
        """Snakemake's."""
        return ["--profile", str(self.folder), *self._amount()]

    def _amount(self) -> list[str]:
        if self.local:
            return ["--cores", str(self._cores)]
        return ["--jobs", str(self.jobs)] if self.jobs else []

    @property
    def _cores(self) -> int:
        return self.cores or os.cpu_count() or 1


def execute_study(
    study: Study, *, only: Sequence[str] = (), start: str | None = None, engine: Engine | None = None
) -> None:
    """Bring a study's run folder up to date.

    `only` redoes just these notebooks (numbers like "03"), `start` redoes that one and all that follow; without them
    Snakemake does what is missing or whose inputs changed. Raises RunError when a notebook fails; what was finished
    stays, and the next call goes on from there.
    """
    engine = engine or Engine()
    chosen = [_known(number) for number in only]
    later = [stage for stage in STAGES if start and stage.number >= _known(start).number]
    folder = study.folder.resolve()
    facts = {"runs": [str(folder)], "threads": engine.threads}
    command = ["--config", *(f"{name}={json.dumps(value)}" for name, value in facts.items() if value is not None)]
    if chosen:
        rules = [stage.rule for stage in chosen]
        allowed = [*rules, "scores"] if "scirepeval" in rules else rules
        command += ["--allowed-rules", *allowed, "--forcerun", *rules, "--", *_targets(study, chosen)]
    elif later:
        command += ["--forcerun", *(stage.rule for stage in later)]
    with locked(folder):
        prepare(study)
        with noted(folder):
            drive(command, folder, study.name, engine)


def locked(folder: Path) -> AbstractContextManager[None]:
    """A run's folder for one call at a time, before anything is written there. Entering raises RunError."""
    return alone(folder / ".lock", RunError(f"{folder} is in use by another run; wait for it to end, or choose a name"))


def drive(arguments: Sequence[str], folder: Path, name: str, engine: Engine) -> None:
    """Run Snakemake; what notebooks print goes to the terminal, Snakemake's own messages to `folder`/snakemake.log.

    On a cluster the messages are shown too, since notebooks print into the logs of their jobs. Raises RunError,
    JobFailed where it is a notebook's fault.
    """
    log = folder / "snakemake.log"
    command = [sys.executable, "-m", "snakemake", *engine.arguments]
    command += ["--snakefile", str(project_file("workflow", "Snakefile")), "--directory", str(folder), *arguments]
    status = _logged(command, log, shown=not engine.local)
    if status:
        raise _failure(log.read_text("utf-8"), name, log)


def _logged(command: Sequence[str], log: Path, shown: bool) -> int:
    """Exit status of a command whose stderr goes to `log`, and to the terminal too if `shown`."""
    with log.open("w", encoding="utf-8") as messages:
        if not shown:
            return subprocess.run(command, env=_environment(), stderr=messages, check=False).returncode
        with subprocess.Popen(command, env=_environment(), stderr=subprocess.PIPE, text=True, errors="replace") as job:
            for line in job.stderr or ():
                messages.write(line)
                messages.flush()
                sys.stderr.write(line)
        return job.returncode


@contextmanager
def noted(folder: Path) -> Iterator[None]:
    """Write `folder`/last.json: when the last call began and ended, by which a report knows what was done earlier."""
    times = {"started": datetime.now(UTC).isoformat(), "finished": None}
    write_atomic(folder / "last.json", json.dumps(times) + "\n")
    try:
        yield
    finally:
        times["finished"] = datetime.now(UTC).isoformat()
        write_atomic(folder / "last.json", json.dumps(times) + "\n")


def failure(run: Path) -> str | None:
    """The error in the first of a run's executed notebooks that has one."""
    executed = ((path.stem, read_execution(path).failure) for path in sorted((run / "notebooks").glob("*.ipynb")))
    return next((f"{name}: {found.message}" for name, found in executed if found), None)


def _failure(messages: str, name: str, log: Path) -> RunError:
    again = "What was finished stays; run the same command again to go on."
    if "MissingInputException" in messages:
        return RunError(f"{name}: a stage before the chosen ones has not run yet. Leave out --only, or name that too.")
    if "Error in rule" in messages:
        return JobFailed(f"{name} stopped: a notebook failed ({failure(log.parent) or 'see above'}). {again}")
    return RunError(f"{name} stopped. {again} The end of {log}:\n" + "\n".join(messages.splitlines()[-15:]))


def _targets(study: Study, stages: Sequence[Stage]) -> list[str]:
    done = study.folder.resolve() / "done"
    names = [stage.rule for stage in stages if stage.rule != "training"]
    if any(stage.rule == "training" for stage in stages):
        names += [f"training-{name}" for name in study.trainings()]
    return [str(done / f"{name}.json") for name in names]


def prepare(study: Study) -> Path:
    """Write the resolved parameters, whole and per notebook; files whose content stays are left untouched.

    Raises RunError for a folder that Snakemake cannot name.
    """
    folder = study.folder.resolve()
    if {"{", "}"} & set(str(folder)):
        raise RunError(f"{folder}: expected a folder without braces, which Snakemake fills in; give another `folder`")
    _settle_times(folder)
    _write_if_changed(folder / "params.yaml", _yaml(study.model_dump(mode="json")))
    for name, values in notebook_parameters(study).items():
        _write_if_changed(folder / "params" / f"{name}.yaml", _yaml(values))
    return folder


def _settle_times(folder: Path) -> None:
    """Bring what is dated ahead of now back, all by as much.

    After a clock was set back, a file that changes now would be older than what was made of it, and Snakemake would
    leave the stages that follow as they are.
    """
    written = {path: path.stat() for name in ("done", "params") for path in sorted((folder / name).glob("*.*"))}
    ahead = max((found.st_mtime_ns for found in written.values()), default=0) - time.time_ns()
    if ahead > 0:
        for path, found in written.items():
            os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns - ahead - SECOND))


def notebook_parameters(study: Study) -> dict[str, dict[str, Any]]:
    """What papermill passes to each notebook: the run's folder, the seed, and every value of its section.

    Keys are the sections, and `training-<name>` for each trained model, which also gets the folder of its own files.
    """
    folder = study.folder.resolve()
    resolved = study.model_dump(mode="json")
    given = {stage.section: {"run": str(folder), "seed": study.seed, **resolved[stage.section]} for stage in STAGES}
    del given["training"]
    for name, training in study.trainings().items():
        place = str(study.variant(name).folder.resolve())
        values = {"run": str(folder), "folder": place, "seed": study.seed, **training.model_dump(mode="json")}
        given[f"training-{name}"] = values
    return given


def project_file(*parts: str) -> Path:
    """A file of the repository (notebooks, workflow), or its copy inside an installed package."""
    package = Path(__file__).resolve().parent
    beside = package.parent.joinpath(*parts)
    return beside if beside.exists() else package.joinpath(*parts)


@cache
def sources(notebook: str) -> tuple[str, ...]:
    """The package's files that a notebook imports, directly or through others: what it must be redone for."""
    path = project_file("notebooks", f"{notebook}.ipynb")
    book = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    code = "\n".join(cell.source for cell in book.cells if cell.cell_type == "code")
    found: set[Path] = set()
    pending = list(_imported(code))
    while pending:
        path = pending.pop()
        if path not in found:
            found.add(path)
            pending.extend(_imported(path.read_text("utf-8")))
    return tuple(sorted(str(path) for path in found))


def _imported(code: str) -> Iterator[Path]:
    package = Path(__file__).resolve().parent
    for node in ast.walk(ast.parse(code)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.split(".")[0] == "semcse":
                base = package.joinpath(*name.split(".")[1:])
                yield from (path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file())


def _environment() -> dict[str, str]:
    """Kernels of this environment, whatever the shell's PATH says, without warnings that lead nowhere."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    quiet = {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "PYTHONWARNINGS": "ignore:IProgress not found"}
    return {**quiet, **os.environ, "PATH": path}


def _known(number: str) -> Stage:
    for stage in STAGES:
        if number in (stage.number, stage.notebook, stage.rule):
            return stage
    raise RunError(f"no notebook {number!r}; there are {', '.join(s.notebook for s in STAGES)}")


def _write_if_changed(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text("utf-8") != text:
        write_atomic(path, text)


def _yaml(values: Any) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
