"""The study's sets of papers from SciRepEval: training, validation, the semantic benchmark, SciDocs MAG (A.1, 5.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from datasets import Dataset

from semcse.benchmark import BENCHMARK_SETS
from semcse.papers import Located, drop_report, to_dataset, usable
from semcse.readers import DataError, read_jsonl
from semcse.schema import Sampling
from semcse.scirepeval.data import hub_stream
from semcse.splits import Splits

MAG_PAPERS, MAG_LABELS = "scidocs_mag_mesh", "scidocs_mag"
MAG_SIZE = 21_252
SHUFFLE_BUFFER = 10_000
Paper = dict[str, Any]


def sample_scirepeval(sampling: Sampling, seed: int) -> Splits:
    """Draw the sets, benchmark papers first: a paper met again later, by id or normalised title, is left out.

    Of a row with several papers (a query and its candidates, a citation triplet) one is drawn, so that the sample is
    not made of clusters. Raises DataError when a set has too few papers, or where data is missing what to download.
    """
    seen: dict[str, str] = {}
    dropped: list[dict[str, Any]] = []
    clustering = _clustering(sampling, seen, dropped)
    share, rest = divmod(sampling.benchmark, len(BENCHMARK_SETS))
    counts = {name: share + (place < rest) for place, name in enumerate(BENCHMARK_SETS)}
    benchmark = _draw(counts, sampling, seed, seen, dropped)
    extra, rest = divmod(sampling.validation, len(sampling.sets))
    held = {name: extra + (place < rest) for place, name in enumerate(sampling.sets)}
    drawn = _draw({name: sampling.sets[name] + held[name] for name in sampling.sets}, sampling, seed, seen, dropped)
    validation = [paper for name in held for paper in _of(drawn, name)[: held[name]]]
    training = [paper for name in held for paper in _of(drawn, name)[held[name] :]]
    sets = {"training": training[: sampling.training], "validation": validation, "benchmark": benchmark, **clustering}
    return Splits(
        **{name: to_dataset(papers) for name, papers in sets.items()},
        rest=Dataset.from_dict({"corpus_id": [], "title": []}),
        dropped=drop_report(dropped, sampling.invalid),
    )


def set_rows(name: str, split: str, hub: str, sampling: Sampling, seed: int | None = None) -> Iterator[Located]:
    """The rows of one set: from the folder `sampling.path`, else streamed from the hub; shuffled if a seed is given.

    A local copy holds `<set>/<split>/*.parquet` (as the hub's Parquet export), or `<set>/<split>*.jsonl`, also .gz.
    """
    if sampling.path is not None:
        rows = _local_rows(Path(sampling.path), name, split)
        return _shuffled(rows, seed) if seed is not None else rows
    try:
        stream = hub_stream(hub, sampling.revision, name, split)
    except ConnectionError as error:
        raise DataError(
            f"{error}. Without a network, copy the set's Parquet files to FOLDER/{name}/{split}/ and set "
            "sampling.path=FOLDER."
        ) from error
    if seed is not None:
        stream = stream.shuffle(seed=seed, buffer_size=SHUFFLE_BUFFER)
    return ((f"{name}, row {number}", row) for number, row in enumerate(stream, start=1))


def row_papers(row: Mapping[str, Any], source: str) -> list[Paper]:
    """The papers in a row: itself, its `query`, `candidates`, `pos`, `neg`, whichever have a title."""
    places = [row]
    for value in row.values():
        places += [value] if isinstance(value, Mapping) else value if isinstance(value, list) else []
    found = [place for place in places if isinstance(place, Mapping) and "title" in place]
    return [_paper(place, source) for place in found if _identity(place) is not None]


def _paper(row: Mapping[str, Any], source: str) -> Paper:
    return {"corpus_id": _identity(row), **{k: row.get(k) for k in ("title", "abstract")}, "source": source}


def _identity(row: Mapping[str, Any]) -> Any:
    return row.get("corpus_id") or row.get("doc_id")


def _draw(
    counts: Mapping[str, int], sampling: Sampling, seed: int, seen: dict[str, str], dropped: list[Paper]
) -> list[Paper]:
    drawn: list[Paper] = []
    for place, (name, count) in enumerate(counts.items()):
        random = np.random.default_rng([seed, place])
        rows = _one_of_each(set_rows(name, "train", sampling.hub, sampling, seed), name, random)
        papers = list(islice(usable(rows, sampling.min_sentences, seen, dropped), count))
        if len(papers) < count:
            raise DataError(f"{name}: {count} papers wanted, {len(papers)} usable ones found. Lower sampling.sets.")
        drawn += papers
    return drawn


def _one_of_each(rows: Iterable[Located], name: str, random: np.random.Generator) -> Iterator[Located]:
    for where, row in rows:
        if papers := row_papers(row, name):
            yield where, papers[random.integers(len(papers))]


def _of(papers: Iterable[Paper], source: str) -> list[Paper]:
    return [paper for paper in papers if paper["source"] == source]


def _clustering(sampling: Sampling, seen: dict[str, str], dropped: list[Paper]) -> dict[str, list[Paper]]:
    """SciDocs MAG with its own division into training and test papers."""
    rows = set_rows(MAG_PAPERS, "evaluation", sampling.hub, sampling)
    by_id = {str(row["doc_id"]): (where, _paper(row, MAG_PAPERS)) for where, row in rows}
    whole = sampling.clustering >= MAG_SIZE
    sets: dict[str, list[Paper]] = {}
    for split, share in (("test", sampling.clustering_test), ("train", 1 - sampling.clustering_test)):
        labels = set_rows(MAG_LABELS, split, sampling.test_hub, sampling)
        located = ((by_id[key], row["label"]) for _, row in labels if (key := str(row["paper_id"])) in by_id)
        labelled = ((where, {**paper, "field": f"MAG {label}"}) for (where, paper), label in located)
        kept = usable(labelled, 0, seen, dropped)
        sets[f"clustering_{split}"] = list(islice(kept, None if whole else round(sampling.clustering * share)))
    return sets


def _local_rows(folder: Path, name: str, split: str) -> Iterator[Located]:
    parquet = sorted((folder / name / split).glob("*.parquet"))
    lines = sorted((folder / name).glob(f"{split}*.jsonl*"))
    if not parquet and not lines:
        raise DataError(
            f"{folder}/{name}: no {split}/*.parquet and no {split}*.jsonl. Copy the set's files there, or leave "
            "sampling.path empty to stream them from the hub."
        )
    for path in parquet:
        for group in pq.ParquetFile(path).iter_batches(1000):
            yield from ((f"{path}", row) for row in group.to_pylist())
    for path in lines:
        yield from ((f"{path}, line {number}", row) for number, row in read_jsonl(path))


def _shuffled(rows: Iterable[Located], seed: int) -> Iterator[Located]:
    """Rows through a buffer from which the next is drawn at random, as streaming data sets do."""
    random = np.random.default_rng(seed)
    buffer: list[Located] = []
    for row in rows:
        if len(buffer) < SHUFFLE_BUFFER:
            buffer.append(row)
            continue
        place = int(random.integers(SHUFFLE_BUFFER))
        buffer[place], row = row, buffer[place]
        yield row
    yield from (buffer[place] for place in random.permutation(len(buffer)))
