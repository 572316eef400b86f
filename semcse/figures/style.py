"""What all figures share: sizes, fonts, colours that colour-blind readers can tell apart, and saving."""

import io
import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec

import matplotlib as mpl
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from semcse.files import atomic_path

P = ParamSpec("P")

COLUMN = 3.3
"""Width of a printed column, inches."""
PAGE = 6.9
"""Width of a printed page, inches."""

PAGE_HEIGHT = 9.2
"""Most that fits on a printed page, inches."""

# Okabe & Ito (2008) without its yellow, which is too faint for points on white.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
MARKERS = ("o", "^", "s", "X", "v", "D")
GREY = "#9A9A9A"

RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handletextpad": 0.4,
    "legend.columnspacing": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.linewidth": 0.4,
    "grid.color": "#D8D8D8",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "figure.dpi": 150,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
}


class Look(NamedTuple):
    """How one model or field is drawn."""

    colour: str
    marker: str


class StudyFigure(Figure):
    """A figure that shows itself in a notebook without a global plotting state."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with mpl.rc_context(RC):
            self.savefig(buffer, format="png", dpi=150)
        return buffer.getvalue()


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Runs a drawing function in the study's style and leaves the reader's own settings alone.

    The arrangement of the parts is settled here once. Left to each drawing, it would move by a fraction of a
    point from one to the next, and no two saved files would be the same.
    """

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(RC):
            figure = draw(*args, **kwargs)
            _without_formulas(figure)
            for axes in figure.axes:
                # Said once more here, since how many ticks fit is otherwise judged by the reader's own
                # settings.
                axes.tick_params(labelsize=RC["xtick.labelsize"])
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
            return figure

    return wrapper


def _without_formulas(figure: Figure) -> None:
    """Let every text stand as it is: a `$` in a field's or model's name starts no formula, which may be a wrong one.

    The powers of ten beside a logarithmic axis are formulas, and of its own.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) if axis.get_scale() == "log"):
        for label in axis.get_ticklabels():
            label.set_parse_math(True)


def new_figure(width: float, height: float) -> StudyFigure:
    """An empty figure of that size in inches, whose parts arrange themselves without overlap."""
    figure = StudyFigure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, folder: str | os.PathLike[str], name: str) -> tuple[Path, Path]:
    """Write `<folder>/<name>.pdf` and `.png` (300 dpi) and return both paths; each appears whole or not at all.

    The files hold no date and no version, so the same figure gives the same bytes.
    """
    bare = {"pdf": {"Creator": None, "Producer": None, "CreationDate": None}, "png": {"Software": None}}
    paths = Path(folder) / f"{name}.pdf", Path(folder) / f"{name}.png"
    for path in paths:
        kind = path.suffix[1:]
        with mpl.rc_context(RC), atomic_path(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=300, metadata=bare[kind])
    return paths


def looks(names: Iterable[Hashable]) -> dict[Hashable, Look]:
    """A colour and a marker for each model or run: both differ from name to name, and no two of 42 are the same."""
    unique = list(dict.fromkeys(names))
    return {name: Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(unique)}


def field_looks(fields: Iterable[Hashable]) -> dict[Hashable, Look]:
    """A colour and a marker for each field: all colours with one marker first, so that a crowd stays calm."""
    unique = list(dict.fromkeys(fields))
    kinds = [Look(colour, marker) for marker in MARKERS for colour in COLOURS]
    return {field: kinds[i % len(kinds)] for i, field in enumerate(unique)}


def legend_below(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], title: str = "") -> None:
    """One legend for the whole figure under its panels, with as many columns as the width allows."""
    columns = legend_columns(labels, figure.get_figwidth())
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, title=title or None)


def legend_columns(labels: Sequence[str], width: float) -> int:
    """How many columns of these labels fit side by side into `width` inches."""
    inches = max(len(label) for label in labels) * 0.053 + 0.38
    return max(1, min(len(labels), int(width / inches)))


def grid(axes: Axes, axis: str) -> None:
    """Faint guide lines across `axis` ("x", "y" or "both")."""
    axes.grid(True, axis=axis)  # type: ignore[arg-type]


def readable(name: object) -> str:
    """A column's or task's name as text: "title_abstract" becomes "title–abstract", others lose their underscores."""
    return "title–abstract" if name == "title_abstract" else str(name).replace("_", " ")


def shortened(name: str, limit: int = 34) -> str:
    """The name, cut to `limit` characters for the space beside an axis."""
    return name if len(name) <= limit else name[: limit - 1].rstrip() + "…"


def check_columns(frame: pd.DataFrame, *columns: str) -> None:
    """Raises ValueError if a column is missing or the frame is empty."""
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"the figure needs the columns {list(columns)}; {missing} missing from {list(frame.columns)}")
    if frame.empty:
        raise ValueError("the figure got a table without rows; nothing to draw")
