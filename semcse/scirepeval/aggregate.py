"""From the results of single tasks to the paper's Table 2, and Tables 4-7 as wide views.

Results travel as tidy rows with the columns of the paper's CSV: `table, type, task, metric, model, value`. Only `task`,
`metric`, `model` and `value` are needed; `mode` (official or modern) may be there and must not be mixed.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from semcse import published
from semcse.scirepeval import tasks as task_table

AVERAGES = {
    "classification": "classification",
    "regression": "regression",
    "proximity": "proximity",
    "search": "adhoc_search",
}
_NEEDED = ("task", "metric", "model", "value")
_HEADINGS = {
    "f1": "F1",
    "f1_macro": "F1",
    "kendalltau": "Kendall's τ",
    "map": "MAP",
    "ndcg": "nDCG",
    "b3_f1": "B³ F1",
    "hard_P_10": "P@10 h",
    "hard_P_5": "P@5 h",
    "soft_P_10": "P@10 s",
    "soft_P_5": "P@5 s",
}


def aggregate(individual: pd.DataFrame, s2and: bool = True) -> pd.DataFrame:
    """The averages of Table 2: one row a model, columns `classification, regression, proximity, search, average`.

    A type average is the mean of its task scores, `average` the mean over all 23 tasks (22 with `s2and=False`).
    The order of the rows does not matter; models appear in the paper's order, others behind them by name.

    Raises ValueError for missing, doubled, unknown or non-finite cells, listing each, and for mixed modes.
    """
    scores = task_scores(individual, s2and=s2and)
    kinds = task_table.task_types(s2and)
    columns = {
        name: scores[[task for task in scores.columns if kinds[task] == kind]].mean(axis=1)
        for name, kind in AVERAGES.items()
    }
    return pd.DataFrame({**columns, "average": scores.mean(axis=1)}).rename_axis(index="model", columns=None)


def task_scores(individual: pd.DataFrame, s2and: bool = True, partial: bool = False) -> pd.DataFrame:
    """One score for each model (row) and task (column).

    The mean of the task's metrics; with few-shot results half of that mean and half of the mean of the few-shot values.
    Incomplete results are refused; with `partial` a task that lacks any of its metrics is NaN instead.
    """
    values = _expected(individual, s2and) if partial else complete(individual, s2and=s2and)
    scores = {task: _task_score(values, task) for task in task_table.task_types(s2and)}
    return pd.DataFrame(scores).rename_axis(index="model", columns="task")


def complete(individual: pd.DataFrame, s2and: bool = True) -> pd.DataFrame:
    """All results as a table with one row a model and columns (task, metric), in table order.

    Raises ValueError unless every model has every cell exactly once and finite.
    """
    wide = _expected(individual, s2and)
    gaps = [f"{model}: {task} {metric}" for model, row in wide.iterrows() for task, metric in row.index[row.isna()]]
    _refuse("missing cells", gaps, "evaluate these tasks, or leave the model out; no average is taken over a part")
    return wide


def paper_table(
    individual: pd.DataFrame, table: int, names: Iterable[str] | None = None, headings: bool = True
) -> pd.DataFrame:
    """Table 4, 5, 6 or 7 of the paper as a wide view: models by (task, metric); what is missing stays NaN.

    `names` keeps these models, in this order. With `headings` the metrics carry the paper's column headings.
    """
    kinds = {number: kind for kind, number in task_table.PAPER_TABLES.items()}
    if table not in kinds:
        raise ValueError(f"expected one of the tables {sorted(kinds)}, got {table!r}")
    types = task_table.task_types()
    columns = [cell for cell in task_table.cells() if types[cell[0]] == kinds[table]]
    wide = _pivot(individual).reindex(columns=pd.MultiIndex.from_tuples(columns, names=["task", "metric"]))
    wide = wide if names is None else wide.loc[list(names)]
    return wide.rename(columns=_heading, level="metric") if headings else wide


def differences(individual: pd.DataFrame, model: str, reference: str, s2and: bool = True) -> pd.DataFrame:
    """Score of `model` minus score of `reference` by task: rows `task, type, difference`, in table order.

    Only tasks that both have in full are there; with all of them there, `aggregate` gives the averages to go with it.
    """
    scores = task_scores(individual, s2and=s2and, partial=True)
    missing = sorted({model, reference} - set(scores.index))
    _refuse("models without results", missing, f"choose from {list(scores.index)}")
    gain = (scores.loc[model] - scores.loc[reference]).dropna()
    kinds = task_table.task_types(s2and)
    return pd.DataFrame(
        {"task": gain.index, "type": [kinds[task] for task in gain.index], "difference": gain.to_numpy()}
    )


def _task_score(wide: pd.DataFrame, task: str) -> pd.Series:
    """Score of one task from its metric columns; NaN where any metric is missing."""
    values = wide.loc[:, [cell for cell in wide.columns if cell[0] == task]].droplevel("task", axis=1)
    few = [metric for metric in values.columns if "(fs-" in metric]
    score = values.drop(columns=few).mean(axis=1, skipna=False)
    return (score + values[few].mean(axis=1, skipna=False)) / 2 if few else score


def _expected(individual: pd.DataFrame, s2and: bool) -> pd.DataFrame:
    """All results, one row a model, exactly the expected columns (task, metric); missing cells are NaN."""
    wide = _pivot(individual)
    known = {f"{task} {metric}" for task, metric in task_table.cells()}
    found = [" ".join(cell) for cell in wide.columns.to_flat_index()]
    _refuse("unknown cells", [name for name in found if name not in known], "drop these rows")
    columns = pd.MultiIndex.from_tuples(task_table.cells(s2and=s2and), names=["task", "metric"])
    return wide.reindex(columns=columns)


def _pivot(individual: pd.DataFrame) -> pd.DataFrame:
    rows = _checked(individual)
    wide = rows.pivot(index="model", columns=["task", "metric"], values="value")
    return wide.reindex(_model_order(wide.index))


def _checked(individual: pd.DataFrame) -> pd.DataFrame:
    absent = [column for column in _NEEDED if column not in individual.columns]
    _refuse("missing columns", absent, f"results need the columns {', '.join(_NEEDED)}")
    if individual.empty:
        raise ValueError("there are no results to aggregate: the table has no rows")
    modes = sorted(individual["mode"].fillna("official").unique()) if "mode" in individual else []
    if len(modes) > 1:
        raise ValueError(f"results of the modes {modes} cannot share a table; aggregate each mode by itself")
    rows = individual.assign(value=pd.to_numeric(individual["value"]).astype(float))
    names = rows["model"].astype(str) + ": " + rows["task"].astype(str) + " " + rows["metric"].astype(str)
    doubled = names[rows.duplicated(["model", "task", "metric"])]
    _refuse("doubled cells", sorted(set(doubled)), "keep one row for each model, task and metric")
    _refuse("infinite values", sorted(names[np.isinf(rows["value"])]), "correct them")
    return rows


def _model_order(models: Iterable[str]) -> list[str]:
    paper = list(dict.fromkeys(published.individual()["model"]))
    return sorted(models, key=lambda name: (paper.index(name) if name in paper else len(paper), str(name)))


def _heading(metric: str) -> str:
    name, _, few = metric.partition(" (")
    return f"{_HEADINGS[name]} ({few}" if few else _HEADINGS[name]


def _refuse(what: str, cells: Iterable[str], remedy: str) -> None:
    listed = list(cells)
    if listed:
        raise ValueError(f"{len(listed)} {what}: {'; '.join(listed)}. What to do: {remedy}.")
