"""SciRepEval as pictures: how well the printed averages follow from the printed scores, and two models compared."""

from typing import cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from semcse.figures.style import COLOURS, GREY, PAGE, check_columns, grid, legend_below, new_figure, readable, styled

TYPE_COLOURS = dict(zip(("classification", "regression", "proximity", "search"), COLOURS, strict=False))


@styled
def table_residuals(printed: pd.DataFrame, recomputed: pd.DataFrame, rounding: float = 0.005) -> Figure:
    """Recomputed minus printed value, a row a model, a panel a column, with the band that rounding explains (Table 2).

    Both tables have models as index and the same columns; models and columns in only one of them are not
    drawn.
    """
    models = [model for model in printed.index if model in recomputed.index]
    columns = [column for column in printed.columns if column in recomputed.columns]
    if not models or not columns:
        raise ValueError("the two tables have no model and column in common")
    difference = recomputed.loc[models, columns].astype(float) - printed.loc[models, columns].astype(float)
    widest = max(float(np.nanmax(np.abs(difference.to_numpy()))), rounding) * 1.25
    figure = new_figure(PAGE, 0.17 * len(models) + 0.8)
    panels = figure.subplots(1, len(columns), sharex=True, sharey=True, squeeze=False)[0]
    for axes, column in zip(panels, columns, strict=True):
        axes.axvspan(-rounding, rounding, color="#E6E6E6", linewidth=0)
        axes.axvline(0, color=GREY, linewidth=0.6)
        axes.plot(difference[column], range(len(models)), "o", color=TYPE_COLOURS.get(column, "black"), markersize=3.5)
        axes.set(title=readable(column), xlim=(-widest, widest))
        axes.locator_params(axis="x", nbins=3)
        grid(axes, "y")
    panels[0].set_yticks(range(len(models)), [str(model) for model in models])
    panels[0].set_ylim(len(models) - 0.5, -0.5)
    figure.supxlabel("recomputed − printed (grey: explained by rounding)", fontsize=8)
    return figure


@styled
def task_differences(
    individual: pd.DataFrame, model: str, baseline: str, averages: pd.DataFrame | None = None
) -> Figure:
    """Score of `model` minus that of `baseline` for every task and metric, grouped by task type.

    `individual` has the tidy columns type, task, metric, model, value. `averages`, the result of `aggregate`
    (models as index, types as columns), adds each type's difference as a diamond. Rows that one of the two
    lacks are left out.
    """
    check_columns(individual, "type", "task", "metric", "model", "value")
    wide = individual.pivot_table(index=["type", "task", "metric"], columns="model", values="value", sort=False)
    absent = [name for name in (model, baseline) if name not in wide.columns]
    if absent:
        raise ValueError(f"no scores for {absent}; there are: {', '.join(map(str, wide.columns))}")
    difference = (wide[model] - wide[baseline]).dropna()
    kinds = list(dict.fromkeys(difference.index.get_level_values("type")))
    sizes = [len(difference.loc[kind]) + 1 for kind in kinds]
    figure = new_figure(PAGE, 0.15 * sum(sizes) + 0.8)
    panels = figure.subplots(len(kinds), 1, sharex=True, squeeze=False, height_ratios=sizes)[:, 0]
    for axes, kind in zip(panels, kinds, strict=True):
        short = str(kind).removeprefix("adhoc_")
        mean = _type_difference(averages, model, baseline, short)
        _difference_bars(axes, cast(pd.Series, difference.loc[kind]), short, mean)
    panels[-1].set_xlabel(f"{model} − {baseline}, points")
    if averages is not None:
        mark = panels[0].plot([], [], "D", color="black", markersize=4)
        legend_below(figure, mark, ["difference of the type's average"])
    return figure


def _type_difference(averages: pd.DataFrame | None, model: str, baseline: str, kind: str) -> float | None:
    if averages is None:
        return None
    return float(averages.loc[model, kind] - averages.loc[baseline, kind])  # type: ignore[operator, arg-type]


def _difference_bars(axes: Axes, values: pd.Series, kind: str, mean: float | None) -> None:
    names = [f"{task}: {metric}" for task, metric in values.index]
    places = np.arange(len(values))
    axes.barh(places, values, color=TYPE_COLOURS.get(kind, GREY), height=0.7)
    axes.axvline(0, color="black", linewidth=0.6)
    if mean is not None:
        names.append("average")
        axes.plot(mean, len(values), "D", color="black", markersize=4)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_title(kind, loc="left", fontweight="bold")
    grid(axes, "x")
