"""The summary job: prompts x draws for each paper, cleaned, in resumable Parquet shards (sections 4.1, A.2)."""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from semcse.cleaning import Rules, canonical, reject_reason, tidy
from semcse.prompts import PROMPTS, continuation_prompt
from semcse.readers import DataError
from semcse.shards import COLUMNS, enter_folder, load_rows, shard_counts, shard_path, write_shard
from semcse.writers.base import Continuation, PlainWriter, Request, Writer, as_writer, continuation_seed

Paper = Mapping[str, Any]
Papers = Sequence[Paper]

FORMAT = 1


@dataclass(frozen=True)
class Job:
    """What is to be written; two jobs with equal `identity` write equal rows."""

    writer: Writer
    prompts: Mapping[str, str]
    draws: int
    seed: int
    shard_size: int
    redraws: int
    rules: Rules
    compose: Callable[[Paper, str], str]

    @property
    def identity(self) -> dict[str, Any]:
        """The values on which a row depends, as the manifest holds them."""
        return {
            "format": FORMAT,
            "writer": self.writer.settings,
            "prompts": dict(self.prompts),
            "draws": self.draws,
            "seed": self.seed,
            "redraws": self.redraws,
            "rules": asdict(self.rules),
        }


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
    enter_folder(folder, _manifest(job, papers), redo=on_change == "redo")
    return _run(job, papers, folder, shard)


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


def _run(job: Job, papers: Papers, folder: Path, shard: tuple[int, int]) -> JobReport:
    report = JobReport(folder)
    starts = range(0, len(papers), job.shard_size)[shard[0] :: shard[1]]
    total = sum(min(job.shard_size, len(papers) - start) for start in starts)
    begin = time.perf_counter()
    with tqdm(total=total, desc="papers", unit="paper", disable=None) as bar:
        for start in starts:
            chunk = _chunk(job, papers, start)
            _do_shard(job, chunk, shard_path(folder, start // job.shard_size), report)
            report.seconds = time.perf_counter() - begin
            bar.update(len(chunk))
            bar.set_postfix_str(f"{report.tokens / report.seconds:,.0f} tokens/s")
    return report


def _do_shard(job: Job, chunk: Sequence[Paper], path: Path, report: JobReport) -> None:
    """Write the shard unless it is there, and add it to the report."""
    fingerprint = _fingerprint(job, chunk)
    counts = shard_counts(path, fingerprint)
    if counts is None:
        counts = write_shard(path, write_rows(job, chunk), fingerprint, isinstance(chunk[0]["corpus_id"], int))
        report.written += 1
        report.tokens += counts["tokens"]
    else:
        report.reused += 1
    _add_counts(report, counts, len(chunk))


def _add_counts(report: JobReport, counts: dict[str, Any], papers: int) -> None:
    report.shards += 1
    report.papers += papers
    report.rows += counts["rows"]
    report.unfilled += counts["unfilled"]
    for reason, count in counts["rejected"].items():
        report.rejected[reason] = report.rejected.get(reason, 0) + count


def _fingerprint(job: Job, chunk: Sequence[Paper]) -> str:
    digest = blake2b(json.dumps(job.identity, sort_keys=True).encode(), digest_size=16)
    for paper in chunk:
        digest.update(_paper_key(paper))
    return digest.hexdigest()


def write_rows(job: Job, chunk: Sequence[Paper]) -> list[dict[str, Any]]:
    """The rows of a shard, accepted and rejected, in the order of papers, prompts, draws and attempts."""
    places = [
        (index, prompt, draw)
        for index, paper in enumerate(chunk)
        for prompt, draw in job.writer.slots(paper, job.prompts, job.draws)
    ]
    rows: dict[tuple[int, str, int], list[dict[str, Any]]] = {place: [] for place in places}
    accepted: list[set[str]] = [set() for _ in chunk]
    for attempt in range(job.redraws + 1 if job.writer.redraws else 1):
        requests = [_request(job, chunk[index], prompt, draw, attempt) for index, prompt, draw in places]
        answers = job.writer.continuations(requests) if requests else []
        for place, request, answer in zip(places, requests, answers, strict=True):
            rows[place].append(_row(job, request, answer, attempt, accepted[place[0]]))
        places = [place for place in places if rows[place][-1]["reject"] is not None]
    return [row for place_rows in rows.values() for row in place_rows]


def _request(job: Job, paper: Paper, prompt: str, draw: int, attempt: int) -> Request:
    text = job.compose(paper, job.prompts[prompt]) if prompt in job.prompts else ""
    return Request(paper, prompt, text, draw, continuation_seed(job.seed, paper["corpus_id"], prompt, draw, attempt))


def _row(job: Job, request: Request, answer: Continuation, attempt: int, accepted: set[str]) -> dict[str, Any]:
    """One row; an accepted text joins `accepted`, the texts of its paper in canonical form."""
    text = tidy(answer.text)
    reject = reject_reason(
        text,
        title=request.paper["title"],
        abstract=request.paper["abstract"],
        finish_reason=answer.finish_reason,
        prompts=list(job.prompts.values()),
        others=accepted,
        rules=job.rules,
    )
    if reject is None:
        accepted.add(canonical(text))
    return {
        "corpus_id": request.paper["corpus_id"],
        "prompt": request.prompt,
        "draw": request.draw,
        "text": text,
        "tokens": answer.tokens,
        "finish_reason": answer.finish_reason,
        "model": job.writer.model,
        "seed": request.seed,
        "attempt": attempt,
        "reject": reject,
    }


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
