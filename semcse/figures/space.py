"""The embedding space as pictures: t-SNE panels (Figure 1), explained variance (Figure 2), and its measures."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from semcse.figures.style import (
    COLOURS,
    COLUMN,
    GREY,
    PAGE,
    PAGE_HEIGHT,
    Look,
    check_columns,
    field_looks,
    grid,
    legend_below,
    legend_columns,
    looks,
    new_figure,
    styled,
)

Points = NDArray[np.floating]

NUMBER_SIZE = (0.17, 0.13)
"""Room for two digits on a panel, inches."""


@styled
def tsne_panels(panels: Mapping[str, Points], fields: Sequence[str | None], most: int = 21) -> Figure:
    """The same papers before and after training, a panel a model, coloured by field, one legend (Figure 1).

    `panels` maps a title to points (N, 2), aligned beforehand if wanted (`projection.procrustes`); `fields`
    (N,) are the papers' fields. Beyond the `most` common fields, and without a field (None), points are small
    and grey. Where colours have to repeat, each field has a number too, in the legend and amid its papers.
    """
    names = pd.Series([None if pd.isna(name) else str(name) for name in fields], dtype=object)
    for title, points in panels.items():
        if points.shape != (len(names), 2):
            raise ValueError(f"panel {title!r} has shape {points.shape}, the fields need ({len(names)}, 2)")
    shown = sorted(names.value_counts().index[:most])
    style: dict[str, Look] = {str(name): look for name, look in field_looks(shown).items()}
    figure, axes_list, inches = _panel_grid(panels, [f"00 {name}" for name in shown] + ["other or none"])
    for axes, (title, points) in zip(axes_list, panels.items(), strict=True):
        _scatter(axes, points, names, style, 2600 * inches[0] / len(points))
        if len(style) > len(COLOURS):
            _numbers(axes, points, names, list(style), inches)
        axes.set_title(title)
    _field_legend(figure, axes_list[0], style, bool((~names.isin(shown)).any()))
    return figure


@styled
def explained_variance_curves(curves: Mapping[str, NDArray[np.floating]], cumulative: bool = False) -> Figure:
    """Share of variance explained by each principal component, a line a model (Figure 2); or by all up to each.

    `curves` maps model to the result of `geometry.explained_variance`.
    """
    if not curves:
        raise ValueError("no curves to draw")
    figure = new_figure(COLUMN, 2.3 + 0.15 * len(curves))
    axes = figure.subplots()
    style = looks(curves)
    for model, shares in curves.items():
        values = np.cumsum(shares) if cumulative else shares
        axes.plot(
            np.arange(1, len(values) + 1),
            values,
            color=style[model].colour,
            marker=style[model].marker,
            markevery=(0, 7),
            markersize=3.5,
        )
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if cumulative else None))
    axes.set(xlabel="principal component", ylabel="variance explained" + (" so far" if cumulative else ""))
    axes.set_ylim(bottom=0)
    grid(axes, "y")
    legend_below(figure, axes.get_lines(), list(curves))
    return figure


@styled
def alignment_uniformity(table: pd.DataFrame) -> Figure:
    """Alignment against uniformity of every model (Wang & Isola 2020): better is to the lower left.

    `table` has models as index and the columns alignment and uniformity (`geometry.geometry_table`); models
    that lack one of them are not drawn.
    """
    check_columns(table, "alignment", "uniformity")
    known = table.dropna(subset=["alignment", "uniformity"])
    if known.empty:
        raise ValueError("no model has both alignment and uniformity")
    figure = new_figure(COLUMN, 2.5 + 0.15 * -(-len(known) // 2))
    axes = figure.subplots()
    style = looks(known.index)
    marks = [
        axes.plot(x, y, linestyle="", color=style[model].colour, marker=style[model].marker, markersize=5.5)[0]
        for model, x, y in zip(known.index, known["uniformity"], known["alignment"], strict=True)
    ]
    axes.set(xlabel="uniformity ← better", ylabel="alignment ← better")
    axes.margins(0.12)
    grid(axes, "both")
    legend_below(figure, marks, [str(model) for model in known.index])
    return figure


def _panel_grid(panels: Mapping[str, Points], labels: Sequence[str]) -> tuple[Figure, list[Axes], tuple[float, float]]:
    """A figure with equal axes for all panels and room for the legend; also the axes' width and height in inches.

    The axes have the shape of the points, within reason, so that little of the page stays empty.
    """
    across = 2 if len(panels) in (2, 4) else min(3, len(panels))
    down = -(-len(panels) // across)
    page = PAGE if across > 1 else 4.5
    width, legend = page / across, 0.158 * -(-len(labels) // legend_columns(labels, page)) + 0.2
    shapes = [np.ptp(points[:, 1]) / np.ptp(points[:, 0]) for points in panels.values()]
    height = min(width * float(np.clip(max(shapes), 0.6, 1.2)), (PAGE_HEIGHT - legend) / down - 0.2)
    figure = new_figure(page, (height + 0.2) * down + legend)
    every = list(figure.subplots(down, across, squeeze=False).ravel())
    for axes in every:
        axes.set_box_aspect(height / width)
    for axes in every[len(panels) :]:
        axes.remove()
    return figure, every[: len(panels)], (width, height)


def _scatter(axes: Axes, points: Points, names: pd.Series, style: Mapping[str, Look], area: float) -> None:
    """Points in random order within a marker, so that the last field in the list does not hide the others."""
    size = float(np.clip(area, 1.0, 16.0))
    known = names.isin(list(style)).to_numpy()
    axes.scatter(points[~known, 0], points[~known, 1], s=size * 0.5, color=GREY, linewidths=0, rasterized=True)
    order = np.random.default_rng(0).permutation(np.flatnonzero(known))
    markers = np.array([style[names[i]].marker for i in order])
    colours = np.array([style[names[i]].colour for i in order])
    for marker in dict.fromkeys(markers):
        chosen = markers == marker
        x, y = points[order[chosen]].T
        axes.scatter(x, y, s=size, c=list(colours[chosen]), marker=marker, alpha=0.75, linewidths=0, rasterized=True)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("#BBBBBB")


def _numbers(axes: Axes, points: Points, names: pd.Series, fields: Sequence[str], inches: tuple[float, float]) -> None:
    """The fields' numbers at the medians of their papers, moved apart where they would overlap."""
    unit = 0.9 * float(np.min(np.array(inches) / np.ptp(points, axis=0)))
    middles = np.array([np.median(points[(names == field).to_numpy()], axis=0) for field in fields])
    for number, (x, y) in enumerate(apart(middles * unit, NUMBER_SIZE) / unit, 1):
        text = axes.text(x, y, str(number), ha="center", va="center", fontsize=6.5, fontweight="bold")
        text.set_path_effects([withStroke(linewidth=1.8, foreground="white")])


