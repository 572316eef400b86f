"""Queries: one a paper, never with the title in them, by the same resumable job."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from semcse.queries import generate_queries, load_queries, title_overlap
from semcse.readers import DataError
from semcse.summaries import load_rejects
from semcse.writers import Continuation, Request, Writer

PAPERS = [
    {"corpus_id": number, "title": f"Growth of cells in {name}", "abstract": f"We grow cells in {name}."}
    for number, name in enumerate(["mice", "rats", "frogs", "newts", "carp"])
]


class Answering(Writer):
    """Repeats the title at first, then asks in other words; for one paper it never does better."""

    model = "answering"

    def __init__(self, stubborn: int | None = None) -> None:
        self.stubborn = stubborn
        self.messages: list[str] = []

    def continuations(self, requests: Sequence[Request]) -> list[Continuation]:
        self.messages += [request.text for request in requests]
        first = len(self.messages) == len(requests)
        return [Continuation(self._text(request, first), 9, "stop") for request in requests]

    def _text(self, request: Request, first: bool) -> str:
        bad = first or request.paper["corpus_id"] == self.stubborn
        title = request.paper["title"]
        return f'"what is known about {title.upper()}?"' if bad else f'"how do {title.split()[-1]} develop"'


def test_titles_are_refused_and_asked_again(tmp_path: Path) -> None:
    writer = Answering()
    report = generate_queries(PAPERS, writer, tmp_path, shard_size=5)
    queries = load_queries(tmp_path, PAPERS)
    assert queries[2] == "how do frogs develop"
    assert list(queries) == [0, 1, 2, 3, 4]
    assert report.rejected == {"copies_title": 5}
    assert load_rejects(tmp_path)["text"].str.contains("GROWTH").all()
    assert writer.messages[0].endswith("Title: Growth of cells in mice\n\nAbstract: We grow cells in mice.")


def test_paper_without_a_query(tmp_path: Path) -> None:
    report = generate_queries(PAPERS, Answering(stubborn=3), tmp_path, redraws=2, shard_size=5)
    assert (report.rows, report.unfilled, report.rejected) == (4, 1, {"copies_title": 7})
    assert 3 not in load_queries(tmp_path)
    with pytest.raises(DataError, match=r"1 of 5 papers have no query \(corpus_id 3"):
        load_queries(tmp_path, PAPERS)


def test_finished_shards_are_kept(tmp_path: Path) -> None:
    generate_queries(PAPERS, Answering(), tmp_path, shard_size=2, shard=(0, 2))
    writer = Answering()
    report = generate_queries(PAPERS, writer, tmp_path, shard_size=2)
    assert (report.reused, report.written) == (2, 1)
    assert {message.rpartition(" in ")[2] for message in writer.messages} == {"frogs.", "newts."}


def test_overlap_with_the_title_by_hand() -> None:
    queries = {0: "growth of mice", 1: "how do rats develop", 2: "Frogs", 3: "x y", 4: "carp and cells"}
    found = title_overlap(PAPERS, queries)
    assert found["overlap"].tolist() == pytest.approx([1.0, 1 / 4, 1.0, 0.0, 2 / 3])
    assert found["query"].tolist() == list(queries.values())
    empty = title_overlap([], {})
    assert isinstance(empty.nlargest(5, "overlap"), pd.DataFrame)
