"""Notebook 05: SciRepEval (Table 2, Tables 4-7)."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from semcse import published
from semcse.figures import scirepeval as figures
from semcse.scirepeval.aggregate import aggregate, task_scores
from semcse.scirepeval.results import scirepeval_results, scirepeval_settings
from semcse.tables import Better, Table, write_table
from semcse.views.registry import Run, picture, table


@table("scirepeval")
def scirepeval_table(run: Run) -> Table:
    """Table 2: type averages of every model that has all tasks; the others are named in a footnote."""
    individual = scirepeval_results(run, scirepeval_settings(run))
    whole = task_scores(individual, partial=True).notna().all(axis=1)
    frame = aggregate(individual[individual["model"].isin(whole.index[whole])])
    partial = [f"{name} lacks tasks and has no averages." for name in whole.index[~whole]]
    better: dict[str, Better] = dict.fromkeys(frame.columns, "higher")
    caption = "SciRepEval averages (as Table 2)"
    return write_table(frame, Path(run) / "tables", "scirepeval", better=better, caption=caption, notes=partial)


@picture("scirepeval")
def table2_residuals(run: Run) -> Figure:
    """The paper's Table 2, recomputed from Tables 4-7, minus the printed one."""
    printed = published.table2().set_index("model").drop(columns="parameters")
    return figures.table_residuals(printed, aggregate(published.individual()))


@picture("scirepeval")
def task_differences(run: Run) -> Figure:
    """Task by task, one model against another, as the parameters of notebook 05 say."""
    settings = scirepeval_settings(run)
    model, baseline = settings.compare
    individual = scirepeval_results(run, settings)
    pair = individual[individual["model"].isin([model, baseline])]
    return figures.task_differences(pair, model, baseline, aggregate(pair))
