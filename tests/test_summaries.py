"""The summary job: every row once, cleaned with reasons, the same after any interruption."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import Dataset

from semcse.prompts import PROMPTS
from semcse.readers import DataError
from semcse.summaries import generate_summaries, load_rejects, load_summaries, training_records
from semcse.writers import Continuation, Request, Writer

PAPERS = [
    {"corpus_id": number, "title": f"Title {number}", "abstract": f"Abstract of number {number} says it. It ends."}
    for number in range(7)
]


class Stub(Writer):
    """Writes the seed into the text; fails when it is told to."""

    model = "stub"

    def __init__(self, fail_at: int | None = None) -> None:
        self.fail_at = fail_at
        self.asked = 0

    def continuations(self, requests: Sequence[Request]) -> list[Continuation]:
        self.asked += len(requests)
        if self.fail_at is not None and self.asked > self.fail_at:
            raise KeyboardInterrupt
        return [Continuation(f"the number {request.seed} was drawn.", 7, "sentence") for request in requests]


class Plain:
    """The least a writer can be: only `write`."""

    def write(self, prompts: list[str], n: int) -> list[list[str]]:
        return [
            [f"what {prompt[:12]!r} ... {prompt[-20:]!r} says, number {k}." for k in range(n)] for prompt in prompts
        ]


def test_one_row_per_continuation_in_order(tmp_path: Path) -> None:
    report = generate_summaries(PAPERS, Stub(), tmp_path, draws=2, shard_size=3)
    rows = load_summaries(tmp_path)
    assert list(rows.columns) == ["corpus_id", "prompt", "draw", "text", "tokens", "finish_reason", "model", "seed"]
    expected = [(paper["corpus_id"], prompt, draw) for paper in PAPERS for prompt in PROMPTS for draw in range(2)]
    assert list(zip(rows["corpus_id"], rows["prompt"], rows["draw"], strict=True)) == expected
    assert rows["seed"].is_unique
    assert (report.papers, report.shards, report.written, report.rows, report.unfilled) == (7, 3, 3, 70, 0)
    assert report.tokens == 7 * 70
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json"] + [
        f"shard-0000{number}.parquet" for number in range(3)
    ]


def test_dataset_and_plain_writer_are_taken(tmp_path: Path) -> None:
    generate_summaries(Dataset.from_list(PAPERS), Plain(), tmp_path, draws=3)
    rows = load_summaries(tmp_path)
    assert len(rows) == 7 * 5 * 3
    assert set(rows["model"]) == {"Plain"}
    assert rows["corpus_id"].dtype == "int64"


def test_text_ids_stay_texts(tmp_path: Path) -> None:
    generate_summaries([{**PAPERS[0], "corpus_id": "W7"}], Stub(), tmp_path)
    assert set(load_summaries(tmp_path)["corpus_id"]) == {"W7"}


def test_interrupted_and_continued_is_uninterrupted(tmp_path: Path) -> None:
    generate_summaries(PAPERS, Stub(), tmp_path / "whole", shard_size=2)
    with pytest.raises(KeyboardInterrupt):
        generate_summaries(PAPERS, Stub(fail_at=60), tmp_path / "cut", shard_size=2)
    with pytest.raises(DataError, match="2 of 4 shards are missing"):
        load_summaries(tmp_path / "cut")
    report = generate_summaries(PAPERS, Stub(), tmp_path / "cut", shard_size=2)
    assert (report.reused, report.written) == (2, 2)
    pd.testing.assert_frame_equal(load_summaries(tmp_path / "cut"), load_summaries(tmp_path / "whole"))


def test_parts_make_the_whole(tmp_path: Path) -> None:
    generate_summaries(PAPERS, Stub(), tmp_path / "whole", shard_size=2)
    counts = [generate_summaries(PAPERS, Stub(), tmp_path / "parts", shard_size=2, shard=(i, 3)) for i in range(3)]
    assert [report.written for report in counts] == [2, 1, 1]
    pd.testing.assert_frame_equal(load_summaries(tmp_path / "parts"), load_summaries(tmp_path / "whole"))


def test_rows_do_not_depend_on_shards_and_neighbours(tmp_path: Path) -> None:
    generate_summaries(PAPERS, Stub(), tmp_path / "a", shard_size=2)
    generate_summaries(PAPERS[::-1][:4], Stub(), tmp_path / "b", shard_size=3)
    a, b = (load_summaries(tmp_path / name).set_index(["corpus_id", "prompt", "draw"]) for name in "ab")
    pd.testing.assert_frame_equal(a.loc[b.index], b)


def test_another_job_in_the_folder(tmp_path: Path) -> None:
    generate_summaries(PAPERS, Stub(), tmp_path, shard_size=2, seed=1)
    with pytest.raises(DataError, match=r"holds another job .*seed is 2, was 1"):
        generate_summaries(PAPERS, Stub(), tmp_path, shard_size=2, seed=2)
    changed = [{**PAPERS[0], "title": "New"}, *PAPERS[1:3]]
    with pytest.raises(DataError, match="papers is 3, was 7"):
        generate_summaries(changed, Stub(), tmp_path, shard_size=2, seed=1)
    report = generate_summaries(changed, Stub(), tmp_path, shard_size=2, seed=1, on_change="redo")
    assert (report.written, report.reused) == (2, 0)
    report = generate_summaries(PAPERS, Stub(), tmp_path, shard_size=2, seed=1, on_change="redo")
    assert (report.written, report.reused) == (4, 0)
    report = generate_summaries(
        [*PAPERS[:6], changed[0] | {"corpus_id": 9}], Stub(), tmp_path, shard_size=2, seed=1, on_change="redo"
    )
    assert (report.written, report.reused) == (1, 3)


def test_stale_shards_are_never_read(tmp_path: Path) -> None:
    """A redo that is cut short leaves missing shards, not old ones."""
    generate_summaries(PAPERS, Stub(), tmp_path, shard_size=2, seed=1)
    with pytest.raises(KeyboardInterrupt):
        generate_summaries(PAPERS, Stub(fail_at=31), tmp_path, shard_size=2, seed=2, on_change="redo")
    with pytest.raises(DataError, match="3 of 4 shards are missing"):
        load_summaries(tmp_path)


def test_damaged_shard_is_written_again(tmp_path: Path) -> None:
    """As a failing disk leaves it: there, but empty."""
    generate_summaries(PAPERS, Stub(), tmp_path, shard_size=2)
    whole = load_summaries(tmp_path)
    (tmp_path / "shard-00001.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 4 shards are missing \(shard-00001"):
        load_summaries(tmp_path)
    report = generate_summaries(PAPERS, Stub(), tmp_path, shard_size=2)
    assert (report.reused, report.written) == (3, 1)
    pd.testing.assert_frame_equal(load_summaries(tmp_path), whole)


BAD = {
    "findings": ("", "sentence"),
    "concern": ("this was cut", "length"),
    "conclusion": ("Abstract of number 0 says it.", "sentence"),
    "comprehensive": ("The same text again.", "sentence"),
    "takeaway": ("we repeat: The main takeaway from our work is that it works.", "sentence"),
}


class Faulty(Stub):
    """First answers are bad in a way that depends on the prompt; the second attempt is good except for one."""

    def continuations(self, requests: Sequence[Request]) -> list[Continuation]:
        first = self.asked == 0
        good = super().continuations(requests)
        return [
            Continuation(*self._bad(request.prompt)) if first or request.prompt == "takeaway" else answer
            for request, answer in zip(requests, good, strict=True)
        ]

    def _bad(self, prompt: str) -> tuple[str, int, str]:
        text, reason = BAD[prompt]
        return text, 1, reason


def test_rejected_texts_are_counted_and_drawn_again(tmp_path: Path) -> None:
    report = generate_summaries(PAPERS[:1], Faulty(), tmp_path, draws=2, redraws=2)
    assert report.rejected == {
        "empty": 2, "cut_off": 2, "copies_abstract": 2, "repeats_draw": 1, "repeats_prompt": 6
    }  # fmt: skip
    assert (report.rows, report.unfilled) == (8, 2)
    rejects = load_rejects(tmp_path)
    assert rejects.loc[rejects["prompt"] == "takeaway", "attempt"].tolist() == [0, 1, 2, 0, 1, 2]
    assert len(load_summaries(tmp_path)) == 8


@pytest.mark.parametrize(
    ("papers", "message"),
    [
        ([], "no papers to write for"),
        ([{"corpus_id": 1, "title": "T"}], "paper 0: no 'abstract'"),
        ([PAPERS[0], {"corpus_id": 8, "title": "T", "abstract": " "}], r"paper 1 \(corpus_id 8\): empty abstract"),
        ([PAPERS[0], PAPERS[0]], "two papers have the same corpus_id"),
        ([PAPERS[0], {**PAPERS[1], "corpus_id": "x"}], "corpus_id 'x' is no int"),
    ],
)
def test_bad_papers(tmp_path: Path, papers: list[Mapping[str, Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        generate_summaries(papers, Stub(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 0}, "draws should be at least 1"),
        ({"shard_size": 0}, "shard_size should be at least 1"),
        ({"prompts": {}}, "at least one prompt"),
        ({"shard": (2, 2)}, "0 <= i < n"),
    ],
)
def test_bad_arguments(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate_summaries(PAPERS, Stub(), tmp_path, **options)


def test_loading_from_nowhere(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"manifest\.json: no such file"):
        load_summaries(tmp_path)


def test_manifest_says_what_the_job_was(tmp_path: Path) -> None:
    generate_summaries(PAPERS, Stub(), tmp_path, draws=2, seed=5, shard_size=4)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["prompts"] == PROMPTS
    assert (manifest["draws"], manifest["seed"], manifest["papers"], len(manifest["shards"])) == (2, 5, 7, 2)


def test_training_records() -> None:
    summaries = pd.DataFrame(
        [(0, "It works."), (0, "it works!"), (1, "One."), (1, "Two."), (1, "one")], columns=["corpus_id", "text"]
    )
    records, excluded = training_records(PAPERS[:3], summaries)
    assert records == [{**PAPERS[1], "summaries": ["One.", "Two."]}]
    assert excluded.to_dict("records") == [{"corpus_id": 0, "distinct": 1}, {"corpus_id": 2, "distinct": 0}]
    with pytest.raises(DataError, match="summaries for 1 unknown papers"):
        training_records(PAPERS[:1], summaries)


def test_progress_away_from_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A short job says nothing; a long one counts what was there before, and says what it does a second."""
    generate_summaries(PAPERS, Stub(), tmp_path, shard_size=2, shard=(0, 2))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("semcse.summaries.RARELY", {"mininterval": 0.0})
    generate_summaries(PAPERS, Stub(), tmp_path, shard_size=2)
    lines = capsys.readouterr().err.split("\r")
    assert "4/7" in lines[1]
    assert "7/7" in lines[-1]
    assert "tokens/s" in lines[-1]
