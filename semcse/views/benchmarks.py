"""Notebook 04: the semantic benchmark (Table 1, section 5.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from semcse import published
from semcse.figures import benchmark
from semcse.performance import LOWER_IS_BETTER, performance, placed_performance
from semcse.records import read_records, score_table
from semcse.stored import HEADLINE, measured_models, missing_models, trained_models
from semcse.tables import Better, Table, beside_paper, write_table
from semcse.transfer import domain_table
from semcse.views.registry import Run, picture, table

TASKS = {
    "title_abstract": "title – abstract",
    "abstract_segments": "abstract segments",
    "query_matching": "query",
    "clustering": "clustering",
}
MOST_FIELDS = 25
"""Fields shown in a confusion map, the most frequent ones."""
COLUMNS = {
    "title_abstract": "title_abstract",
    "abstract_segments": "abstract_segments",
    "query_matching": "query",
    "clustering": "clustering",
}
"""Our task: the paper's column of Table 1."""
BETTER: dict[str, Better] = {
    **{column: "lower" if LOWER_IS_BETTER[column] else "higher" for column in COLUMNS.values()},
    "perf": "higher",
}
DECIMALS = {"title_abstract": 2, "abstract_segments": 2, "query": 2, "clustering": 3, "perf": 3}
DOMAIN_TASKS = {task: TASKS[task] for task in ("title_abstract", "abstract_segments")}
LENGTHS = {"title_and_abstract": 1.542, "title": 3.0, "abstract": 1.801}
"""Mean rank among 900 papers that section 5.1 reports for each form of the paper."""


@table("benchmarks")
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
        notes=[
            "Perf. is relative to the models of this table; brackets are 95 % bootstrap intervals.",
            *_recall_note(records),
        ],
    )


@table("benchmarks")
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


@table("benchmarks")
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


@table("benchmarks")
def length_table(run: Run) -> Table:
    """Section 5.1: mean rank of a summary's paper, given as title and abstract, title, or abstract."""
    rows: dict[str, dict[str, float]] = {"SemCSE (paper, 900 papers)": LENGTHS}
    found = {
        (r["model"], r["task"]): r["scores"]["mean_rank"] for r in read_records(run) if r["task"].startswith("length_")
    }
    for model in measured_models(run):
        rows[model] = {name: found[model, f"length_{name}"] for name in LENGTHS if (model, f"length_{name}") in found}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(LENGTHS)).rename_axis("model")
    notes = ["The paper ranks among 900 validation papers, a run among its own."]
    return write_table(frame, Path(run) / "tables", "length_study", notes=notes)


@table("benchmarks")
def placed_table(run: Run) -> Table:
    """Perf. twice: among the models of this run, and on the scale of the paper's twelve (their best and median)."""
    records = [r for r in read_records(run) if r["task"] in COLUMNS and r["model"] in measured_models(run)]
    scores = score_table(records, HEADLINE).rename(columns=COLUMNS).reindex(measured_models(run))
    frame = pd.DataFrame(
        {
            "Perf. among these models": performance(scores) if len(scores) > 1 else np.nan,
            "Perf. on the paper's scale": placed_performance(scores),
        }
    )
    return write_table(
        frame.rename_axis("model"),
        Path(run) / "tables",
        "performance",
        better=dict.fromkeys(frame.columns, "higher"),
        decimals=3,
        notes=["The paper's scale means something for scores on the paper's own 6,000 + 21,252 papers only."],
    )


@table("benchmarks")
def variants_table(run: Run) -> Table:
    """The models trained in this run and the rows of the paper's Table 3, by variant and number of training papers."""
    trained = {model["name"]: model for model in trained_models(run)}
    records = [r for r in read_records(run) if r["task"] in COLUMNS and r["model"] in trained]
    ours = score_table(records, HEADLINE).rename(columns=COLUMNS).reindex(list(trained))
    sizes = pd.Series({name: f"{model['papers']:,}" for name, model in trained.items() if "papers" in model}, dtype=str)
    ours = ours.assign(papers=sizes.reindex(ours.index), source="this run").rename_axis("variant").reset_index()
    paper = published.table3().rename(columns={"dataset_size": "papers"}).assign(source="paper")
    columns = ["source", "papers", *COLUMNS.values()]
    return write_table(
        pd.concat([ours, paper], ignore_index=True).set_index("variant")[columns],
        Path(run) / "tables",
        "variants",
        decimals=DECIMALS,
        caption="Training variants (as Table 3)",
        notes=["Each on its own benchmark papers: compare orders within a source. Sweeps are compared in notebook 08."],
    )


