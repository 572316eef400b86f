"""The tables of `scaling.py` that are no growth curve: recall, landmarks, shards, bytes, and a million candidates."""

import gzip
import json
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scaling_parts import DEMO, Inputs, K, Vectors, folder_bytes

from semcse.encoder import tokenize
from semcse.matching import nearest
from semcse.neighbours import ListSearch, find_neighbours
from semcse.projection import tsne
from semcse.prompts import PROMPTS
from semcse.summaries import generate_summaries, load_summaries
from semcse.writers.extractive import ExtractiveWriter

Row = dict[str, Any]
ASKED = 2000
"""Queries whose search is timed."""


def recall(inputs: Inputs, size: int) -> list[Row]:
    """Recall@5, time a query, and bytes a vector of IVF and HNSW, on real vectors and on made ones."""
    rows = []
    for name, X in (("real", inputs.real), ("made", inputs.vectors(len(inputs.real))), ("made", inputs.vectors(size))):
        for codes in ("Flat", "SQ8"):
            rows += [{"vectors": name, "n": len(X), **row} for row in _lists(X, codes)]
        if len(X) == size:
            rows += [{"vectors": name, "n": len(X), **row} for row in _graph(X)]
    return rows


def _lists(X: Vectors, codes: str) -> list[Row]:
    import faiss

    started = time.perf_counter()
    search = ListSearch(X, X, K, exclude=range(len(X)), codes=codes)
    built = time.perf_counter() - started
    asked = search.samples()[0]
    truth = search.exactly(asked)[1]
    size = len(faiss.serialize_index(search.index)) / len(X)
    rows = []
    for probes in (1, 4, 16, 64):
        if probes <= search.lists:
            found = search.recall(asked, truth, probes)
            seconds = _timed(lambda probes=probes: search.nearest(np.arange(min(ASKED, len(X))), probes))
            row = {"index": f"IVF{search.lists},{codes}", "setting": f"probes {probes}", "recall": found}
            rows.append({**row, "ms": 1e3 * seconds / min(ASKED, len(X)), "bytes": size, "build_s": built})
    return rows


def _graph(X: Vectors) -> list[Row]:
    """HNSW for comparison; its search is faiss's own, without exact distances afterwards."""
    import faiss

    index: Any = faiss.IndexHNSWFlat(X.shape[1], 32)
    index.hnsw.efConstruction = 80
    built = _timed(lambda: index.add(X))
    asked = np.random.default_rng(0).permutation(len(X))[:256]
    truth = nearest(X[asked], X, K, exclude=asked)[0]
    rows = []
    for depth in (16, 64, 256):
        index.hnsw.efSearch = depth
        seconds = _timed(lambda: index.search(X[:ASKED], K + 1))
        near = index.search(X[asked], K + 1)[1]
        hits = [len(set(ours) & set(theirs)) for ours, theirs in zip(near.tolist(), truth.tolist(), strict=True)]
        row = {"index": "HNSW32", "setting": f"efSearch {depth}", "recall": sum(hits) / truth.size}
        size = len(faiss.serialize_index(index)) / len(X)
        rows.append({**row, "ms": 1e3 * seconds / min(ASKED, len(X)), "bytes": size, "build_s": built})
    return rows


def million(inputs: Inputs, size: int) -> list[Row]:
    """2,000 queries among `size` candidates, exact and by faiss."""
    X, asked = inputs.vectors(size), min(ASKED, size)
    rows = []
    for index in ("exact", "faiss"):
        started = time.perf_counter()
        found = find_neighbours(X[:asked], X, K, exclude=range(asked), index=index)
        rows.append({"n": size, "queries": asked, "s": time.perf_counter() - started, **found.how})
    return rows


