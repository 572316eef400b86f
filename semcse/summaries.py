"""The summary job: prompts x draws for each paper, cleaned, in resumable Parquet shards (sections 4.1, A.2)."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from semcse.cleaning import Rules, canonical
from semcse.prompts import PROMPTS, continuation_prompt
from semcse.readers import DataError
from semcse.rows import Job, Paper, Papers, write_rows
from semcse.shards import COLUMNS, enter_folder, load_rows, shard_counts, shard_path, write_shard
from semcse.writers.base import PlainWriter, Writer, as_writer

RARELY = {"delay": 60.0, "mininterval": 60.0}
"""Seconds before the first sign of progress and between two, where nobody watches."""


class Part(NamedTuple):
    """A shard: its file, what marks it as belonging to the job, the number of its first paper, and of its papers."""

    path: Path
    fingerprint: str
    start: int
    papers: int


@dataclass
class JobReport:
    """What a call of the job did (`written`, `reused`, `seconds`, `tokens`) and what the folder now holds of its part.

    rows: accepted continuations; unfilled: places left empty after all redraws; rejected: by reason.
    """

    folder: Path
    papers: int = 0
    shards: int = 0
    written: int = 0
    reused: int = 0
    rows: int = 0
    unfilled: int = 0
    tokens: int = 0
    seconds: float = 0.0
    rejected: dict[str, int] = field(default_factory=dict)


def generate_summaries(
    papers: Papers,
    writer: Writer | PlainWriter,
    folder: str | os.PathLike[str],
    *,
    prompts: Mapping[str, str] = PROMPTS,
    draws: int = 3,
    seed: int = 0,
    shard_size: int = 200,
    shard: tuple[int, int] = (0, 1),
    redraws: int = 2,
    rules: Rules | None = None,
    on_change: Literal["error", "redo"] = "error",
    compose: Callable[[Paper, str], str] = continuation_prompt,
) -> JobReport:
    """Write `draws` continuations of each prompt for each paper into Parquet shards under `folder`.

    A shard holds `shard_size` consecutive papers and appears whole or not at all; started again after any
    interruption, the job writes only what is missing, and the same rows. `shard=(i, n)` does the shards i, i + n,
    i + 2n, ...: n processes, here or on machines that share the folder, do the whole. Rejected texts (`rules`;
    default, the writer's) are drawn again up to `redraws` times. A folder with another job is an error, or with
    `on_change="redo"` the shards that differ are written anew.

    papers: a datasets.Dataset or any sequence of mappings with corpus_id, title, abstract; read one shard at a time.
    compose: makes the text for the writer from a paper and a prompt.
    Raises DataError for papers without title or abstract and for a folder that holds something else.
    """
    job = Job(as_writer(writer), prompts, draws, seed, shard_size, redraws, rules or as_writer(writer).rules, compose)
    _check_arguments(job, papers, shard)
    job.writer.check(papers)
    folder = Path(folder)
    manifest = _manifest(job, papers)
    enter_folder(folder, manifest, redo=on_change == "redo")
    parts = [
        Part(
            shard_path(folder, number),
            fingerprint,
            number * shard_size,
            min(shard_size, len(papers) - number * shard_size),
        )
        for number, fingerprint in enumerate(manifest["shards"])
    ]
    return _run(job, papers, JobReport(folder), parts[shard[0] :: shard[1]])


def _check_arguments(job: Job, papers: Papers, shard: tuple[int, int]) -> None:
    for name in ("draws", "shard_size"):
        if getattr(job, name) < 1:
            raise ValueError(f"{name} should be at least 1, got {getattr(job, name)}")
    if not job.prompts:
        raise ValueError("expected at least one prompt, got none")
    if not 0 <= shard[0] < shard[1]:
        raise ValueError(f"shard should be (i, n) with 0 <= i < n, got {shard}")
    if len(papers) == 0:
        raise DataError("no papers to write for; the list is empty. Check the sampling stage.")


def _manifest(job: Job, papers: Papers) -> dict[str, Any]:
    """The job, and the fingerprint of each shard; checks the papers on the way."""
    seen = np.empty(len(papers), dtype=np.uint64)
    fingerprints = []
    for start in range(0, len(papers), job.shard_size):
        chunk = _chunk(job, papers, start)
        for index, paper in enumerate(chunk, start):
            _check_paper(paper, index, type(chunk[0]["corpus_id"]))
            seen[index] = int.from_bytes(blake2b(str(paper["corpus_id"]).encode(), digest_size=8).digest(), "little")
        fingerprints.append(_fingerprint(job, chunk))
    if len(np.unique(seen)) < len(seen):
        raise DataError("two papers have the same corpus_id. Remove duplicates in the sampling stage.")
    return {**job.identity, "papers": len(papers), "shard_size": job.shard_size, "shards": fingerprints}


def _chunk(job: Job, papers: Papers, start: int) -> list[Paper]:
    return [papers[index] for index in range(start, min(start + job.shard_size, len(papers)))]


def _check_paper(paper: Paper, index: int, kind: type) -> None:
    for key in ("corpus_id", "title", "abstract"):
        if key not in paper:
            raise DataError(f"paper {index}: no {key!r}; it has {sorted(paper)}. Map the column names when loading.")
    if not isinstance(paper["corpus_id"], kind):
        raise DataError(f"paper {index}: corpus_id {paper['corpus_id']!r} is no {kind.__name__} like the others'.")
    if not str(paper["abstract"] or "").strip():
        raise DataError(f"paper {index} (corpus_id {paper['corpus_id']!r}): empty abstract. Drop it when sampling.")


def _paper_key(paper: Paper) -> bytes:
    return json.dumps([str(paper["corpus_id"]), paper["title"], paper["abstract"]]).encode() + b"\n"


def _run(job: Job, papers: Papers, report: JobReport, parts: Sequence[Part]) -> JobReport:
    begin = time.perf_counter()
    waiting = [part for part in parts if not _reuse(part, report)]
    with _progress(sum(part.papers for part in parts), report.papers) as bar:
        for part in waiting:
            if not _reuse(part, report):  # another process may have written it meanwhile
                _write(job, _chunk(job, papers, part.start), part, report)
            report.seconds = time.perf_counter() - begin
            bar.set_postfix_str(f"{report.tokens / report.seconds:,.0f} tokens/s", refresh=False)
            bar.update(part.papers)
    return report


def _progress(total: int, done: int) -> "tqdm[Any]":
    """A bar over papers with the time left; away from a terminal a line from time to time, and none for short jobs."""
    pace = {} if sys.stderr.isatty() else RARELY
    return tqdm(total=total, initial=done, desc="papers", unit="paper", **pace)


def _reuse(part: Part, report: JobReport) -> bool:
    """Whether the shard is there already; then it joins the report."""
    counts = shard_counts(part.path, part.fingerprint)
    if counts is None:
        return False
    report.reused += 1
    _add_counts(report, counts, part)
    return True


def _write(job: Job, chunk: Sequence[Paper], part: Part, report: JobReport) -> None:
    integer_ids = isinstance(chunk[0]["corpus_id"], int)
    counts = write_shard(part.path, write_rows(job, chunk), part.fingerprint, integer_ids)
    report.written += 1
    report.tokens += counts["tokens"]
    _add_counts(report, counts, part)


def _add_counts(report: JobReport, counts: dict[str, Any], part: Part) -> None:
    report.shards += 1
    report.papers += part.papers
    report.rows += counts["rows"]
    report.unfilled += counts["unfilled"]
    for reason, count in counts["rejected"].items():
        report.rejected[reason] = report.rejected.get(reason, 0) + count


def _fingerprint(job: Job, chunk: Sequence[Paper]) -> str:
    digest = blake2b(json.dumps(job.identity, sort_keys=True).encode(), digest_size=16)
    for paper in chunk:
        digest.update(_paper_key(paper))
    return digest.hexdigest()


def load_summaries(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """The accepted continuations of a finished job, one row each, in the order of papers, prompts and draws.

    Columns: corpus_id, prompt, draw, text, tokens, finish_reason, model, seed. Raises DataError when shards are
    missing or the folder holds no job.
    """
    rows = load_rows(folder)
    return rows.loc[rows["reject"].isna(), COLUMNS].reset_index(drop=True)


def load_rejects(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """The rejected continuations: the columns of `load_summaries`, the attempt (from 0) and the reason (`reject`)."""
    rows = load_rows(folder)
    return rows[rows["reject"].notna()].reset_index(drop=True)


def training_records(papers: Papers, summaries: pd.DataFrame) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Records to train on, and the papers left out for having fewer than two distinct summaries.

    A record is {corpus_id, title, abstract, summaries}: the distinct summaries (case and punctuation ignored) in the
    order of `summaries`. The second value has the columns corpus_id and distinct (0 or 1), in the order of `papers`.
    Raises DataError for summaries of papers that are not among `papers`.
    """
    texts: dict[Any, dict[str, str]] = {}
    for corpus_id, text in zip(summaries["corpus_id"].tolist(), summaries["text"], strict=True):
        texts.setdefault(corpus_id, {}).setdefault(canonical(text), text)
    records, excluded = [], []
    for index in range(len(papers)):
        paper = papers[index]
        distinct = list(texts.pop(paper["corpus_id"], {}).values())
        if len(distinct) < 2:
            excluded.append({"corpus_id": paper["corpus_id"], "distinct": len(distinct)})
        else:
            records.append({**{key: paper[key] for key in ("corpus_id", "title", "abstract")}, "summaries": distinct})
    if texts:
        raise DataError(
            f"summaries for {len(texts)} unknown papers (corpus_id {next(iter(texts))!r}, ...). Give the papers for "
            "which the summaries were written."
        )
    return records, pd.DataFrame(excluded, columns=["corpus_id", "distinct"])
