"""Notebook 05: SciRepEval (Table 2, Tables 4-7)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from semcse import published
from semcse.figures import scirepeval as figures
from semcse.scirepeval.aggregate import aggregate, paper_table, task_scores
from semcse.scirepeval.results import scirepeval_outcomes, scirepeval_results, scirepeval_settings
from semcse.scirepeval.tasks import S2AND
from semcse.tables import Table, write_table
from semcse.views.registry import Run, picture, table

KINDS = {4: "classification", 5: "regression", 6: "proximity", 7: "ad-hoc search"}


@table("scirepeval")
def outcomes(run: Run) -> Table | None:
    """What our evaluator met task by task, papers without text or embedding included, and every task that failed."""
    frame = scirepeval_outcomes(run, scirepeval_settings(run))
    if frame.empty:
        return None
    caption = "SciRepEval tasks scored here, and those that failed"
    return write_table(frame.set_index("model"), Path(run) / "tables", "scirepeval_outcomes", caption=caption)


@table("scirepeval")
def table_4(run: Run) -> Table:
    """Table 4: classification."""
    return _individual(run, 4)


@table("scirepeval")
def table_5(run: Run) -> Table:
    """Table 5: regression."""
    return _individual(run, 5)


@table("scirepeval")
def table_6(run: Run) -> Table:
    """Table 6: proximity."""
    return _individual(run, 6)


@table("scirepeval")
def table_7(run: Run) -> Table:
    """Table 7: ad-hoc search."""
    return _individual(run, 7)


@table("scirepeval")
def scirepeval_table(run: Run) -> Table | None:
    """Table 2: type averages of every model that has all 23 tasks; the others are named in a footnote."""
    return _averages(run, s2and=True)


@table("scirepeval")
def scirepeval_table_without_s2and(run: Run) -> Table | None:
    """Table 2 over the 22 tasks that need no separate tool, for every model that has them."""
    return _averages(run, s2and=False)


@table("scirepeval")
def modern_table(run: Run) -> Table | None:
    """Task scores of our models in the mode `modern`, a column a model; nothing official is in this table."""
    individual = scirepeval_results(run, scirepeval_settings(run), "modern")
    if individual.empty:
        return None
    scores = task_scores(individual, s2and=False, partial=True)
    whole = scores.index[scores.notna().all(axis=1)]
    frame = scores.dropna(axis="columns", how="all").T.rename_axis("task")
    if len(whole):
        means = aggregate(individual[individual["model"].isin(whole)], s2and=False).T
        frame = pd.concat([frame, means.rename(index="average: {}".format)]).rename_axis("task")
    return write_table(
        frame,
        Path(run) / "tables",
        "scirepeval_modern",
        caption="SciRepEval, mode modern: solvers with intercept, each model's own metric",
        notes=["Not comparable with Table 2 or with any official result."],
    )


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
    return figures.task_differences(pair, model, baseline, _type_averages(pair))


def _individual(run: Run, number: int) -> Table:
    """Table 4, 5, 6 or 7 with imported and own results below the paper's; what a model lacks is a dash."""
    wide = paper_table(scirepeval_results(run, scirepeval_settings(run)), number)
    wide.columns = [" ".join(column) for column in wide.columns]
    return write_table(
        wide.dropna(how="all"),
        Path(run) / "tables",
        f"scirepeval_table{number}",
        better=dict.fromkeys(wide.columns, "higher"),
        caption=f"SciRepEval {KINDS[number]}, official protocol (as Table {number})",
    )


def _averages(run: Run, s2and: bool) -> Table | None:
    individual = scirepeval_results(run, scirepeval_settings(run))
    scores = task_scores(individual, s2and=s2and, partial=True)
    lacking = scores.isna().sum(axis=1)
    whole = individual["model"].isin(lacking.index[lacking == 0])
    if not whole.any():
        return None
    frame = aggregate(individual[whole], s2and=s2and)
    count = len(scores.columns)
    return write_table(
        frame,
        Path(run) / "tables",
        "scirepeval" if s2and else "scirepeval_without_s2and",
        better=dict.fromkeys(frame.columns, "higher"),
        caption=f"SciRepEval averages over {count} tasks, official protocol (as Table 2)",
        notes=[f"{name} lacks {n} of {count} tasks and has no averages." for name, n in lacking[lacking > 0].items()],
    )


def _type_averages(pair: pd.DataFrame) -> pd.DataFrame | None:
    """Averages over the tasks that both models have, if these are all 23 or all but S2AND."""
    for s2and in (True, False):
        if task_scores(pair, s2and=s2and, partial=True).notna().all(axis=None):
            return aggregate(pair if s2and else pair[pair["task"] != S2AND], s2and=s2and)
    return None
