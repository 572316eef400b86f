"""What the papers look like (notebook 01)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from semcse.figures.style import COLOURS, COLUMN, GREY, PAGE, check_columns, new_figure, shortened, styled

ROW = 0.165  # inches for a line of text beside a bar


@styled
def paper_counts(papers: pd.DataFrame, most: int = 25) -> Figure:
    """How many papers each source and each field has. `papers` has the columns source and field (None: not stated).

    Beyond the `most` common fields the others are counted together.
    """
    check_columns(papers, "source", "field")
    sources = papers["source"].value_counts()
    fields = _with_rest(papers["field"].astype(object).where(papers["field"].notna(), "(not stated)"), most)
    rows = max(len(sources), len(fields))
    figure = new_figure(PAGE, ROW * rows + 0.4)
    left, right = figure.subplots(1, 2)
    _count_bars(left, sources, f"papers by source ({len(sources)})", rows)
    _count_bars(right, fields, f"papers by field ({papers['field'].nunique()})", rows)
    return figure


@styled
def abstract_lengths(papers: pd.DataFrame, bins: int = 40) -> Figure:
    """Histogram of abstract lengths. `papers` has the columns source and words (words of the abstract).

    Sources beyond the six most common are drawn together. The dashed line is the median of all.
    """
    check_columns(papers, "source", "words")
    source = papers["source"].astype(str)
    common = list(source.value_counts().index[:6])
    groups = {name: papers.loc[source == name, "words"].to_numpy() for name in common}
    rest = papers.loc[~source.isin(common), "words"].to_numpy()
    if len(rest):
        groups["others"] = rest
    figure = new_figure(COLUMN, 2.3)
    axes = figure.subplots()
    colours = [*COLOURS[:6], GREY][: len(common)] + ([GREY] if len(rest) else [])
    axes.hist(list(groups.values()), bins=bins, stacked=True, color=colours, label=list(groups))
    median = float(papers["words"].median())
    axes.axvline(median, color="black", linestyle="--", linewidth=0.8, label=f"median {median:.0f}")
    axes.set(xlabel="words in the abstract", ylabel="papers")
    axes.legend(loc="upper right")
    return figure


def _with_rest(values: pd.Series, most: int) -> pd.Series:
    counts = values.value_counts()
    if len(counts) <= most:
        return counts
    rest = pd.Series({f"({len(counts) - most} others)": counts.iloc[most:].sum()})
    return pd.concat([counts.iloc[:most], rest])


def _count_bars(axes: Axes, counts: pd.Series, title: str, rows: int) -> None:
    places = np.arange(len(counts))
    bars = axes.barh(places, counts.to_numpy(), color=COLOURS[0], height=0.72)
    axes.bar_label(bars, labels=[f"{n:,}" for n in counts], padding=2, fontsize=6.5)
    axes.set_yticks(places, [shortened(str(name)) for name in counts.index])
    axes.set_ylim(rows - 0.4, -0.6)
    axes.set_xlim(0, counts.max() * 1.18)
    axes.set_title(title)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.spines["left"].set_bounds(len(counts) - 0.6, -0.4)
