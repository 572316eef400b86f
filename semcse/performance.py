"""The Perf. score of Table 1, which puts the four tasks of the semantic benchmark on one scale (section 5.2)."""

import pandas as pd

from semcse import published

LOWER_IS_BETTER = {"title_abstract": True, "abstract_segments": True, "query": True, "clustering": False}
"""The columns of Table 1: three mean ranks and the purity."""


def performance(table: pd.DataFrame, reference: pd.DataFrame | None = None) -> pd.Series:
    """The Perf. column of Table 1: per task 1 for the best model, 0.5 for the median, linear, clipped to [0, 1]; mean.

    Rows are models, columns at least `title_abstract`, `abstract_segments`, `query`, `clustering`. Best and median
    (of an even number the mean of the middle two) are those of the table's models, or of `reference` if given. A model
    that lacks a task has no score (NaN) and still counts in the tasks it has. Raises ValueError for a missing column.
    """
    pool = table if reference is None else reference
    for name, frame in (("table", table), ("reference", pool)):
        if missing := [column for column in LOWER_IS_BETTER if column not in frame]:
            raise ValueError(f"the {name} lacks {missing}; it has {list(frame.columns)}")
    scores = {
        column: _task_performance(table[column].astype(float), pool[column].astype(float), lower)
        for column, lower in LOWER_IS_BETTER.items()
    }
    return pd.DataFrame(scores, index=table.index).mean(axis=1, skipna=False).rename("perf")


def placed_performance(table: pd.DataFrame) -> pd.Series:
    """The Perf. score of new models on the paper's scale: best and median stay those of its 12 models (Table 1).

    Comparable only for scores from the paper's own benchmark data; better than the paper's best counts as best.
    """
    return performance(table, published.table1()).rename("perf_placed")


def _task_performance(values: pd.Series, pool: pd.Series, lower: bool) -> pd.Series:
    best, median = (pool.min() if lower else pool.max()), pool.median()
    if median == best:
        behind = values > best if lower else values < best
        alone: pd.Series = behind.map({True: 0.0, False: 1.0}).where(values.notna())
        return alone
    scores: pd.Series = (1 - 0.5 * (values - best) / (median - best)).clip(0, 1)
    return scores
