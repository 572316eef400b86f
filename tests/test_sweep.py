"""Sweeps: what members share, what is done again, and what happens to those that fail."""

import json
from pathlib import Path

import pytest
from tiny import tiny_demo_bert
from typer.testing import CliRunner

from semcse.cli import app
from semcse.params import parameter_folder
from semcse.readers import DataError
from semcse.records import write_record
from semcse.run import Engine, RunError
from semcse.sweep import REFERENCE, ablation_files, borrow, execute_sweep, failure, link, outcome, plan
from semcse.views import ablations as views

SETTINGS = {
    "sampling.training": 40,
    "sampling.validation": 12,
    "sampling.benchmark": 24,
    "sampling.clustering": 40,
    "training.batch_size": 8,
    "training.max_steps": 4,
    "training.warmup_steps": 1,
    "training.evaluate_every": 2,
    "training.checkpoint_every": 2,
    "benchmarks.models": "[]",
    "benchmarks.bootstrap": 50,
}


def overrides(folder: Path, **more: object) -> list[str]:
    values = {**SETTINGS, "folder": folder / "tiny", "name": "tiny", **more}
    return [f"{key}={value}" for key, value in values.items()]


def written(folder: Path, **texts: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return ablation_files(folder)


def test_members_share_papers_and_those_of_like_summaries_share_these(tmp_path):
    files = ablation_files(parameter_folder() / "ablations")
    sweep = plan("demo", files, [0, 1], [f"folder={tmp_path / 'demo'}"])
    assert len(sweep.members) == 2 * (len(files) + 1)
    assert sweep.folder == tmp_path / "demo-sweep"
    lenders = {study.folder.name for study in sweep.lenders}
    assert lenders == {REFERENCE, "hallucinated", "prompts-1", "prompts-3", "temperature-1"}
    papers = {lender.name for lender in sweep.borrowed["sampling"].values()}
    assert papers == {REFERENCE}
    summaries = {run.name: lender.name for run, lender in sweep.borrowed["summaries"].items()}
    assert summaries["cosine-seed1"] == REFERENCE
    assert summaries["prompts-1-seed1"] == "prompts-1"
    seeds = {member.study.seed for member in sweep.members if member.name.endswith("-seed1")}
    assert seeds == {1}


def test_a_changed_corpus_is_not_shared(tmp_path):
    files = written(tmp_path / "over", smaller="sampling: {min_sentences: 3}")
    sweep = plan("demo", files, [0], overrides(tmp_path))
    assert {lender.name for lender in sweep.borrowed["sampling"].values()} == {REFERENCE, "smaller"}


def test_what_cannot_be_swept_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no parameter files in .*nothing: give a folder"):
        ablation_files(tmp_path / "nothing")
    one, other = written(tmp_path / "a", cosine=""), written(tmp_path / "b", cosine="")
    with pytest.raises(ValueError, match="two ablations are called 'cosine'"):
        plan("demo", [*one, *other], [0])
    done = CliRunner().invoke(app, ["sweep", "demo", "--over", str(tmp_path / "nothing")])
    assert done.exit_code == 1
    assert "no parameter files" in done.output
    with pytest.raises(DataError, match=r"no sweep\.json"):
        views.members(tmp_path)


def test_borrowing_links_and_never_hides_files_of_its_own(tmp_path):
    lender, run = tmp_path / "shared" / "full", tmp_path / "members" / "one"
    (lender / "papers").mkdir(parents=True)
    (lender / "done").mkdir()
    (lender / "done" / "sampling.json").write_text("{}")
    borrow(run, lender, "sampling")
    borrow(run, lender, "sampling")
    assert (run / "papers").resolve() == lender / "papers"
    assert not Path((run / "papers").readlink()).is_absolute()
    other = tmp_path / "shared" / "other"
    link(run / "papers", other)
    assert (run / "papers").resolve() == other
    (run / "queries").mkdir()
    with pytest.raises(FileExistsError, match="files of its own"):
        link(run / "queries", lender / "queries")


def test_the_error_of_a_failed_notebook_is_found(tmp_path):
    assert failure(tmp_path) is None
    (tmp_path / "notebooks").mkdir()
    cells = [{"outputs": []}, {"outputs": [{"output_type": "error", "ename": "ValueError", "evalue": "too few"}]}]
    (tmp_path / "notebooks" / "03_training.ipynb").write_text(json.dumps({"cells": cells}))
    assert failure(tmp_path) == "03_training: ValueError: too few"
    (tmp_path / "notebooks" / "01_sampling.ipynb").write_text("{")
    assert failure(tmp_path) == "01_sampling: the executed notebook is damaged: it cannot be read"


def test_where_jobs_run_is_a_profile(tmp_path):
    assert Engine(cores=8, jobs=3).threads == 2
    assert Engine(cores=8).arguments[-2:] == ["--cores", "8"]
    slurm = Engine("slurm")
    assert (slurm.local, slurm.threads) == (False, None)
    assert slurm.arguments == ["--profile", str(slurm.folder)]
    assert Engine("slurm", jobs=20).arguments[-2:] == ["--jobs", "20"]
    own = tmp_path / "mine"
    own.mkdir()
    (own / "config.yaml").write_text("jobs: 3\n")
    assert Engine(str(own)).folder == own
    assert Engine(str(own)).local
    with pytest.raises(RunError, match=r"no profile 'slrum': give one of local, slurm, or a folder"):
        _ = Engine("slrum").folder


def test_a_sweep_of_which_only_the_full_recipe_is_finished_shows_that(tmp_path):
    place = tmp_path / "members" / "full-seed0"
    row = {"ablation": "full", "seed": 0, "folder": "members/full-seed0", "done": True, "problem": None}
    failed = row | {"ablation": "cosine", "folder": "members/cosine-seed0", "done": False, "problem": "too few"}
    (tmp_path / "sweep.json").write_text(json.dumps({"members": [row, failed]}))
    (place / "done").mkdir(parents=True)
    (place / "params.yaml").write_text(f"folder: {place}\nname: full-seed0\n")
    (place / "done" / "training-SemCSE.json").write_text(json.dumps({"papers": 40}))
    for task, scores in {
        "title_abstract": {"mean_rank": 2.0},
        "abstract_segments": {"mean_rank": 9.0},
        "query_matching": {"mean_rank": 1.5},
        "clustering": {"purity": 0.4},
    }.items():
        write_record(place, model="SemCSE", task=task, scores=scores, n=10, seed=0, seconds=0.0)
    assert views.ablation_table(tmp_path).frame.index.tolist() == ["full"]
    assert views.difference_table(tmp_path) is None
    assert views.ablation_ranking(tmp_path) is None


def stamps(folder: Path) -> dict[str, int]:
    paths = [*folder.glob("members/*/done/*.json"), *folder.glob("shared/*/done/*.json"), *folder.glob("done/*.json")]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in paths}


