"""How long the official SciRepEval scores take from stored embeddings of the true sizes, task by task.

    python benchmarks/scirepeval.py [--scale 1.0] [--only MeSH,Search] [--norm 1.0] [--workers 2]

The vectors are random, 768 float32 numbers each, with planted structure: a mean vector that all share, a centroid for
each class or topic, and noise whose spectrum decays; classes overlap about as much as published scores say. Sizes: MAG
21k, MeSH 259k x 30 classes, fields of study 54k x 23 labels with both few-shot settings, four SciDocs rankings of 1,000
x 30, one regression of 30k. Prints minutes per task, the total and the peak memory. The time depends on the length of
the vectors (`--norm`) and on how much classes overlap: the original's solver, whose path is followed step by step,
needs more epochs for longer vectors and more overlap.
"""

import argparse
import csv
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from semcse.scirepeval.evaluate import Protocol, evaluate_task
from semcse.scirepeval.tables import Embeddings
from semcse.scirepeval.tasks import select_tasks

DIMENSIONS = 768
Planted = tuple[dict[str, Any], Embeddings]


def vectors(centres: np.ndarray, signal: float, norm: float, rng: np.random.Generator) -> np.ndarray:
    """Shared mean + signal x centre (N, D) + noise, scaled so that the mean length is about `norm`."""
    spectrum = np.arange(1, DIMENSIONS + 1) ** -0.3
    spectrum /= np.sqrt((spectrum**2).mean())
    shared = rng.standard_normal(DIMENSIONS, dtype=np.float32)
    rows = np.empty((len(centres), DIMENSIONS), dtype=np.float32)
    for start in range(0, len(rows), 16384):
        part = centres[start : start + 16384]
        noise = rng.standard_normal(part.shape, dtype=np.float32)
        rows[start : start + 16384] = shared + (noise + signal * part) * spectrum
    rows *= norm / np.linalg.norm(rows[:1000], axis=1).mean()
    return rows


def write_supervised(folder: Path, labels: list[Any], share: float, rng: np.random.Generator) -> list[str]:
    """train.csv and test.csv; `share` of the rows train. Returns the ids in the order of the labels."""
    ids = [f"d{i}" for i in range(len(labels))]
    train = rng.random(len(labels)) < share
    for split, wanted in (("train", True), ("test", False)):
        with (folder / f"{split}.csv").open("w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(["paper_id", "label"])
            writer.writerows([ids[i], labels[i]] for i in np.flatnonzero(train == wanted))
    return ids


def planted_classes(n: int, classes: int, signal: float) -> Callable[..., Embeddings]:
    """A single-label set of n papers, 80 % of them for training."""

    def make(folder: Path, norm: float, rng: np.random.Generator) -> Embeddings:
        labels = rng.integers(0, classes, n)
        centres = rng.standard_normal((classes, DIMENSIONS), dtype=np.float32)[labels]
        ids = write_supervised(folder, labels.tolist(), 0.8, rng)
        return Embeddings(ids, vectors(centres, signal, norm, rng))

    return make


def planted_fields(n: int, labels: int, signal: float) -> Callable[..., Embeddings]:
    """A multi-label set: one to two of the labels a paper; about 500 papers are the test set."""

    def make(folder: Path, norm: float, rng: np.random.Generator) -> Embeddings:
        member = np.zeros((n, labels), dtype=np.int64)
        for _ in range(2):
            member[np.arange(n), rng.integers(0, labels, n)] = 1
        means = rng.standard_normal((labels, DIMENSIONS), dtype=np.float32)
        ids = write_supervised(folder, member.tolist(), 1 - min(0.5, 500 / n), rng)
        return Embeddings(ids, vectors(member.astype(np.float32) @ means, signal, norm, rng))

    return make


def planted_values(n: int, signal: float) -> Callable[..., Embeddings]:
    """A regression set: the target is one direction of the vectors, with noise."""

    def make(folder: Path, norm: float, rng: np.random.Generator) -> Embeddings:
        values = rng.standard_normal(n).astype(np.float32)
        direction = rng.standard_normal(DIMENSIONS, dtype=np.float32)
        ids = write_supervised(folder, (values + rng.standard_normal(n)).tolist(), 0.8, rng)
        return Embeddings(ids, vectors(values[:, None] * direction, signal, norm, rng))

    return make


def planted_ranking(queries: int, signal: float) -> Callable[..., Embeddings]:
    """Queries with 30 candidates, five of them relevant: these share the query's topic."""

    def make(folder: Path, norm: float, rng: np.random.Generator) -> Embeddings:
        topics = np.arange(31 * queries)
        topics.reshape(queries, 31)[:, 1:6] = topics[::31, None]
        ids = [f"d{i}" for i in range(len(topics))]
        with (folder / "test_qrel.jsonl").open("w") as handle:
            for q in range(queries):
                for c in range(1, 31):
                    row = {"query_id": ids[31 * q], "cand_id": ids[31 * q + c], "score": int(c <= 5)}
                    handle.write(json.dumps(row) + "\n")
        centres = rng.standard_normal((len(topics), DIMENSIONS), dtype=np.float32)[topics]
        return Embeddings(ids, vectors(centres, signal, norm, rng))

    return make


def plans(scale: float) -> dict[str, Callable[..., Embeddings]]:
    """Task name to the maker of its set, at a share of the true sizes."""
    rankings = ["SciDocs Cite", "SciDocs CoView", "SciDocs CoCite", "SciDocs CoRead"]
    return {
        **{name: planted_ranking(int(1000 * scale), 0.5) for name in rankings},
        "Citation Count": planted_values(int(30_000 * scale), 0.3),
        "SciDocs MAG": planted_classes(int(21_252 * scale), 19, 0.125),
        "Fields of study": planted_fields(int(54_600 * scale), 23, 0.12),
        "MeSH": planted_classes(int(259_000 * scale), 30, 0.135),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the true sizes")
    parser.add_argument("--only", default="", help="task names, separated by commas")
    parser.add_argument("--norm", type=float, default=1.0, help="mean length of the vectors")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    protocol = Protocol(workers=options.workers)
    chosen = plans(options.scale)
    names = [name.strip() for name in options.only.split(",") if name.strip()] or list(chosen)
    total = processor = 0.0
    print(f"| task | papers | minutes | processor minutes | scores |\n|{'--|' * 5}", flush=True)
    for name in names:
        (task,) = select_tasks(names=[name])
        with tempfile.TemporaryDirectory() as folder:
            table = chosen[name](Path(folder), options.norm, np.random.default_rng(0))
            started = time.process_time()
            outcome = evaluate_task({**task, "data": {"test": folder}}, table, protocol)
            used = (time.process_time() - started) / 60
        total, processor = total + outcome.seconds / 60, processor + used
        scores = json.dumps(outcome.metrics)
        print(f"| {name} | {len(table)} | {outcome.seconds / 60:.2f} | {used:.2f} | {scores} |", flush=True)
    print(f"| total | | {total:.2f} | {processor:.2f} | |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\nscale {options.scale}, norm {options.norm}, {options.workers} threads; peak memory {peak:.2f} GiB")


if __name__ == "__main__":
    main()