def apart(centres: Points, size: tuple[float, float], rounds: int = 1000) -> Points:
    """Centres (N, 2) of N boxes of `size` (width, height), pushed to where no two of them overlap.

    Each round moves every overlapping pair apart along the axis that needs less, and it stops when there is
    none, or after `rounds`. Boxes that overlap no other stay in place.
    """
    centres = centres.astype(np.float64) + np.arange(len(centres))[:, None] * 1e-9  # equal centres need a direction
    for _ in range(rounds):
        gaps = centres[:, None] - centres
        missing = np.array(size) - np.abs(gaps)
        overlapping = (missing > 1e-9).all(axis=2) & ~np.eye(len(centres), dtype=bool)
        if not overlapping.any():
            break
        along = missing[..., 1] < missing[..., 0]
        chosen = np.stack([~along, along], axis=2) & overlapping[..., None]
        centres = centres + 0.25 * np.where(chosen, np.sign(gaps) * (missing + 1e-5), 0.0).sum(axis=1)
    return centres


def _field_legend(figure: Figure, axes: Axes, style: Mapping[str, Look], rest: bool) -> None:
    numbered = len(style) > len(COLOURS)
    entries = {f"{i} {name}" if numbered else name: look for i, (name, look) in enumerate(style.items(), 1)}
    if rest:
        entries["other or none"] = Look(GREY, "o")
    if not entries:
        return
    handles = [
        axes.plot([], [], linestyle="", color=look.colour, marker=look.marker, markersize=4.5, markeredgewidth=0)[0]
        for look in entries.values()
    ]
    legend_below(figure, handles, list(entries))
