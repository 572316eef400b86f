"""What the summaries look like (notebook 02)."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from semcse.figures.style import (
    COLOURS,
    COLUMN,
    GREY,
    PAGE,
    check_columns,
    grid,
    legend_below,
    looks,
    new_figure,
    shortened,
    styled,
)

Values = Mapping[str, npt.NDArray[np.floating]]
ACCEPTED = "accepted"


@styled
def summary_lengths(summaries: pd.DataFrame) -> Figure:
    """Length of the summaries after each prompt. `summaries` has the columns prompt (a short name) and words."""
    return _by_prompt(summaries, "words", "words in the summary")


@styled
def summary_overlap(summaries: pd.DataFrame) -> Figure:
    """How much of each summary comes from the abstract. `summaries` has prompt and overlap (a share, 0 to 1)."""
    figure = _by_prompt(summaries, "overlap", "overlap with the abstract")
    figure.axes[0].set_xlim(-0.02, 1.02)
    return figure


@styled
def summary_similarity(summaries: pd.DataFrame) -> Figure:
    """How near each summary is to its abstract in meaning. `summaries` has prompt and similarity (a cosine)."""
    return _by_prompt(summaries, "similarity", "cosine to the abstract")


@styled
def summary_precision(summaries: pd.DataFrame) -> Figure:
    """Mean n-gram precision against the abstract: n on the x axis, one line a prompt.

    `summaries` has prompt and precision_1, precision_2 ... Words that stand in the abstract are no sign of copying,
    four in a row are.
    """
    names = [name for name in summaries.columns if str(name).startswith("precision_")]
    check_columns(summaries, "prompt", "precision_1", *names)
    means = summaries.groupby("prompt", sort=False)[names].mean()
    orders = [int(str(name).rpartition("_")[2]) for name in names]
    figure = new_figure(COLUMN, 2.6)
    axes = figure.subplots()
    lines = [
        axes.plot(orders, row, color=look.colour, marker=look.marker)[0]
        for row, look in zip(means.to_numpy(), looks(means.index).values(), strict=True)
    ]
    axes.set(xlabel="n", ylabel="n-grams that are copied", xticks=orders, ylim=(0, 1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    grid(axes, "y")
    legend_below(figure, lines, [shortened(str(prompt)) for prompt in means.index])
    return figure


@styled
def summary_variety(variety: pd.DataFrame, every: str = "all prompts") -> Figure:
    """How different the summaries of one paper are: distinct-n among all of them, and their diversity in meaning.

    `variety` has a row for each paper and prompt, and one for each paper with the prompt `every`; columns prompt and
    distinct_1, distinct_2 ..., and diversity (one minus the mean cosine of pairs), without which there is one panel.
    """
    names = [str(name) for name in variety.columns if str(name).startswith("distinct_")]
    check_columns(variety, "prompt", "distinct_1", *names)
    together = variety[variety["prompt"] == every]
    panels = [({f"n = {name.rpartition('_')[2]}": _numbers(together[name]) for name in names}, "distinct n-grams")]
    if "diversity" in variety:
        found = {str(prompt): _numbers(rows) for prompt, rows in variety.groupby("prompt", sort=False)["diversity"]}
        panels.append(
            ({name: rows for name, rows in found.items() if len(rows)}, "diversity (1 − mean cosine of pairs)")
        )
    panels = [(values, label) for values, label in panels if values]
    rows = max(len(values) for values, _ in panels)
    figure = new_figure(PAGE if len(panels) > 1 else COLUMN, 0.26 * rows + 0.7)
    for axes, (values, label) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        _boxes(axes, values, label)
        axes.set_ylim(rows - 0.5, -0.5)
    return figure


@styled
def summary_copying(summaries: pd.DataFrame, marked: pd.DataFrame | None = None) -> Figure:
    """Nearness in meaning against copying, a point for each summary, and large points for those `marked`.

    `summaries` and `marked` have prompt, overlap (x) and similarity (y). Top left is what training wants: the
    abstract's meaning in other words.
    """
    check_columns(summaries, "prompt", "overlap", "similarity")
    figure = new_figure(COLUMN, 3.0)
    axes = figure.subplots()
    dots: list[Artist] = []
    for prompt, look in looks(summaries["prompt"]).items():
        rows = summaries[summaries["prompt"] == prompt]
        axes.scatter(rows["overlap"], rows["similarity"], s=6, color=look.colour, alpha=0.6, linewidths=0)
        dots.append(Line2D([], [], color=look.colour, marker="o", linestyle=""))
    if marked is not None:
        axes.scatter(
            marked["overlap"], marked["similarity"], s=34, facecolors="none", edgecolors="black", linewidths=0.9
        )
    axes.set(xlabel="overlap with the abstract", ylabel="cosine to the abstract")
    axes.set_xlim(-0.02, min(1.02, summaries["overlap"].max() * 1.05 + 0.02))
    grid(axes, "both")
    legend_below(figure, dots, [shortened(str(prompt)) for prompt in dict.fromkeys(summaries["prompt"])])
    return figure


@styled
def summary_rejects(outcomes: pd.DataFrame) -> Figure:
    """Share of the texts written after each prompt that was rejected, by reason.

    `outcomes` has prompt, outcome ("accepted" or a reason) and texts (how many). The most common reason comes first.
    """
    check_columns(outcomes, "prompt", "outcome", "texts")
    prompts = list(dict.fromkeys(outcomes["prompt"]))
    counts = outcomes.pivot(index="prompt", columns="outcome", values="texts").fillna(0).loc[prompts]
    shares = counts.div(counts.sum(axis=1), axis=0).drop(columns=ACCEPTED, errors="ignore")
    shares = shares[shares.sum().sort_values(ascending=False, kind="stable").index]
    figure = new_figure(COLUMN, 0.26 * len(prompts) + 1.0)
    axes = figure.subplots()
    start = np.zeros(len(prompts))
    bars: list[Artist] = []
    for reason, colour in zip(shares, [*COLOURS, GREY, "#D0D0D0"], strict=False):
        bars.append(axes.barh(np.arange(len(prompts)), shares[reason], left=start, height=0.7, color=colour)[0])
        start = start + shares[reason].to_numpy()
    _rows(axes, prompts)
    axes.set_xlim(0, max(start.max() * 1.05, 0.01))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel(f"rejected, of {int(counts.to_numpy().sum()):,} texts")
    legend_below(figure, bars, [str(reason).replace("_", " ") for reason in shares])
    return figure


def _by_prompt(frame: pd.DataFrame, column: str, label: str) -> Figure:
    """A box for each prompt, in the order of first appearance."""
    check_columns(frame, "prompt", column)
    values = {str(prompt): _numbers(rows) for prompt, rows in frame.groupby("prompt", sort=False)[column]}
    figure = new_figure(COLUMN, 0.26 * len(values) + 0.7)
    _boxes(figure.subplots(), values, label)
    return figure


def _numbers(values: pd.Series) -> npt.NDArray[np.floating]:
    return values.dropna().to_numpy(dtype=float)


def _boxes(axes: Axes, values: Values, label: str) -> None:
    """Box plots under each other: quartiles, median, whiskers from 5 to 95 %."""
    axes.boxplot(
        list(values.values()),
        orientation="horizontal",
        positions=np.arange(len(values)),
        whis=(5, 95),
        showfliers=False,
        patch_artist=True,
        widths=0.6,
        boxprops={"facecolor": COLOURS[5], "linewidth": 0.6},
        medianprops={"color": "black", "linewidth": 1.2},
    )
    _rows(axes, list(values))
    axes.set_xlabel(label)
    grid(axes, "x")


def _rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(np.arange(len(names)), [shortened(str(name)) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
