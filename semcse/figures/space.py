"""The embedding space as pictures: t-SNE panels (Figure 1), explained variance (Figure 2), and its measures."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from semcse.figures.style import (
    COLUMN,
    GREY,
    PAGE,
    PAGE_HEIGHT,
    Look,
    check_columns,
    field_looks,
    grid,
    legend_below,
    looks,
    new_figure,
    styled,
)

Points = NDArray[np.floating]


@styled
def tsne_panels(panels: Mapping[str, Points], fields: Sequence[str | None], most: int = 21) -> Figure:
    """The same papers before and after training, a panel a model, coloured by field, one legend (Figure 1).

    `panels` maps a title to points (N, 2), aligned beforehand if wanted (`projection.procrustes`); `fields`
    (N,) are the papers' fields. Beyond the `most` common fields, and without a field (None), points are small
    and grey.
    """
    names = pd.Series(list(fields), dtype=object)
    for title, points in panels.items():
        if points.shape != (len(names), 2):
            raise ValueError(
                f"panel {title!r} has shape {points.shape}, expected ({len(names)}, 2) as there are fields"
            )
    shown = sorted(str(name) for name in names.value_counts().index[:most])
    style: dict[str, Look] = {str(name): look for name, look in field_looks(shown).items()}
    across = 2 if len(panels) in (2, 4) else min(3, len(panels))
    down = -(-len(panels) // across)
    width = PAGE if across > 1 else 4.5
    legend = 0.16 * -(-len(shown) // 4) + 0.15
    fits = ((PAGE_HEIGHT - legend) / down - 0.2) / (width / across)
    shape = min(_panel_shape(panels.values()), fits)
    figure = new_figure(width, (width / across * shape + 0.2) * down + legend)
    axes_list = figure.subplots(down, across, squeeze=False).ravel()
    for axes, (title, points) in zip(axes_list, panels.items(), strict=False):
        _scatter(axes, points, names, style, 18_000 / len(points) / across)
        axes.set_box_aspect(shape)
        axes.set_title(title)
    for axes in axes_list[len(panels) :]:
        axes.remove()
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


def _panel_shape(panels: Iterable[Points]) -> float:
    """Height over width that suits all panels, so that little of the page stays empty."""
    return float(np.clip(max(np.ptp(points[:, 1]) / np.ptp(points[:, 0]) for points in panels), 0.6, 1.2))


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


def _field_legend(figure: Figure, axes: Axes, style: Mapping[str, Look], rest: bool) -> None:
    entries = dict(style)
    if rest:
        entries["other or none"] = Look(GREY, "o")
    if not entries:
        return
    handles = [
        axes.plot([], [], linestyle="", color=look.colour, marker=look.marker, markersize=4.5, markeredgewidth=0)[0]
        for look in entries.values()
    ]
    legend_below(figure, handles, list(entries))
