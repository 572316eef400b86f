"""Every figure and table of a run again, from what is stored; no model runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from semcse.readers import DataError
from semcse.run import STAGES
from semcse.views.registry import VIEWS, Run

VIEW_STAGES = (*(stage.rule for stage in STAGES), "ablations")
"""Stages that have pictures or tables, in order."""


def views(stage: str) -> list[Callable[[Run], Any]]:
    """The pictures and tables of a stage, in the order of their definition."""
    import_module(f"semcse.views.{stage}")
    return VIEWS.get(stage, [])


def redraw(run: str | os.PathLike[str]) -> list[Path]:
    """Draw the figures and tables of every finished stage of a run or sweep; the files in both folders.

    Raises DataError for no run.
    """
    run = Path(run)
    if not (run / "done").is_dir():
        raise DataError(f"{run}: not a run's folder (it has no done/). Give one like runs/demo.")
    finished = {path.stem.split("-")[0] for path in (run / "done").glob("*.json")}
    for stage in VIEW_STAGES:
        if stage in finished:
            for view in views(stage):
                view(run)
    return sorted(path for folder in ("figures", "tables") for path in (run / folder).glob("*"))
