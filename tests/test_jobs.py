"""A run's summaries in parts, as the command writes them, are those of the whole job."""

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from semcse.cli import app
from semcse.jobs import parse_part, query_job, summary_job
from semcse.params import load
from semcse.queries import load_queries
from semcse.readers import DataError
from semcse.splits import sample
from semcse.summaries import load_summaries

SMALL = ["sampling.training=50", "sampling.validation=10", "sampling.benchmark=30", "sampling.clustering=0",
         "summaries.shard_size=7", "training.max_steps=30"]  # fmt: skip


def run_folder(folder: Path) -> list[str]:
    """The papers of a small run in `folder`, and the options that name it on the command line."""
    overrides = [*SMALL, f"folder={folder}"]
    sample(load("demo", overrides).sampling, seed=0).save(folder / "papers", seed=0)
    return overrides


def test_parts_make_the_whole(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    study = load("demo", run_folder(whole))
    assert summary_job(whole, study.summaries, study.seed).papers == 60
    assert query_job(whole, study.summaries, study.seed) is not None
    options = [item for override in run_folder(parts) for item in ("-p", override)]
    for number in range(3):
        result = CliRunner().invoke(app, ["summaries", "demo", "--shard", f"{number}/3", *options])
        assert result.exit_code == 0, result.output
        assert "3 new shards" in result.output
        if number < 2:
            with pytest.raises(DataError, match="shards are missing"):
                load_summaries(parts / "summaries")
    pd.testing.assert_frame_equal(load_summaries(parts / "summaries"), load_summaries(whole / "summaries"))
    assert load_queries(parts / "queries") == load_queries(whole / "queries")


def test_no_queries_asked_for(tmp_path: Path) -> None:
    study = load("demo", [*run_folder(tmp_path), "summaries.query_writer=none"])
    assert query_job(tmp_path, study.summaries, study.seed) is None


def test_before_there_are_papers(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["summaries", "demo", "--shard", "0/2", "-p", f"folder={tmp_path}"])
    assert result.exit_code == 1
    assert "no papers yet" in result.output


@pytest.mark.parametrize("text", ["2/2", "1", "a/b", "-1/2", "1/0", ""])
def test_what_is_no_part(text: str) -> None:
    assert parse_part("1/2") == (1, 2)
    with pytest.raises(ValueError, match="expected a part like 0/8"):
        parse_part(text)
