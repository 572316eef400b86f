"""A sweep through a real Slurm, held against the same sweep on this machine."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from slurm_cluster import NODES, cluster, why_not
from test_sweep import overrides, written
from tiny import tiny_demo_bert

from semcse.run import Engine, project_file
from semcse.sweep import execute_sweep, plan

SMALL = "{cores: 1, gpus: 0, memory: 3, hours: 0.5}"
STAGES = ("sampling", "summaries", "training", "benchmarks", "ablations")


@pytest.fixture
def completed(tmp_path):
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with cluster(tmp_path / "slurm") as listed:
        yield listed


def profile(folder: Path) -> Path:
    """The shipped profile with what belongs to this site: its account, and the queue for want of a database."""
    settings = yaml.safe_load((project_file("workflow", "profiles") / "slurm" / "config.yaml").read_text())
    settings["default-resources"] += ["slurm_account='test'", "slurm_partition='test'"]
    settings |= {"slurm-status-command": "squeue", "latency-wait": 5}
    settings |= {"slurm-init-seconds-before-status-checks": 2, "seconds-between-status-checks": 2}
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return folder


def results(sweep: Path) -> dict[str, object]:
    """Scores of every member, and weights by their bytes."""
    found: dict[str, object] = {}
    for path in sorted(sweep.glob("members/*/results/*.json")):
        record = json.loads(path.read_text())
        found[str(path.relative_to(sweep))] = (record["scores"], record["n"])
    for path in sorted(sweep.glob("members/*/model/model.safetensors")):
        found[str(path.relative_to(sweep))] = path.read_bytes()
    return found


@pytest.mark.slow
def test_a_sweep_on_slurm_gives_the_results_of_this_machine(tmp_path, completed):
    base = tiny_demo_bert(tmp_path / "base")
    files = written(tmp_path / "over", **{"just-summaries": "training: {mix: {summary: 1.0}}"})
    jobs = {f"resources.{stage}": SMALL for stage in STAGES}
    sweeps = {}
    for place, engine in {
        "slurm": Engine(str(profile(tmp_path / "profile")), jobs=4),
        "here": Engine(cores=2, jobs=2),
    }.items():
        sweep = plan("demo", files, [0], overrides(tmp_path / place, **{"training.base": base}, **jobs))
        assert all(row["done"] for row in execute_sweep(sweep, engine))
        sweeps[place] = results(sweep.folder)
    assert len(sweeps["slurm"]) > 2 * 3
    assert sweeps["slurm"] == sweeps["here"]

    lines = completed.read_text().splitlines()
    assert len(lines) == 7, "sampling, summaries, two trainings, two benchmarks, and notebook 08"
    assert all("JobState=COMPLETED" in line for line in lines)
    assert {line.split("NodeList=")[1].split()[0] for line in lines} == set(NODES)
    command = ["squeue", "-h", "-t", "all", "-o", "%k"]
    queue = subprocess.run(command, capture_output=True, text=True, check=True)
    rules = [comment.split("_wildcards_")[0] for comment in queue.stdout.split()]
    assert sorted(rules) == sorted(
        f"rule_{name}"
        for name in ("sampling", "summaries", "training", "training", "benchmarks", "benchmarks", "ablations")
    )
