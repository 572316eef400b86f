"""The fault list: what goes wrong, what happens then, and what is said. Each row stands on a test that makes it so."""

import os
from typing import NamedTuple

import pytest

ALL = os.environ.get("SEMCSE_FAULTS") == "all"
"""Whether the long ones run too: kills at random points, ten million rows."""
long = pytest.mark.skipif(not ALL, reason="minutes long; SEMCSE_FAULTS=all runs it")
linux = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="makes the fault with Linux's means")


class Fault(NamedTuple):
    """A row of the list; `...` in a message stands for the part that differs."""

    what: str
    happens: str
    message: str = ""


def fault(what: str, happens: str, message: str = "") -> pytest.MarkDecorator:
    """Marks the test behind a row. One with a message calls the fixture `told` with what was said."""
    return pytest.mark.fault(*Fault(what, happens, message))


ELSEWHERE = {
    "tests/test_summaries_kill.py::test_killed_jobs_end_with_the_same_table": Fault(
        "writing summaries is killed at random points",
        "at most the shard in hand is lost; the next call writes it, and the table is the same",
        "shards are missing...the job has not ended",
    ),
    "tests/test_summaries_kill.py::test_processes_share_a_folder": Fault(
        "several processes write one job's summaries, one of them twice",
        "no row is missing and none is doubled",
    ),
    "tests/test_training_processes.py::test_killed_at_random_ends_in_the_same_weights": Fault(
        "training is killed at random points",
        "it goes on from the last whole checkpoint and ends in the same bits",
    ),
    "tests/test_summaries.py::test_damaged_shard_is_written_again": Fault(
        "a shard of summaries is empty", "it counts as missing and is written again"
    ),
    "tests/test_embeddings.py::test_damaged_files_are_detected_and_encoded_again": Fault(
        "a file of the embedding cache is changed, cut or has lost its description",
        "its texts are encoded again",
        "is damaged; its texts are encoded again",
    ),
    "tests/test_embeddings.py::test_files_are_not_read_while_another_process_writes_them": Fault(
        "two members of a sweep need the same embeddings", "one waits for the other and reads them whole"
    ),
    "tests/test_readers.py::test_bad_files": Fault(
        "a corpus that is not gzip, cut off, not UTF-8 or not JSON",
        "an error with file and line; nothing is sampled",
        "not UTF-8",
    ),
    "tests/test_embed.py::test_files_that_do_not_belong_together_are_refused": Fault(
        "vectors, titles and description that do not belong together",
        "semcse nearest refuses",
        "damaged, or not written by semcse embed",
    ),
    "tests/test_sweep.py::test_the_error_of_a_failed_notebook_is_found": Fault(
        "an executed notebook is damaged",
        "it is said in place of its error; the stage writes it anew when it runs",
        "the executed notebook is damaged: it cannot be read",
    ),
    "tests/test_report.py::test_what_is_missing_or_damaged_is_said": Fault(
        "semcse report finds missing or damaged files", "the page says so and shows the rest"
    ),
}
"""Faults that other tests make, by the test's name."""