def landmarks(inputs: Inputs, size: int) -> list[Row]:
    """What pictures keep: of the 10 nearest papers in space, the share that is so on the plane; fields told by 10."""
    X, fields = inputs.real[:size], np.array([paper["field"] for paper in inputs.labelled])[:size]
    rows = [_kept("two principal components", X, fields, _two_components(X), 0.0)]
    for count in (None, len(X) // 2, len(X) // 4, len(X) // 8):
        started = time.perf_counter()
        plane = tsne(X, landmarks=count)
        name = "all together" if count is None else f"{count:,} landmarks"
        rows.append(_kept(name, X, fields, plane, time.perf_counter() - started))
    return rows


def _two_components(X: Vectors) -> NDArray[np.float64]:
    centred = (X - X.mean(axis=0)).astype(np.float64)
    return centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T


def _kept(name: str, X: Vectors, fields: NDArray[Any], plane: NDArray[np.float64], seconds: float) -> Row:
    own = range(len(X))
    space, near = nearest(X, X, 10, exclude=own)[0], nearest(plane, plane, 10, exclude=own)[0]
    shared = [len(set(a) & set(b)) / 10 for a, b in zip(space.tolist(), near.tolist(), strict=True)]
    told = [pd.Series(fields[row]).mode()[0] for row in near]
    row = {"picture": name, "n": len(X), "kept": float(np.mean(shared)), "fields": float(np.mean(told == fields))}
    return {**row, "s": seconds}


def shards(inputs: Inputs, size: int) -> list[Row]:
    """One job by 1, 2 and 4 processes that share a folder: wall and processor time, and whether the rows are equal."""
    rows, whole = [], None
    for count in (1, 2, 4):
        with tempfile.TemporaryDirectory(dir=inputs.folder) as folder:
            times = _together(inputs.some(size), Path(folder), count)
            found = load_summaries(folder)
            whole = found if whole is None else whole
            wall = max(end for _, end, _ in times) - min(start for start, _, _ in times)
            cpu = sum(seconds for _, _, seconds in times)
            rows.append({"processes": count, "n": size, "wall_s": wall, "cpu_s": cpu, "equal": found.equals(whole)})
    return rows


def _together(papers: list[Row], folder: Path, count: int) -> list[tuple[float, float, float]]:
    """Start, end and processor time of each process; all begin when all are ready."""
    context = multiprocessing.get_context("spawn")
    queue, barrier = context.Queue(), context.Barrier(count)
    arguments = [(papers, folder, (part, count), barrier, queue) for part in range(count)]
    processes = [context.Process(target=_shard, args=each) for each in arguments]
    for process in processes:
        process.start()
    times = [queue.get(timeout=600) for _ in processes]
    for process in processes:
        process.join()
    return times


def _shard(papers: list[Row], folder: Path, part: tuple[int, int], barrier: Any, queue: Any) -> None:
    barrier.wait()
    start, cpu = time.time(), time.process_time()
    generate_summaries(papers, ExtractiveWriter(), folder, shard_size=128, shard=part)
    queue.put((start, time.time(), time.process_time() - cpu))


def sizes(inputs: Inputs, size: int) -> list[Row]:
    """Bytes a paper of what a run stores, and the tokens that generation and training deal with."""
    papers = inputs.some(size)
    with tempfile.TemporaryDirectory(dir=inputs.folder) as name:
        folder = Path(name)
        columns = ["corpus_id", "title", "abstract", "source", "field"]
        pd.DataFrame(papers).reindex(columns=columns).to_parquet(folder / "papers.parquet")
        generate_summaries(papers, ExtractiveWriter(), folder / "summaries", shard_size=256)
        texts = load_summaries(folder / "summaries")
        found = {
            "papers (Parquet)": folder_bytes(folder) - folder_bytes(folder / "summaries"),
            "15 summaries (Parquet shards, extractive)": folder_bytes(folder / "summaries"),
            "15 summaries in memory": int(texts.memory_usage(deep=True).sum()),
        }
    rows = [{"what": what, "per_paper": value / size} for what, value in found.items()]
    return rows + _tokens(inputs, papers)


def _tokens(inputs: Inputs, papers: list[Row]) -> list[Row]:
    tokenizer = inputs.encoder.tokenizer
    written = [text for paper in _demo() for text in paper]
    means = {
        "tokens of title and abstract": inputs.texts(papers),
        "tokens of a written summary (demo corpus)": written,
        "tokens of a prompt": list(PROMPTS.values()),
    }
    lengths = {what: [len(row) for row in tokenize(tokenizer, texts, 4096)] for what, texts in means.items()}
    return [{"what": what, "per_paper": float(np.mean(counts)) - 2} for what, counts in lengths.items()]


def _demo() -> list[list[str]]:
    with gzip.open(DEMO, "rt", encoding="utf-8") as handle:
        return [json.loads(line)["summaries"] for line in handle]


def _timed(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


TABLES = {
    "recall": (recall, 64_000),
    "million": (million, 1_000_000),
    "quality": (landmarks, 2000),
    "shards": (shards, 2000),
    "sizes": (sizes, 2000),
}
"""Name: the function, and the size it is given unless told otherwise."""
