"""The semantic benchmark (section 5.2) as pictures: ranks, models side by side, and who is mistaken for whom."""

from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from semcse.figures.style import (
    COLUMN,
    PAGE,
    PAGE_HEIGHT,
    check_columns,
    grid,
    legend_below,
    legend_columns,
    looks,
    new_figure,
    readable,
    styled,
)

BIN_EDGES = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, np.inf)
BIN_NAMES = ("1", "2", "5", "10", "20", "50", "100", "∞")


@styled
def rank_histograms(ranks: pd.DataFrame) -> Figure:
    """Shares of ranks in growing bins, a row of panels a model, a column a task, with the mean and median rank.

    `ranks` has the columns task, model, rank (from 1; ties may give halves, which count in the bin above).
    """
    check_columns(ranks, "task", "model", "rank")
    tasks, models = list(dict.fromkeys(ranks["task"])), list(dict.fromkeys(ranks["model"]))
    style = looks(models)
    row_height = min(0.85, max(0.48, (PAGE_HEIGHT - 0.55) / len(models)))
    figure = new_figure(PAGE, row_height * len(models) + 0.55)
    panels = figure.subplots(len(models), len(tasks), sharex=True, sharey=True, squeeze=False)
    groups = ranks.groupby(["model", "task"], sort=False)["rank"]
    for row, model in zip(panels, models, strict=True):
        for axes, task in zip(row, tasks, strict=True):
            if (model, task) in groups.groups:
                _rank_bars(axes, groups.get_group((model, task)).to_numpy(), style[model].colour)
            else:
                axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", fontsize=7)
        row[0].set_ylabel(str(model), rotation=0, ha="right", va="center")
    for axes, task in zip(panels[0], tasks, strict=True):
        axes.set_title(readable(task))
    for axes in panels[-1]:
        axes.set_xticks(range(len(BIN_NAMES)), BIN_NAMES)
    figure.supxlabel("rank of the matching paper, up to", fontsize=8)
    return figure


