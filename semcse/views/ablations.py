"""Notebook 08: the members of a sweep held against each other and against Table 3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from semcse import published
from semcse.figures import benchmark, training
from semcse.params import read
from semcse.performance import LOWER_IS_BETTER, performance
from semcse.readers import DataError
from semcse.records import read_records
from semcse.stored import HEADLINE
from semcse.sweep import REFERENCE
from semcse.tables import PAPER, Table, write_table
from semcse.views.benchmarks import BETTER, COLUMNS, DECIMALS, TASKS
from semcse.views.registry import Run, picture, table

ENDS = ("", PAPER)
LABELS = {column: TASKS[task] for task, column in COLUMNS.items()}
PAPER_SIZES = {"350K": 350_000, "175K": 175_000, "87.5K": 87_500, "35K": 35_000, "17.5K": 17_500, "8.75K": 8_750}
PAPER_SIZES |= {"3.5K": 3_500}
PAPER_VARIANTS = {"Just Summaries": "just-summaries", "Same Input": "same-input", "Cosine Similarity": "cosine"}


def members(run: Run) -> pd.DataFrame:
    """The sweep's members: ablation, seed, folder, done, problem (None where done)."""
    path = Path(run) / "sweep.json"
    if not path.is_file():
        raise DataError(f"{run}: not a sweep's folder (it has no sweep.json). Give one that `semcse sweep` made.")
    return pd.DataFrame(json.loads(path.read_text("utf-8"))["members"])


def member_scores(run: Run) -> pd.DataFrame:
    """The four headline scores of every finished member, with ablation, seed and number of training papers."""
    found = members(run)
    done = found.loc[found["done"], ["ablation", "seed", "folder"]]
    rows = [_scores(Path(run), *member) for member in done.itertuples(index=False, name=None)]
    if not rows:
        raise DataError(f"{run}: no member of the sweep is finished; see the problems in its sweep.json")
    return pd.DataFrame(rows)


@table("ablations")
def ablation_table(run: Run) -> Table:
    """Mean over seeds of every ablation, with the lowest and highest seed, and Perf. within the sweep."""
    scores = member_scores(run)
    grouped = scores.groupby("ablation", sort=False)
    frame = grouped[list(LABELS)].mean()
    frame["perf"] = performance(frame)
    frame["seeds"] = grouped.size()
    for column in LABELS:
        frame[f"{column}_low"], frame[f"{column}_high"] = grouped[column].min(), grouped[column].max()
    several = frame["seeds"].max() > 1
    return write_table(
        frame if several else frame[[*LABELS, "perf", "seeds"]],
        Path(run) / "tables",
        "ablations",
        better=BETTER,
        decimals=DECIMALS | {"seeds": 0},
        intervals={column: (f"{column}_low", f"{column}_high") for column in LABELS} if several else {},
        labels=LABELS,
        caption="Ablations of this sweep (as Table 3)",
        notes=["Means over seeds; brackets hold the lowest and the highest seed. Perf. is relative to this table."],
    )


@table("ablations")
def difference_table(run: Run) -> Table | None:
    """What each ablation changes against the full recipe, beside the paper's change; None without any."""
    ours = differences(run).groupby("ablation", sort=False)[list(LABELS)].mean()
    if ours.empty:
        return None
    paper = _paper_differences().reindex(ours.index)
    columns = {column: (ours[column], paper[column]) for column in LABELS}
    frame = pd.DataFrame({c + end: part for c, pair in columns.items() for end, part in zip(ENDS, pair, strict=True)})
    return write_table(
        frame,
        Path(run) / "tables",
        "ablation_differences",
        decimals=3,
        signed=list(frame.columns),
        labels={c + end: name + end for c, name in LABELS.items() for end in ENDS},
        caption="Change against the full recipe, beside the paper's Table 3",
        notes=["Seed by seed, then the mean. The paper trains on 350,000 papers and has another benchmark."],
    )


@picture("ablations")
def ablation_ranking(run: Run) -> Figure | None:
    """Change against the full recipe, what mattered most on top, bars spanning the seeds; None without any."""
    long = differences(run).melt(["ablation", "seed"], list(LABELS), "task", "value")
    if long.empty:
        return None
    order = _by_weight(member_scores(run))
    grouped = long.groupby(["task", "ablation"], sort=False)["value"]
    spans = grouped.agg(value="mean", low="min", high="max").reset_index().rename(columns={"ablation": "model"})
    spans["place"] = spans["model"].map({name: place for place, name in enumerate(order)})
    spans["task"] = spans["task"].map(LABELS)
    lower = [LABELS[column] for column, is_lower in LOWER_IS_BETTER.items() if is_lower]
    return benchmark.model_comparison(spans.sort_values(["place"], kind="stable"), lower)


@picture("ablations")
def size_curve(run: Run) -> Figure | None:
    """Scores against training size, ours and the paper's; None for a sweep without sizes."""
    scores = member_scores(run)
    ours = scores[(scores["ablation"] == REFERENCE) | scores["ablation"].str.startswith("size-")]
    if ours["papers"].nunique() < 2:
        return None
    paper = published.table3().query("variant == 'Full'")
    paper = paper.assign(size=paper["dataset_size"].map(PAPER_SIZES), origin="paper")
    both = pd.concat([ours.assign(origin="this sweep", size=ours["papers"]), paper])
    lower = [column for column, is_lower in LOWER_IS_BETTER.items() if is_lower]
    return training.score_against_size(both, LABELS, lower)


def differences(run: Run) -> pd.DataFrame:
    """Scores of each member minus those of the full recipe under the same seed; empty without such a pair."""
    scores = member_scores(run).set_index("seed")
    full = scores[scores["ablation"] == REFERENCE][list(LABELS)]
    others = scores[(scores["ablation"] != REFERENCE) & scores.index.isin(full.index)]
    changed = others[list(LABELS)] - full.reindex(others.index)
    return changed.assign(ablation=others["ablation"]).reset_index()


def _by_weight(scores: pd.DataFrame) -> list[str]:
    """Ablations by how far they move Perf. from the full recipe's, farthest first."""
    perf = performance(scores.groupby("ablation", sort=False)[list(LABELS)].mean())
    moved = (perf.drop(REFERENCE) - perf[REFERENCE]).abs().sort_values(ascending=False, kind="stable")
    return [str(name) for name in moved.index]


def _scores(sweep: Path, ablation: str, seed: int, place: str) -> dict[str, Any]:
    folder = sweep / place
    name = read(folder).training.name
    own = {record["task"]: record["scores"] for record in read_records(folder) if record["model"] == name}
    facts = json.loads((folder / "done" / f"training-{name}.json").read_text("utf-8"))
    known = {column: own[task][HEADLINE[task]] if task in own else np.nan for task, column in COLUMNS.items()}
    return {"ablation": ablation, "seed": seed, "papers": facts["papers"], **known}


def _paper_differences() -> pd.DataFrame:
    """Table 3 minus its first row, under the names of our ablations."""
    paper = published.table3()
    sizes = "size-" + paper["dataset_size"].str.lower()
    paper.index = pd.Index(paper["variant"].map(PAPER_VARIANTS).fillna(sizes), name="ablation")
    columns = paper[list(LABELS)]
    return columns.iloc[1:] - columns.iloc[0]
