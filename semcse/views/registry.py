"""Pictures and tables by stage, saved whenever they are made."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from matplotlib.figure import Figure

from semcse.figures.style import save
from semcse.tables import Table

Run = str | os.PathLike[str]
Drawn = TypeVar("Drawn", bound=Figure | None)
Made = TypeVar("Made", bound=Table | None)
VIEWS: dict[str, list[Callable[[Run], Any]]] = {}
"""What each stage shows, in the order of definition."""


def picture(stage: str) -> Callable[[Callable[[Run], Drawn]], Callable[[Run], Drawn]]:
    """Register a picture with its stage and save it as `figures/<function's name>` whenever it is drawn.

    A picture that the run has no data for is None.
    """

    def register(draw: Callable[[Run], Drawn]) -> Callable[[Run], Drawn]:
        @wraps(draw)
        def drawn(run: Run) -> Drawn:
            figure = draw(run)
            if figure is not None:
                save(figure, Path(run) / "figures", draw.__name__)
            return figure

        VIEWS.setdefault(stage, []).append(drawn)
        return drawn

    return register


def table(stage: str) -> Callable[[Callable[[Run], Made]], Callable[[Run], Made]]:
    """Register a table with its stage; tables save themselves under `tables/`. One without data is None."""

    def register(make: Callable[[Run], Made]) -> Callable[[Run], Made]:
        VIEWS.setdefault(stage, []).append(make)
        return make

    return register
