"""The pictures of a run, each drawn from what its stages stored and saved under `figures/`; no model is needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from semcse import figures, published
from semcse.checkpoints import training_log
from semcse.evaluation import HEADLINE, measured_models, stored_models, trained_models
from semcse.quality import summary_measures
from semcse.records import read_points, read_records
from semcse.scirepeval.aggregate import aggregate
from semcse.scirepeval.results import scirepeval_results, scirepeval_settings
from semcse.splits import load_splits
from semcse.summaries import load_summaries

Run = str | os.PathLike[str]
Picture = Callable[[Run], Figure]
PICTURES: dict[str, list[Picture]] = {}
"""The pictures of each stage, in the order of definition."""
TASKS = {
    "title_abstract": "title – abstract",
    "abstract_segments": "abstract segments",
    "query_matching": "query",
    "clustering": "clustering",
}
MOST_FIELDS = 25
"""Fields shown in a confusion map, the most frequent ones."""


def picture(stage: str) -> Callable[[Picture], Picture]:
    """Register a picture with its stage and save it as `figures/<function's name>` whenever it is drawn."""

    def register(draw: Picture) -> Picture:
        @wraps(draw)
        def drawn(run: Run) -> Figure:
            figure = draw(run)
            figures.save(figure, Path(run) / "figures", draw.__name__)
            return figure

        PICTURES.setdefault(stage, []).append(drawn)
        return drawn

    return register


@picture("sampling")
def paper_counts(run: Run) -> Figure:
    """Papers per source and field."""
    return figures.paper_counts(_papers(run))


@picture("sampling")
def abstract_lengths(run: Run) -> Figure:
    """Histogram of words per abstract."""
    return figures.abstract_lengths(_papers(run))


def _papers(run: Run) -> pd.DataFrame:
    sets = load_splits(Path(run) / "papers").sets()
    papers: pd.DataFrame = pd.concat([papers.to_pandas() for papers in sets.values()], ignore_index=True)
    return papers.assign(words=[len(text.split()) for text in papers["abstract"]])


@picture("summaries")
def summary_lengths(run: Run) -> Figure:
    """Words per summary after each prompt."""
    return figures.summary_lengths(_summaries(run))


@picture("summaries")
def summary_overlap(run: Run) -> Figure:
    """Share of each summary that stands in its abstract."""
    return figures.summary_overlap(_summaries(run))


@picture("training")
def training_curves(run: Run) -> Figure:
    """Loss and validation scores of every model of the run, best checkpoints marked."""
    logs = {name: training_log(folder) for name, folder in _training_folders(run).items()}
    both = pd.concat([log.assign(run=name) for name, log in logs.items()])
    scores = both.dropna(subset="score")
    best = {
        name: int(log.loc[log["score"].idxmin(), "step"]) for name, log in logs.items() if log["score"].notna().any()
    }
    return figures.training_curves(
        both.dropna(subset="loss")[["run", "step", "loss"]],
        scores[["run", "step", "summary_rank", "paper_rank"]].rename(
            columns={"summary_rank": "rank of the other summary", "paper_rank": "rank of the paper"}
        ),
        best,
    )


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
    return figures.model_comparison(pd.DataFrame(rows), lower)


@picture("benchmarks")
def rank_histograms(run: Run) -> Figure:
    """Shares of ranks in growing bins for each matching task and model."""
    parts = [
        pd.DataFrame({"task": TASKS[r["task"]], "model": r["model"], "rank": r["scores"]["ranks"]})
        for r in _benchmark_records(run)
        if "ranks" in r["scores"]
    ]
    return figures.rank_histograms(pd.concat(parts, ignore_index=True))


@picture("benchmarks")
def field_confusion(run: Run) -> Figure:
    """Fields among the neighbours of each field's papers, for the run's own model."""
    name = trained_models(run)[0]["name"]
    (record,) = [r for r in _benchmark_records(run) if (r["task"], r["model"]) == ("clustering", name)]
    confusion = record["scores"]["confusion"]
    counts = pd.DataFrame(confusion["counts"], index=confusion["labels"], columns=confusion["labels"], dtype=float)
    asked = counts[counts.sum(axis=1) > 0]
    most = asked.sum(axis=1).nlargest(MOST_FIELDS).index
    shares = asked.div(asked.sum(axis=1), axis="index")
    return figures.field_confusion(shares.reindex(index=most, columns=most))


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


@picture("tsne")
def tsne(run: Run) -> Figure:
    """The clustering papers on a plane, a panel a model, coloured by field (Figure 1)."""
    points = {name: read_points(run, name) for name in stored_models(run)}
    fields = next(iter(points.values()))["field"].tolist()
    return figures.tsne_panels({name: plane[["x", "y"]].to_numpy() for name, plane in points.items()}, fields)


@picture("pca")
def explained_variance(run: Run) -> Figure:
    """Share of variance of each principal component (Figure 2)."""
    records = _geometry(run)
    return figures.explained_variance_curves(
        {name: np.array(scores["explained_variance"]) for name, scores in records.items()}
    )


@picture("pca")
def alignment_uniformity(run: Run) -> Figure:
    """Alignment against uniformity of the base and the trained models."""
    columns = ["alignment", "uniformity"]
    return figures.alignment_uniformity(pd.DataFrame.from_dict(_geometry(run), orient="index")[columns])


def _best_step(log: pd.DataFrame) -> int:
    steps: list[int] = log.sort_values("score", kind="stable")["step"].tolist()
    return steps[0]


def _summaries(run: Run) -> pd.DataFrame:
    splits = load_splits(Path(run) / "papers")
    papers = [*splits.training, *splits.validation]
    return summary_measures(load_summaries(Path(run) / "summaries"), papers)


def _training_folders(run: Run) -> dict[str, Path]:
    """Folders with a training log by model name: the run's own and its variants'."""
    folders = [Path(run), *sorted((Path(run) / "variants").glob("*"))]
    named = {folder.name if folder != Path(run) else _own_name(run): folder for folder in folders}
    return {name: folder for name, folder in named.items() if (folder / "training" / "log.jsonl").is_file()}


def _own_name(run: Run) -> str:
    variants = {path.name for path in (Path(run) / "variants").glob("*")}
    names = [path.stem.removeprefix("training-") for path in (Path(run) / "done").glob("training-*.json")]
    return next((name for name in names if name not in variants), "this run")


def _benchmark_records(run: Run) -> list[dict[str, Any]]:
    """Records of the four tasks, in the order in which notebook 04 measured the models."""
    order = measured_models(run)
    records = [r for r in read_records(run) if r["task"] in TASKS and r["model"] in order]
    return sorted(records, key=lambda r: (order.index(r["model"]), list(TASKS).index(r["task"])))


def _geometry(run: Run) -> dict[str, dict[str, Any]]:
    records = {record["model"]: record["scores"] for record in read_records(run, "geometry")}
    return {name: records[name] for name in stored_models(run)}
