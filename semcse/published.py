"""The numbers printed in the paper (arXiv 2507.13105), as data frames in the columns of the shipped CSVs."""

from importlib.resources import files

import pandas as pd

PAPER_MODEL = "SemCSE"


def table1() -> pd.DataFrame:
    """Table 1, the semantic benchmark: 12 models by mean rank (three tasks), neighbour purity and Perf. score."""
    return _read("paper_table1.csv")


def table2() -> pd.DataFrame:
    """Table 2, SciRepEval: 12 models by four type averages and the average over 23 tasks."""
    return _read("paper_table2.csv")


def table3() -> pd.DataFrame:
    """Table 3, the ablations: training variants by SciRepEval averages and the four semantic tasks."""
    return _read("paper_table3.csv")


def individual() -> pd.DataFrame:
    """Tables 4-7, SciRepEval task by task: 11 models x 36 metrics as rows `table, type, task, metric, model, value`."""
    return _read("paper_scirepeval_individual.csv")


def _read(name: str) -> pd.DataFrame:
    with files("semcse").joinpath("published", name).open(encoding="utf-8") as handle:
        return pd.read_csv(handle)
