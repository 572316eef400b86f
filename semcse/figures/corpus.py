"""What the papers and their summaries look like (notebooks 01 and 02)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from semcse.figures.style import COLOURS, COLUMN, GREY, PAGE, check_columns, grid, new_figure, styled

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


@styled
def summary_lengths(summaries: pd.DataFrame) -> Figure:
    """Length of the summaries after each prompt. `summaries` has the columns prompt (a short name) and words."""
    check_columns(summaries, "prompt", "words")
    return _boxes(summaries, "words", "words in the summary")


@styled
def summary_overlap(summaries: pd.DataFrame) -> Figure:
    """How much of each summary comes from the abstract. `summaries` has prompt and overlap (a share, 0 to 1)."""
    check_columns(summaries, "prompt", "overlap")
    figure = _boxes(summaries, "overlap", "overlap with the abstract")
    figure.axes[0].set_xlim(-0.02, 1.02)
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
    axes.set_yticks(places, [_shortened(str(name)) for name in counts.index])
    axes.set_ylim(rows - 0.4, -0.6)
    axes.set_xlim(0, counts.max() * 1.18)
    axes.set_title(title)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.spines["left"].set_bounds(len(counts) - 0.6, -0.4)


def _boxes(frame: pd.DataFrame, column: str, label: str) -> Figure:
    """Box plot by prompt, in the order of first appearance: quartiles, median, whiskers from 5 to 95 %."""
    prompts = list(dict.fromkeys(frame["prompt"]))
    values = [frame.loc[frame["prompt"] == prompt, column].dropna().to_numpy() for prompt in prompts]
    figure = new_figure(COLUMN, 0.26 * len(prompts) + 0.7)
    axes = figure.subplots()
    axes.boxplot(
        values,
        orientation="horizontal",
        whis=(5, 95),
        showfliers=False,
        patch_artist=True,
        widths=0.6,
        boxprops={"facecolor": COLOURS[5], "linewidth": 0.6},
        medianprops={"color": "black", "linewidth": 1.2},
    )
    axes.set_yticks(np.arange(1, len(prompts) + 1), [_shortened(str(prompt)) for prompt in prompts])
    axes.invert_yaxis()
    axes.set_xlabel(label)
    grid(axes, "x")
    return figure


def _shortened(name: str, limit: int = 34) -> str:
    return name if len(name) <= limit else name[: limit - 1].rstrip() + "…"