@styled
def model_comparison(scores: pd.DataFrame, lower_is_better: Collection[str] = ()) -> Figure:
    """All models over the tasks, a panel a task, with intervals where given.

    `scores` has the columns task, model, value and may have low and high. Tasks named in `lower_is_better`
    say so on their axis, and get a logarithmic one if their values span more than a factor of 20. A model
    without a value for a task has no point there.
    """
    check_columns(scores, "task", "model", "value")
    tasks, models = list(dict.fromkeys(scores["task"])), list(dict.fromkeys(scores["model"]))
    style = looks(models)
    columns = min(4, len(tasks))
    rows = -(-len(tasks) // columns)
    figure = new_figure(PAGE, (0.19 * len(models) + 0.75) * rows)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, task in zip(panels, tasks, strict=False):
        part = scores[scores["task"] == task].set_index("model").reindex(models)
        for place, model in enumerate(models):
            _point(axes, place, part.loc[model], style[model].colour, style[model].marker)
        _value_axis(axes, part["value"], task in lower_is_better)
        axes.set_title(readable(task))
        grid(axes, "both")
    panels[0].set_yticks(range(len(models)), [str(model) for model in models])
    panels[0].set_ylim(len(models) - 0.5, -0.5)
    for axes in panels[len(tasks) :]:
        axes.remove()
    return figure


@styled
def domain_comparison(scores: pd.DataFrame) -> Figure:
    """Mean ranks by domain, a panel a task, a row a domain, a point with its interval a model.

    `scores` has the columns model, domain, task, mean_rank, low, high, pool (`transfer.domain_table`).
    """
    check_columns(scores, "model", "domain", "task", "mean_rank", "low", "high", "pool")
    tasks, domains = list(dict.fromkeys(scores["task"])), list(dict.fromkeys(scores["domain"]))
    style = looks(scores["model"])
    models = [str(model) for model in style]
    rest = 0.8 + 0.16 * -(-len(models) // legend_columns(models, PAGE))
    room = min(max(0.19, 0.055 * len(models) + 0.08), (PAGE_HEIGHT - rest) / len(domains))
    figure = new_figure(PAGE, room * len(domains) + rest)
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        part = scores[scores["task"] == task]
        for place, (model, look) in enumerate(style.items()):
            rows = part[part["model"] == model].set_index("domain").reindex(domains)
            heights = np.arange(len(domains)) + 0.7 * ((place + 0.5) / len(style) - 0.5)
            axes.hlines(heights, rows["low"], rows["high"], color=look.colour, linewidth=1)
            axes.plot(rows["mean_rank"], heights, color=look.colour, marker=look.marker, linestyle="", markersize=3.5)
        _value_axis(axes, part["mean_rank"], True)
        axes.set_title(f"{readable(task)}, mean rank of {part['pool'].max()}")
        grid(axes, "x")
    panels[0].set_yticks(range(len(domains)), [str(domain) for domain in domains])
    panels[0].set_ylim(len(domains) - 0.5, -0.5)
    handles = [panels[0].plot([], [], color=k.colour, marker=k.marker, linestyle="")[0] for k in style.values()]
    legend_below(figure, handles, models)
    return figure


def neighbour_fields(labels: Sequence[str], neighbours: NDArray[np.int_], train: Sequence[str]) -> pd.DataFrame:
    """Of the neighbours of each field's papers, the share in each field: rows the papers' field, rows sum to 1.

    `labels` (N,) are the papers' fields, `neighbours` (N, k) indices into `train`, the fields of the training
    papers.
    """
    if len(labels) != len(neighbours):
        raise ValueError(f"{len(labels)} labels but neighbours of {len(neighbours)} papers")
    own = np.repeat(np.asarray(labels, dtype=object), neighbours.shape[1])
    other = np.asarray(train, dtype=object)[neighbours.ravel()]
    counts = pd.crosstab(pd.Series(own, name="field"), pd.Series(other, name="neighbour's field"))
    names = sorted(set(counts.index) | set(counts.columns))
    counts = counts.reindex(index=names, columns=names, fill_value=0)
    return counts.div(counts.sum(axis=1).where(lambda total: total > 0), axis=0)


@styled
def field_confusion(shares: pd.DataFrame, label_from: float = 0.05) -> Figure:
    """Heat map of `neighbour_fields`; cells of at least `label_from` show their per cent."""
    if shares.empty or list(shares.index) != list(shares.columns):
        raise ValueError("the heat map needs a square table with the same fields in rows and columns")
    n = len(shares)
    side = min(PAGE, max(COLUMN, 0.24 * n + 1.6))
    figure = new_figure(side, side - 0.35)
    axes = figure.subplots()
    values = shares.to_numpy(dtype=float)
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=max(0.5, float(np.nanmax(values))))
    axes.set_xticks(range(n), [str(name) for name in shares.columns], rotation=90)
    axes.set_yticks(range(n), [str(name) for name in shares.index])
    axes.set(xlabel="field of the neighbour", ylabel="field of the paper")
    if n <= 25:
        dark = 0.6 * image.norm.vmax  # type: ignore[operator]
        for i, j in zip(*np.nonzero(np.nan_to_num(values) >= label_from), strict=True):
            colour = "white" if values[i, j] > dark else "black"
            axes.text(j, i, f"{100 * values[i, j]:.0f}", ha="center", va="center", fontsize=5.5, color=colour)
    figure.colorbar(image, ax=axes, shrink=0.6, label="share of the neighbours")
    return figure


def _rank_bars(axes: Axes, ranks: NDArray[np.floating], colour: str) -> None:
    counts = [((ranks > low) & (ranks <= high)).mean() for low, high in pairwise(BIN_EDGES)]
    axes.bar(range(len(BIN_NAMES)), counts, color=colour, width=0.85)
    axes.set(ylim=(0, 1), yticks=(0, 0.5, 1))
    note = f"mean {ranks.mean():.2f}\nmedian {np.median(ranks):g}\nn = {len(ranks):,}"
    axes.text(0.98, 0.94, note, transform=axes.transAxes, ha="right", va="top", fontsize=6.5)


def _point(axes: Axes, place: int, row: pd.Series, colour: str, marker: str) -> None:
    if {"low", "high"} <= set(row.index) and np.isfinite([row["low"], row["high"]]).all():
        axes.hlines(place, row["low"], row["high"], color=colour, linewidth=1.5)
    axes.plot(row["value"], place, color=colour, marker=marker, markersize=4.5)


def _value_axis(axes: Axes, values: pd.Series, lower: bool) -> None:
    known = values.dropna()
    if lower and len(known) and known.min() > 0 and known.max() / known.min() > 20:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=5))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("lower is better" if lower else "higher is better")