@table("benchmarks")
def domains_table(run: Run) -> Table | None:
    """Mean ranks by domain in pools of one size, a column a model and task; None where there is one domain only."""
    table = _domain_scores(run)
    if table.empty:
        return None
    wide = table.pivot(index="domain", columns=["task", "model"], values="mean_rank")[list(DOMAIN_TASKS)]
    pairs: list[tuple[str, str]] = list(wide.columns)  # type: ignore[arg-type]
    wide.columns = pd.Index([f"{DOMAIN_TASKS[task]}: {model}" for task, model in pairs])
    wide = wide.loc[list(dict.fromkeys(table["domain"]))]
    wide.loc["all domains"] = wide.mean()
    return write_table(
        wide,
        Path(run) / "tables",
        "domains",
        caption=f"Mean rank by domain, pools of {table['pool'].max()} papers",
    )


@picture("benchmarks")
def domain_comparison(run: Run) -> Figure | None:
    """Mean ranks by domain for every model; None where there is one domain only."""
    table = _domain_scores(run)
    return None if table.empty else benchmark.domain_comparison(table)


@picture("benchmarks")
def benchmark_comparison(run: Run) -> Figure:
    """Every model on the four tasks, with bootstrap intervals."""
    rows = [
        {
            "task": TASKS[record["task"]],
            "model": record["model"],
            "value": record["scores"][HEADLINE[record["task"]]],
            **dict(zip(("low", "high"), record["scores"][f"{HEADLINE[record['task']]}_interval"], strict=True)),
        }
        for record in _benchmark_records(run)
    ]
    lower = [TASKS[task] for task in TASKS if HEADLINE[task] == "mean_rank"]
    return benchmark.model_comparison(pd.DataFrame(rows), lower)


@picture("benchmarks")
def rank_histograms(run: Run) -> Figure:
    """Shares of ranks in growing bins for each matching task and model."""
    parts = [
        pd.DataFrame({"task": TASKS[r["task"]], "model": r["model"], "rank": r["scores"]["ranks"]})
        for r in _benchmark_records(run)
        if "ranks" in r["scores"]
    ]
    return benchmark.rank_histograms(pd.concat(parts, ignore_index=True))


@picture("benchmarks")
def field_confusion(run: Run) -> Figure | None:
    """Fields among the neighbours of each field's papers, for the run's own model; None without clustering papers."""
    name = trained_models(run)[0]["name"]
    found = [r for r in _benchmark_records(run) if (r["task"], r["model"]) == ("clustering", name)]
    if not found:
        return None
    confusion = found[0]["scores"]["confusion"]
    counts = pd.DataFrame(confusion["counts"], index=confusion["labels"], columns=confusion["labels"], dtype=float)
    asked = counts[counts.sum(axis=1) > 0]
    most = asked.sum(axis=1).nlargest(MOST_FIELDS).index
    shares = asked.div(asked.sum(axis=1), axis="index")
    return benchmark.field_confusion(shares.reindex(index=most, columns=most))


def _domain_scores(run: Run) -> pd.DataFrame:
    found = {record["model"]: record["scores"] for record in read_records(run, "domains")}
    return domain_table({name: found[name] for name in measured_models(run) if name in found})


def _benchmark_records(run: Run) -> list[dict[str, Any]]:
    """Records of the four tasks, in the order in which notebook 04 measured the models."""
    order = measured_models(run)
    records = [r for r in read_records(run) if r["task"] in TASKS and r["model"] in order]
    return sorted(records, key=lambda r: (order.index(r["model"]), list(TASKS).index(r["task"])))


def _intervals(records: list[dict[str, Any]]) -> pd.DataFrame:
    rows: dict[str, dict[str, float]] = {}
    for record in records:
        column = COLUMNS[record["task"]]
        low, high = record["scores"][f"{HEADLINE[record['task']]}_interval"]
        rows.setdefault(record["model"], {}).update({f"{column}_low": low, f"{column}_high": high})
    return pd.DataFrame.from_dict(rows, orient="index")


def _recall_note(records: list[dict[str, Any]]) -> list[str]:
    """What share of neighbours an approximate search found in each model, if there was one."""
    searches = {r["model"]: r["scores"]["search"] for r in records if "search" in r["scores"]}
    found = [f"{model} {search['recall']:.3f}" for model, search in searches.items() if "recall" in search]
    return [f"Clustering neighbours by faiss; recall against the exact search: {', '.join(found)}."] if found else []
