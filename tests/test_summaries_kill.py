"""kill -9 at any moment: the job goes on, loses at most a shard in flight, and ends with the same table.

KILLS in the environment says how often (default 12): KILLS=100 python -m pytest tests/test_summaries_kill.py -s
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from semcse.readers import DataError
from semcse.summaries import generate_summaries, load_rejects, load_summaries
from semcse.writers import Continuation, Request, Writer

KILLS = int(os.environ.get("KILLS", "12"))
PAPERS = [
    {"corpus_id": number, "title": f"Title {number}", "abstract": f"Abstract {number} says it."} for number in range(40)
]
JOB = {"draws": 2, "shard_size": 3, "seed": 5}
fork = multiprocessing.get_context("fork")


class Telling(Writer):
    """Tells each call; every third text is rejected, so that a shard needs several calls."""

    model = "telling"

    def __init__(self, listener: Connection | None = None) -> None:
        self.listener = listener

    def continuations(self, requests: Sequence[Request]) -> list[Continuation]:
        if self.listener is not None:
            self.listener.send_bytes(b".")
        return [
            Continuation("" if request.seed % 3 == 0 else f"the number {request.seed} was drawn.", 5, "sentence")
            for request in requests
        ]


def work(folder: Path, listener: Connection, shard: tuple[int, int] = (0, 1)) -> None:
    generate_summaries(PAPERS, Telling(listener), folder, shard=shard, **JOB)


def start(folder: Path, shard: tuple[int, int] = (0, 1)) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    listener, teller = fork.Pipe(duplex=False)
    process = fork.Process(target=work, args=(folder, teller, shard))
    process.start()
    teller.close()
    return process, listener


def killed(folder: Path, random: np.random.Generator) -> bool:
    """Start the job and kill it a moment after one of its next calls; False when it came to its end before."""
    process, listener = start(folder)
    try:
        for _ in range(int(random.integers(1, 8))):
            listener.recv_bytes()
        time.sleep(float(random.uniform(0, 0.008)))
    except EOFError:
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    listener.close()
    return process.exitcode == -signal.SIGKILL


def test_killed_jobs_end_with_the_same_table(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    kills, jobs, interrupted = 0, 0, 0
    finished: list[Path] = []
    while kills < KILLS:
        folder = tmp_path / f"job{jobs}"
        jobs += 1
        while kills < KILLS and killed(folder, random):
            kills += 1
            shards = len(list(folder.glob("shard-*.parquet")))
            if shards < 14:
                interrupted += 1
                with pytest.raises(DataError):
                    load_summaries(folder)
        finished.append(folder)
    generate_summaries(PAPERS, Telling(), tmp_path / "whole", **JOB)
    whole, rejects = load_summaries(tmp_path / "whole"), load_rejects(tmp_path / "whole")
    halves = [path for folder in finished for path in folder.glob(".shard-*")]
    for path in halves:
        os.utime(path, (0, 0))
    for folder in finished:
        report = generate_summaries(PAPERS, Telling(), folder, **JOB)
        assert report.shards == 14
        pd.testing.assert_frame_equal(load_summaries(folder), whole)
        pd.testing.assert_frame_equal(load_rejects(folder), rejects)
        assert not list(folder.glob(".shard-*"))
    assert not whole.duplicated(["corpus_id", "prompt", "draw"]).any()
    assert interrupted > KILLS / 2
    print(f"{kills} kills in {jobs} jobs, {interrupted} with shards missing, {len(halves)} half-written ones left")  # noqa: T201


def test_processes_share_a_folder(tmp_path: Path) -> None:
    """Three at the same time, and one of them started twice: no row is missing, none is doubled."""
    runs = [start(tmp_path / "shared", shard) for shard in [(0, 3), (1, 3), (2, 3), (2, 3)]]
    for process, _ in runs:
        process.join()
        assert process.exitcode == 0
    generate_summaries(PAPERS, Telling(), tmp_path / "whole", **JOB)
    pd.testing.assert_frame_equal(load_summaries(tmp_path / "shared"), load_summaries(tmp_path / "whole"))
