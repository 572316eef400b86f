"""Clocks that jump: what decides must not be the time of a file."""

import os
import time
from pathlib import Path

import pytest

from semcse.params import load
from semcse.records import mark_done
from semcse.run import STAGES, Engine, drive, prepare
from semcse.schema import Study
from semcse.summaries import generate_summaries
from semcse.training import train
from tests.faults.listed import fault, long
from tests.test_summaries_kill import JOB, PAPERS, Telling
from tests.test_training import HELD_OUT, RECORDS, assert_same_training, study, train_and_crash
from tests.tiny import tiny_bert

DAY = 86_400.0


def shift(folder: Path, seconds: float) -> None:
    """As if everything there had been written so much later."""
    for path in folder.rglob("*"):
        os.utime(path, (path.stat().st_mtime + seconds,) * 2)


@pytest.mark.parametrize("days", [-10, 10], ids=["forward", "back"])
@fault(
    "the clock is set back or forward between two parts of a training",
    "checkpoints go by their steps: the newest stays, and training ends in the same bits",
)
def test_training_over_a_jump(tmp_path: Path, days: int) -> None:
    base = tiny_bert(tmp_path / "base")
    whole, broken = (study(base, tmp_path / name, max_steps=18) for name in ("whole", "broken"))
    train(whole, RECORDS, HELD_OUT)
    train_and_crash(broken, 9)
    shift(broken.folder, days * DAY)  # a clock set back leaves files of the future
    train_and_crash(broken, 17)
    left = {path.name for path in (broken.folder / "checkpoints").glob("checkpoint-*")}
    assert left == {"checkpoint-12", "checkpoint-16"}
    train(broken, RECORDS, HELD_OUT)
    assert_same_training(whole.folder, broken.folder)


@fault(
    "the clock is set back while summaries are written",
    "finished shards are known by their marks, not by their times; none is written again",
)
def test_summaries_over_a_jump(tmp_path: Path) -> None:
    generate_summaries(PAPERS, Telling(), tmp_path, **JOB, shard=(0, 2))
    shift(tmp_path, DAY)
    report = generate_summaries(PAPERS, Telling(), tmp_path, **JOB)
    assert (report.reused, report.written) == (7, 7)
    assert 0 < report.seconds < 600


def finished(folder: Path) -> Study:
    """A run whose stages are noted as done, one after the other."""
    run = load("demo", [f"folder={folder}"])
    prepare(run)
    for stage in STAGES:
        names = [f"training-{name}" for name in run.trainings()] if stage.rule == "training" else [stage.rule]
        for name in names:
            mark_done(run.folder, name, {})
            time.sleep(0.01)
    return run


@fault(
    "the clock is set back after a run, and a parameter is changed",
    "files of the future are dated back in their order, so that the change counts as the newest",
)
def test_a_change_after_the_clock_was_set_back(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    shift(run.folder, DAY)
    before = {path: path.stat().st_mtime for path in run.folder.glob("*/*.*")}
    order = sorted(before, key=before.__getitem__)
    prepare(load("demo", [f"folder={run.folder}", "tsne.perplexity=12"]))
    after = {path: path.stat().st_mtime for path in order}
    changed = run.folder / "params" / "tsne.yaml"
    assert max(after, key=after.__getitem__) == changed
    assert after[changed] <= time.time()
    order.remove(changed)
    assert sorted(order, key=after.__getitem__) == order
    assert len(order) > 10


@long
@fault(
    "the clock is set back after a run: what Snakemake makes of it",
    "nothing that is up to date is done again, and what was changed is, with all that follows",
)
def test_a_run_over_a_jump(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Snakemake is asked what it would do; no notebook runs."""
    run = finished(tmp_path / "run")
    facts = ["--config", f'runs=["{run.folder}"]']
    drive([*facts, "--touch"], run.folder, "run", Engine(cores=1))
    shift(run.folder, 10 * DAY)
    prepare(run)
    capfd.readouterr()
    assert planned(run.folder, facts, capfd) == set()
    prepare(load("demo", [f"folder={run.folder}", "tsne.perplexity=12"]))
    assert planned(run.folder, facts, capfd) == {"tsne"}
    mark_done(run.folder, "summaries", {"queries": False})
    assert planned(run.folder, facts, capfd) == {"training", "benchmarks", "tsne", "pca"}


def planned(folder: Path, facts: list[str], capfd: pytest.CaptureFixture[str]) -> set[str]:
    """The rules that Snakemake would run now."""
    drive([*facts, "--dry-run"], folder, "run", Engine(cores=1))
    lines = "".join(capfd.readouterr()).splitlines()
    return {line.split()[1].rstrip(":") for line in lines if line.startswith(("rule ", "localrule "))} - {"all"}