@pytest.mark.slow
def test_a_sweep_from_start_to_comparison(tmp_path):
    base = tiny_demo_bert(tmp_path / "base")
    over = tmp_path / "over"
    differences = {
        "just-summaries": "training: {mix: {summary: 1.0}}",
        "size-175k": "training: {papers: 0.5}",
        "too-few": "training: {papers: 0.1}",
    }
    files = written(over, **differences)
    sweep = plan("demo", files, [0], overrides(tmp_path, **{"training.base": base}))
    rows = execute_sweep(sweep, Engine(cores=2, jobs=2))
    assert {row["ablation"]: row["done"] for row in rows} == {
        REFERENCE: True, "just-summaries": True, "size-175k": True, "too-few": False,
    }  # fmt: skip
    assert "4 papers are fewer than one batch of 8" in rows[-1]["problem"]
    assert [study.folder.name for study in sweep.lenders] == [REFERENCE]
    assert sorted(path.name for path in sweep.folder.glob("*/*/papers") if not path.is_symlink()) == ["papers"]
    scores = views.member_scores(sweep.folder)
    assert scores["ablation"].tolist() == [REFERENCE, "just-summaries", "size-175k"]
    assert scores["papers"].tolist() == [40, 40, 20]
    for name in ("ablation_ranking", "size_curve"):
        assert (sweep.folder / "figures" / f"{name}.png").stat().st_size > 5000
    assert "just-summaries" in (sweep.folder / "tables" / "ablation_differences.md").read_text()
    before = stamps(sweep.folder)
    changes = {"just-summaries": "training: {mix: {title: 1.0}}"}, {"too-few": "training: {papers: 0.3}"}
    for change in changes:
        again = plan("demo", written(over, **change), [0], overrides(tmp_path, **{"training.base": base}))
        execute_sweep(again, Engine(cores=2, jobs=2))
        after = stamps(sweep.folder)
        changed = {name.split("/")[1] for name, stamp in after.items() if before.get(name) != stamp}
        assert changed == {f"{next(iter(change))}-seed0", "ablations.json"}
        before = after
    execute_sweep(again, Engine(cores=2, jobs=2))
    assert stamps(sweep.folder) == after
    assert all(row["done"] for row in outcome(again))
