"""The tables of a run, each made from its result records and saved under `tables/`; no model is needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from semcse import published
from semcse.evaluation import HEADLINE, measured_models, missing_models
from semcse.performance import LOWER_IS_BETTER, performance
from semcse.records import read_records, score_table
from semcse.schema import SciRepEval
from semcse.scirepeval.aggregate import aggregate, task_scores
from semcse.scirepeval.results import scirepeval_results, scirepeval_settings
from semcse.tables import Better, Table, beside_paper, write_table

Run = str | os.PathLike[str]
COLUMNS = {
    "title_abstract": "title_abstract",
    "abstract_segments": "abstract_segments",
    "query_matching": "query",
    "clustering": "clustering",
}
"""Our task: the paper's column of Table 1."""
BETTER: dict[str, Better] = {
    **{column: "lower" if column in LOWER_IS_BETTER else "higher" for column in COLUMNS.values()},
    "perf": "higher",
}
DECIMALS = {"title_abstract": 2, "abstract_segments": 2, "query": 2, "clustering": 3, "perf": 3}
LENGTHS = {"title_and_abstract": 1.542, "title": 3.0, "abstract": 1.801}
"""Mean rank among 900 papers that section 5.1 reports for each form of the paper."""


def benchmark_table(run: Run) -> Table:
    """The run's Table 1: four tasks with intervals and the Perf. score relative to the models in it."""
    records = [r for r in read_records(run) if r["task"] in COLUMNS and r["model"] in measured_models(run)]
    scores = score_table(records, HEADLINE).rename(columns=COLUMNS).reindex(measured_models(run))
    scores["perf"] = performance(scores) if len(scores) > 1 else np.nan
    frame = scores.join(_intervals(records)).reindex([*scores.index, *missing_models(run)])
    return write_table(
        frame.rename_axis("model").dropna(axis="columns", how="all"),
        Path(run) / "tables",
        "benchmark",
        better={column: way for column, way in BETTER.items() if frame[column].notna().any()},
        decimals=DECIMALS,
        intervals={c: (f"{c}_low", f"{c}_high") for c in COLUMNS.values() if frame[c].notna().any()},
        caption="Semantic benchmark of this run (as Table 1)",
        notes=["Perf. is relative to the models of this table; brackets are 95 % bootstrap intervals."],
    )


def paper_benchmark_table(run: Run) -> Table:
    """Our models above the paper's twelve, each on its own benchmark papers."""
    ours = benchmark_table(run).frame.reindex(columns=[*COLUMNS.values()])
    paper = published.table1().set_index("model").reindex(columns=[*COLUMNS.values()])
    return write_table(
        beside_paper(ours, paper),
        Path(run) / "tables",
        "benchmark_beside_paper",
        decimals=3,
        caption="This run beside the paper's Table 1",
        notes=["The benchmarks hold different papers: compare orders within a column, not values across."],
    )


def metrics_table(run: Run) -> Table:
    """Headline scores of each model under both metrics; `metric` is the model's own."""
    rows: dict[str, dict[str, Any]] = {}
    for record in read_records(run):
        if record["task"] in COLUMNS and record["model"] in measured_models(run):
            own, column = record["scores"]["metric"], COLUMNS[record["task"]]
            row = rows.setdefault(record["model"], {"metric": own})
            values = {own: record["scores"][HEADLINE[record["task"]]], **record["also"]}
            row |= {f"{column} ({metric})": value for metric, value in sorted(values.items())}
    frame = pd.DataFrame.from_dict(rows, orient="index").reindex(measured_models(run)).rename_axis("model")
    order = [c for column in COLUMNS.values() for c in frame.columns if c.startswith(f"{column} (")]
    return write_table(frame[["metric", *order]], Path(run) / "tables", "metrics", decimals=3)


def length_table(run: Run) -> Table:
    """Section 5.1: mean rank of a summary's paper, given as title and abstract, title, or abstract."""
    rows: dict[str, dict[str, float]] = {"SemCSE (paper, 900 papers)": LENGTHS}
    found = {(r["model"], r["task"]): r["scores"]["mean_rank"] for r in read_records(run)}
    for model in measured_models(run):
        rows[model] = {name: found[model, f"length_{name}"] for name in LENGTHS if (model, f"length_{name}") in found}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(LENGTHS)).rename_axis("model")
    notes = ["The paper ranks among 900 validation papers, a run among its own."]
    return write_table(frame, Path(run) / "tables", "length_study", notes=notes)


def scirepeval_table(run: Run, settings: SciRepEval | None = None) -> Table:
    """Table 2: type averages of every model that has all tasks; the others are named in a footnote."""
    individual = scirepeval_results(run, settings or scirepeval_settings(run))
    whole = task_scores(individual, partial=True).notna().all(axis=1)
    frame = aggregate(individual[individual["model"].isin(whole.index[whole])])
    partial = [f"{name} lacks tasks and has no averages." for name in whole.index[~whole]]
    better: dict[str, Better] = dict.fromkeys(frame.columns, "higher")
    caption = "SciRepEval averages (as Table 2)"
    return write_table(frame, Path(run) / "tables", "scirepeval", better=better, caption=caption, notes=partial)


def geometry_table(run: Run) -> Table:
    """Measures of the embedding spaces of base and trained models (notebook 07)."""
    records = {record["model"]: record["scores"] for record in read_records(run, "geometry")}
    frame = pd.DataFrame.from_dict(records, orient="index").drop(columns="explained_variance")
    order = [name for name in measured_models(run) if name in frame.index]
    return write_table(frame.loc[order].rename_axis("model"), Path(run) / "tables", "geometry", decimals=3)


def _intervals(records: list[dict[str, Any]]) -> pd.DataFrame:
    rows: dict[str, dict[str, float]] = {}
    for record in records:
        column = COLUMNS[record["task"]]
        low, high = record["scores"][f"{HEADLINE[record['task']]}_interval"]
        rows.setdefault(record["model"], {}).update({f"{column}_low": low, f"{column}_high": high})
    return pd.DataFrame.from_dict(rows, orient="index")


TABLES: Mapping[str, list[Any]] = {
    "benchmarks": [benchmark_table, paper_benchmark_table, metrics_table, length_table],
    "scirepeval": [scirepeval_table],
    "pca": [geometry_table],
}
"""The tables of each stage."""
