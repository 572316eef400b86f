"""Notebook 03: how training went."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from semcse.checkpoints import training_log
from semcse.figures import training
from semcse.params import read
from semcse.views.registry import Run, picture


@picture("training")
def training_curves(run: Run) -> Figure:
    """Loss and validation scores of every model of the run, best checkpoints marked."""
    logs = {name: training_log(folder) for name, folder in _training_folders(run).items()}
    both = pd.concat([log.assign(run=name) for name, log in logs.items()])
    scores = both.dropna(subset="score")
    best = {name: _best_step(log) for name, log in logs.items() if log["score"].notna().any()}
    return training.training_curves(
        both.dropna(subset="loss")[["run", "step", "loss"]],
        scores[["run", "step", "summary_rank", "paper_rank"]].rename(
            columns={"summary_rank": "rank of the other summary", "paper_rank": "rank of the paper"}
        ),
        best,
    )


def _best_step(log: pd.DataFrame) -> int:
    steps: list[int] = log.sort_values("score", kind="stable")["step"].tolist()
    return steps[0]


def _training_folders(run: Run) -> dict[str, Path]:
    """Folders with a training log by model name: the run's own and its variants'."""
    folders = [Path(run), *sorted((Path(run) / "variants").glob("*"))]
    named = {folder.name if folder != Path(run) else _own_name(run): folder for folder in folders}
    return {name: folder for name, folder in named.items() if (folder / "training" / "log.jsonl").is_file()}


def _own_name(run: Run) -> str:
    """The name of the run's own model; while it trains for the first time outside a study, it has none yet."""
    if (Path(run) / "params.yaml").is_file():
        return read(run).training.name
    variants = {path.name for path in (Path(run) / "variants").glob("*")}
    names = [path.stem.removeprefix("training-") for path in (Path(run) / "done").glob("training-*.json")]
    return next((name for name in names if name not in variants), "this run")
