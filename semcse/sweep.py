"""Sweeps: one study under many ablations and seeds, as runs that share what they have in common."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semcse.files import write_atomic
from semcse.params import Study, load
from semcse.run import Engine, JobFailed, RunError, drive, failure, locked, noted, prepare

REFERENCE = "full"
"""The member without an ablation, against which the others are held."""
BORROWED = {
    "sampling": ("papers",),
    "summaries": ("summaries", "summaries.parquet", "queries", "quality"),
}
"""What a run takes from another one instead of making it, by stage."""


@dataclass(frozen=True)
class Member:
    """One ablation under one seed: a run of its own that borrows papers and summaries."""

    ablation: str
    seed: int
    study: Study

    @property
    def name(self) -> str:
        """Name of the member's folder."""
        return self.study.folder.name


@dataclass(frozen=True)
class Sweep:
    """Members, and for each run that borrows a stage the run that lends it."""

    folder: Path
    members: tuple[Member, ...]
    lenders: tuple[Study, ...]
    borrowed: dict[str, dict[Path, Path]]


def ablation_files(over: str | os.PathLike[str]) -> list[Path]:
    """The parameter files of a folder, or the file itself, in the order of their names.

    Raises FileNotFoundError where there is none.
    """
    place = Path(over)
    files = sorted([*place.glob("*.yaml"), *place.glob("*.yml")]) if place.is_dir() else [place]
    if not files or not files[0].is_file():
        raise FileNotFoundError(f"no parameter files in {place}: give a folder of YAML files, or one file")
    return [path.resolve() for path in files]


def plan(
    spec: str,
    over: Iterable[Path],
    seeds: Sequence[int],
    overrides: Sequence[str] = (),
    folder: Path | None = None,
) -> Sweep:
    """The sweep of `spec` over ablation files and seeds, with a reference member for each seed.

    Seeds are of training and bootstrap; papers and summaries keep the seed of `spec`, so that members differ in
    nothing else and share them. Raises ParameterError, and ValueError for repeated names.
    """
    base = load(spec, overrides)
    folder = (folder or base.folder.parent / f"{base.name}-sweep").resolve()
    studies = {REFERENCE: base}
    for path in over:
        if path.stem in studies:
            raise ValueError(f"two ablations are called {path.stem!r}; rename one")
        studies[path.stem] = load(f"{spec}+{path}", overrides)
    members = tuple(_member(folder, name, seed, study) for seed in seeds for name, study in studies.items())
    lenders: dict[str, dict[str, Study]] = {"sampling": {}, "summaries": {}}
    for name, study in studies.items():
        lender = study.model_copy(update={"folder": folder / "shared" / name, "name": name})
        for stage in lenders:
            lenders[stage].setdefault(_shared_key(study, stage), lender)
    borrowed: dict[str, dict[Path, Path]] = {"sampling": {}, "summaries": {}}
    for member in members:
        study = studies[member.ablation]
        for stage, known in lenders.items():
            borrowed[stage][member.study.folder] = known[_shared_key(study, stage)].folder
    for lender in lenders["summaries"].values():
        owner = lenders["sampling"][_shared_key(lender, "sampling")].folder
        if owner != lender.folder:
            borrowed["sampling"][lender.folder] = owner
    runs = {study.folder: study for known in lenders.values() for study in known.values()}
    return Sweep(folder, members, tuple(runs.values()), borrowed)


def borrow(run: str | os.PathLike[str], lender: str | os.PathLike[str], stage: str) -> None:
    """Let `run` use the papers or summaries of `lender`, by links, and note the stage as done."""
    run, lender = Path(run), Path(lender)
    for name in BORROWED[stage]:
        if (lender / name).exists():
            link(run / name, lender / name)
    write_atomic(run / "done" / f"{stage}.json", (lender / "done" / f"{stage}.json").read_bytes())


