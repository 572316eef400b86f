"""How training went (notebook 03), and what more data would bring (Table 3 as a picture)."""

from collections.abc import Mapping, Sequence
from typing import cast

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from semcse.figures.style import PAGE, Look, check_columns, grid, legend_below, looks, new_figure, styled


@styled
def training_curves(
    losses: pd.DataFrame, scores: pd.DataFrame, best: Mapping[str, int] | None = None, smoothing: int = 0
) -> Figure:
    """Training loss and validation scores against the step, a line a run, one panel for each score (A.3).

    `losses` has the columns run, step, loss; `scores` has run, step and a column a score, whose name labels
    its axis. `best` gives each run's best step, marked by a star. `smoothing` is the number of steps in the
    running mean of the loss (0: a fiftieth of the run); the raw loss stays visible behind it. Wide ranges get
    a logarithmic axis.
    """
    check_columns(losses, "run", "step", "loss")
    check_columns(scores, "run", "step")
    names = [str(column) for column in scores.columns if column not in ("run", "step")]
    figure = new_figure(PAGE, 2.3)
    panels = cast(Sequence[Axes], figure.subplots(1, 1 + len(names), squeeze=False)[0])
    style = looks([*losses["run"], *scores["run"]])
    for run, part in losses.groupby("run", sort=False):
        _loss_line(panels[0], part.sort_values("step"), style[run].colour, smoothing)
    panels[0].set(xlabel="step", ylabel="training loss")
    for axes, name in zip(panels[1:], names, strict=True):
        for run, part in scores.groupby("run", sort=False):
            _score_line(axes, part.sort_values("step"), name, style[run], (best or {}).get(str(run)))
        _log_if_wide(axes, scores[name])
        axes.set(xlabel="step", ylabel=name)
    for axes in panels:
        grid(axes, "y")
    handles = [panels[0].plot([], [], color=look.colour)[0] for look in style.values()]
    labels = [str(run) for run in style]
    if best:
        handles += panels[0].plot([], [], linestyle="", marker="*", color="black", markersize=8)
        labels.append("best checkpoint")
    legend_below(figure, handles, labels)
    return figure


@styled
def score_against_size(scores: pd.DataFrame, names: Mapping[str, str], lower_is_better: Sequence[str] = ()) -> Figure:
    """Scores against the number of training papers, in as many panels as `names` (column: label) has entries.

    `scores` has the columns origin (such as "paper" and "ours"), size (papers), and those of `names`; an
    origin's rows of one size are averaged and their range is drawn (seeds). Missing values leave a gap, never
    a zero.
    """
    check_columns(scores, "origin", "size", *names)
    columns = len(names) if len(names) <= 4 else min(4, -(-len(names) // 2))
    rows = -(-len(names) // columns)
    figure = new_figure(PAGE, 1.75 * rows + 0.35)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    style = looks(scores["origin"])
    for axes, (column, label) in zip(panels, names.items(), strict=False):
        for origin, part in scores.groupby("origin", sort=False):
            known = part.dropna(subset=[column]).groupby("size")[column]
            mean, low, high = known.mean(), known.min(), known.max()
            look = style[origin]
            axes.plot(mean.index, mean, color=look.colour, marker=look.marker)
            axes.vlines(mean.index, low, high, color=look.colour, linewidth=0.8)
        axes.set_xscale("log")
        axes.set(title=f"{label} {'↓' if column in lower_is_better else '↑'}", xlabel="training papers")
        grid(axes, "y")
    for axes in panels[len(names) :]:
        axes.remove()
    lines = [panels[0].plot([], [], color=look.colour, marker=look.marker)[0] for look in style.values()]
    legend_below(figure, lines, [str(origin) for origin in style])
    return figure


def _loss_line(axes: Axes, part: pd.DataFrame, colour: str, smoothing: int) -> None:
    window = smoothing or max(1, len(part) // 50)
    axes.plot(part["step"], part["loss"], color=colour, linewidth=0.5, alpha=0.3)
    smooth = part["loss"].rolling(window, center=True, min_periods=1).mean()
    axes.plot(part["step"], smooth, color=colour)


def _score_line(axes: Axes, part: pd.DataFrame, name: str, look: Look, best: int | None) -> None:
    axes.plot(part["step"], part[name], color=look.colour, marker=look.marker, markersize=3)
    chosen = part[part["step"] == best]
    if best is not None and chosen.empty:
        raise ValueError(f"no evaluation at the best step {best}; evaluations are at {part['step'].tolist()}")
    axes.plot(chosen["step"], chosen[name], linestyle="", marker="*", markersize=9, color=look.colour, zorder=3)


def _log_if_wide(axes: Axes, values: pd.Series) -> None:
    """A logarithmic axis where ranks fall from hundreds to a few, with plain numbers beside it."""
    known = values.dropna()
    if len(known) and known.min() > 0 and known.max() / known.min() > 20:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
