"""The study's five disjoint sets of papers, and how they are drawn (A.1, 5.2)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from semcse.files import atomic_path, write_atomic
from semcse.papers import clean, demo_rows, file_rows, normalised_title, read_parquet
from semcse.readers import DataError, read_jsonl
from semcse.schema import Sampling

Rows = np.ndarray[Any, np.dtype[Any]]
NAMES = ("training", "validation", "benchmark", "clustering_train", "clustering_test")


@dataclass(frozen=True)
class Splits:
    """Disjoint sets of papers and the papers that were left out."""

    training: Dataset
    validation: Dataset
    benchmark: Dataset
    clustering_train: Dataset
    clustering_test: Dataset
    rest: Dataset
    """Papers of the corpus in no set: `corpus_id` and `title`."""
    dropped: pd.DataFrame
    """Papers that cannot be used: `where`, `corpus_id`, `title`, `reason`."""

    def sets(self) -> dict[str, Dataset]:
        """The sets by name, in the order of `NAMES`."""
        return {name: getattr(self, name) for name in NAMES}

    def save(self, folder: str | os.PathLike[str], seed: int) -> Path:
        """Write one Parquet file a set, `dropped.csv`, and `ids.json`, from which the sets can be drawn again."""
        folder = Path(folder)
        for name, papers in {**self.sets(), "rest": self.rest}.items():
            with atomic_path(folder / f"{name}.parquet") as temporary:
                pq.write_table(papers.data.table, temporary, write_page_checksum=True)
        write_atomic(folder / "dropped.csv", self.dropped.to_csv(index=False))
        ids = {name: list(papers["corpus_id"]) for name, papers in self.sets().items()}
        return write_atomic(folder / "ids.json", json.dumps({"seed": seed, **ids}))


def load_splits(folder: str | os.PathLike[str]) -> Splits:
    """The sets written by `Splits.save`."""
    folder = Path(folder)
    if not (folder / "ids.json").is_file():
        raise DataError(f"{folder}: no papers yet. Run notebook 01 (semcse run SPEC --only 01) first.")
    sets = {name: read_parquet(folder / f"{name}.parquet") for name in (*NAMES, "rest")}
    dropped: pd.DataFrame = pd.read_csv(folder / "dropped.csv")
    return Splits(**sets, dropped=dropped)


def sample(sampling: Sampling, seed: int) -> Splits:
    """The sets that a parameter section describes. Raises DataError for unusable input."""
    if sampling.source == "scirepeval":
        from semcse.scirepeval.sampling import sample_scirepeval

        return sample_scirepeval(sampling, seed)
    rows = demo_rows() if sampling.source == "demo" else file_rows(str(sampling.path), sampling.columns)
    papers, dropped = clean(rows, invalid=sampling.invalid, min_sentences=sampling.min_sentences)
    return split_papers(papers, sampling, seed, dropped)


def split_papers(papers: Dataset, sampling: Sampling, seed: int, dropped: pd.DataFrame) -> Splits:
    """Draw the sets from one corpus without replacement, in an order that is a function of `seed`.

    Clustering papers come first, then the benchmark, validation and training. With `ready_made`, training and
    validation papers (and some of the benchmark's) come from that file, the others from outside it.
    """
    order = np.random.default_rng(seed).permutation(len(papers))
    ready = _ready(papers, sampling)
    chooser = _Chooser(order)
    labelled = np.array([field is not None for field in papers["field"]])
    outside = ~ready if sampling.ready_made else np.ones(len(papers), bool)
    clustering = chooser.take(
        sampling.clustering,
        labelled & outside & _from_sources(papers, sampling.clustering_sources),
        "clustering",
        "papers with a field",
    )
    of_ready = chooser.take(sampling.ready_made_benchmark, ready, "ready_made_benchmark", "papers of ready_made")
    allowed = outside & _from_sources(papers, sampling.benchmark_sources)
    benchmark = chooser.take(sampling.benchmark - len(of_ready), allowed, "benchmark", "papers")
    trainable = ready if sampling.ready_made else np.ones(len(papers), bool)
    validation = chooser.take(sampling.validation, trainable, "validation", "papers")
    training = chooser.take(sampling.training, trainable, "training", "papers")
    cut = round(len(clustering) * (1 - sampling.clustering_test))
    chosen = [training, validation, np.concatenate([of_ready, benchmark]), clustering[:cut], clustering[cut:]]
    table = papers.data.table
    sets = {name: Dataset(table.take(pa.array(np.sort(rows)))) for name, rows in zip(NAMES, chosen, strict=True)}
    rest = Dataset(table.select(["corpus_id", "title"]).filter(pa.array(chooser.free)))
    return Splits(**sets, rest=rest, dropped=dropped)


class _Chooser:
    """Hands out rows in a fixed order, each once."""

    def __init__(self, order: Rows) -> None:
        self.order = order
        self.free = np.ones(len(order), bool)

    def take(self, count: int | None, allowed: Rows, name: str, kind: str) -> Rows:
        candidates = self.order[(self.free & allowed)[self.order]]
        if count is not None and len(candidates) < count:
            raise DataError(
                f"sampling.{name} asks for {count} {kind}, but only {len(candidates)} are left. "
                f"Lower it, or give more papers: -p sampling.{name}={len(candidates)}"
            )
        if count is None and not len(candidates):
            raise DataError(f"no {kind} are left for {name}: lower the sizes of the other sets")
        chosen: Rows = candidates[:count]
        self.free[chosen] = False
        return chosen


def _ready(papers: Dataset, sampling: Sampling) -> Rows:
    """Which papers have ready-made summaries, by id, else by normalised title."""
    if sampling.ready_made is None:
        return np.zeros(len(papers), bool)
    rows = [row for _, row in read_jsonl(sampling.ready_made) if row.get("summaries")]
    ids = {str(row["corpus_id"]) for row in rows if "corpus_id" in row}
    titles = {normalised_title(str(row["title"])) for row in rows if "corpus_id" not in row and "title" in row}
    found = np.array(
        [
            str(paper_id) in ids or normalised_title(title) in titles
            for paper_id, title in zip(papers["corpus_id"], papers["title"], strict=True)
        ]
    )
    if not found.any():
        raise DataError(f"{sampling.ready_made}: none of its papers is in the corpus; compare corpus_id or title")
    return found


def _from_sources(papers: Dataset, sources: Iterable[str] | None) -> Rows:
    if sources is None:
        return np.ones(len(papers), bool)
    wanted, known = set(sources), set(papers["source"])
    if missing := sorted(wanted - known):
        raise DataError(f"no papers from {missing}; the corpus has sources {sorted(known)}")
    return np.array([source in wanted for source in papers["source"]])
