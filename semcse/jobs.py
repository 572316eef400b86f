"""The summary and query jobs of a run's folder, whole or in parts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from datasets import concatenate_datasets

from semcse.prompts import PROMPTS
from semcse.queries import generate_queries
from semcse.schema import Summaries
from semcse.splits import Splits, load_splits
from semcse.summaries import JobReport, generate_summaries
from semcse.writers.choice import make_query_writer, make_summary_writer

Run = str | os.PathLike[str]
WHOLE = (0, 1)


def summary_job(run: Run, settings: Summaries, seed: int, shard: tuple[int, int] = WHOLE) -> JobReport:
    """Write the summaries of the run's training and validation papers, or the part `shard` = (i, n) of them."""
    splits = load_splits(Path(run) / "papers")
    return generate_summaries(
        concatenate_datasets([splits.training, splits.validation]),
        make_summary_writer(settings, _known(splits)),
        Path(run) / "summaries",
        prompts={name: PROMPTS[name] for name in settings.prompts},
        draws=settings.draws,
        seed=seed,
        shard_size=settings.shard_size,
        shard=shard,
        on_change="redo",
    )


def query_job(run: Run, settings: Summaries, seed: int, shard: tuple[int, int] = WHOLE) -> JobReport | None:
    """Write a query for each benchmark paper of the run, or for a part; None where there are to be none."""
    splits = load_splits(Path(run) / "papers")
    writer = make_query_writer(settings, _known(splits))
    if writer is None or len(splits.benchmark) == 0:
        return None
    return generate_queries(splits.benchmark, writer, Path(run) / "queries", seed=seed, shard=shard, on_change="redo")


def _known(splits: Splits) -> Iterable[Mapping[str, Any]]:
    """All papers that a file of ready-made texts may speak of, one at a time."""
    return chain(*splits.sets().values(), splits.rest, splits.dropped.to_dict("records"))


def parse_part(text: str) -> tuple[int, int]:
    """(i, n) from "i/n", the part i of n, counted from 0. Raises ValueError for anything else."""
    first, slash, second = text.partition("/")
    if not (slash and first.isdecimal() and second.isdecimal() and int(first) < int(second)):
        raise ValueError(f"expected a part like 0/8 to 7/8, got {text!r}")
    return int(first), int(second)
