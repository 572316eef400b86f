"""Every figure and table of a run again, from what is stored; no model runs."""

from __future__ import annotations

import os
from pathlib import Path

from semcse.pictures import PICTURES
from semcse.readers import DataError
from semcse.reports import TABLES


def redraw(run: str | os.PathLike[str]) -> list[Path]:
    """Draw the figures and tables of every finished stage; the files that were written. Raises DataError for no run."""
    run = Path(run)
    if not (run / "done").is_dir():
        raise DataError(f"{run}: not a run's folder (it has no done/). Give one like runs/demo.")
    finished = {path.stem.split("-")[0] for path in (run / "done").glob("*.json")}
    for stage in sorted(finished):
        for draw in [*PICTURES.get(stage, []), *TABLES.get(stage, [])]:
            draw(run)
    return sorted(path for folder in ("figures", "tables") for path in (run / folder).glob("*"))