def execute_sweep(sweep: Sweep, engine: Engine | None = None) -> list[dict[str, Any]]:
    """Bring all members up to date, then notebook 08 over those that are; the members' `outcome`.

    What is done is not done again; a member that fails does not stop the others. Raises RunError when no member could
    be finished.
    """
    engine = engine or Engine()
    with locked(sweep.folder):
        for study in (*sweep.lenders, *(member.study for member in sweep.members)):
            prepare(study)
        embeddings = sweep.folder / "shared" / "embeddings"
        embeddings.mkdir(parents=True, exist_ok=True)
        for member in sweep.members:
            link(member.study.folder / "embeddings" / "cache", embeddings)
        with noted(sweep.folder):
            return _drive_members(sweep, engine)


def _drive_members(sweep: Sweep, engine: Engine) -> list[dict[str, Any]]:
    given = ["--configfile", str(sweep.folder / "workflow.json")]
    facts = _facts(sweep) | {"threads": engine.threads}
    _write_json(sweep.folder / "workflow.json", facts)
    try:
        drive([*given, "--keep-going", "--", "members"], sweep.folder, sweep.folder.name, engine)
    except JobFailed as error:
        problem = str(error)
    else:
        problem = ""
    rows = outcome(sweep)
    _write_json(sweep.folder / "sweep.json", {"members": rows})
    if not any(row["done"] for row in rows):
        raise RunError(f"{problem} No member of the sweep is finished: {rows[0]['problem']}")
    _write_json(sweep.folder / "workflow.json", facts | {"outcome": rows})
    _write_json(sweep.folder / "params" / "ablations.yaml", {"run": str(sweep.folder), "seed": 0})
    drive([*given, "--", "ablations"], sweep.folder, sweep.folder.name, engine)
    return rows


def _facts(sweep: Sweep) -> dict[str, Any]:
    """What the Snakefile has to know: all runs, and who borrows what of whom."""
    runs = [study.folder for study in sweep.lenders] + [member.study.folder for member in sweep.members]
    lent = {stage: {str(run): str(lender) for run, lender in pairs.items()} for stage, pairs in sweep.borrowed.items()}
    return {"runs": [str(run) for run in runs], "borrowed": lent, "sweep": str(sweep.folder)}


def _write_json(path: Path, content: Any) -> None:
    """Write unless it says so already: a new time stamp would make others do their work again."""
    text = json.dumps(content, indent=2) + "\n"
    if not path.is_file() or path.read_text("utf-8") != text:
        write_atomic(path, text)


def outcome(sweep: Sweep) -> list[dict[str, Any]]:
    """Of each member: ablation, seed, folder, whether its benchmarks are done, and if not, what went wrong."""
    rows = []
    for member in sweep.members:
        stages = ("benchmarks", f"training-{member.study.training.name}")
        done = all((member.study.folder / "done" / f"{stage}.json").is_file() for stage in stages)
        problem = None if done else failure(member.study.folder) or "a stage that it shares with others failed"
        rows.append(
            {
                "ablation": member.ablation,
                "seed": member.seed,
                "folder": os.path.relpath(member.study.folder, sweep.folder),
                "done": done,
                "problem": problem,
            }
        )
    return rows


def _member(folder: Path, ablation: str, seed: int, study: Study) -> Member:
    name = f"{ablation}-seed{seed}"
    own = study.model_copy(update={"name": name, "folder": folder / "members" / name, "seed": seed, "variants": {}})
    return Member(ablation, seed, own)


def _shared_key(study: Study, stage: str) -> str:
    """Equal for studies whose stage makes the same files."""
    return json.dumps(study.model_dump(mode="json", include={"seed", "sampling", stage}), sort_keys=True)


def link(place: Path, target: Path) -> None:
    """A relative link at `place` to `target`; a link that points elsewhere is replaced, files of its own are not."""
    if place.is_symlink():
        if place.resolve() == target.resolve():
            return
        place.unlink()
    elif place.exists():
        raise FileExistsError(f"{place} is not a link: the run has files of its own there; delete them to share")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(os.path.relpath(target, place.parent))


if __name__ == "__main__":
    borrow(stage=sys.argv[1], run=sys.argv[2], lender=sys.argv[3])
