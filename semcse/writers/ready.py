"""Writers that hand out texts which exist already: the bundled corpus, and files of ready-made summaries."""

import os
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any

from semcse.cleaning import Rules, canonical
from semcse.prompts import PROMPTS
from semcse.readers import DataError, read_jsonl, require
from semcse.writers.base import Continuation, Request, Writer

QUERY = "query"


def _summaries_of(row: Mapping[str, Any], path: Path, number: int) -> list[str]:
    summaries: list[str] = require(row, "summaries", path, number, list)
    wrong = [summary for summary in summaries if not isinstance(summary, str)]
    if wrong or not summaries:
        raise DataError(
            f"{path}, line {number}: 'summaries' should be a list of texts, got {summaries!r:.80}. Correct the line."
        )
    return summaries


def _places(count: int, prompts: Sequence[str]) -> list[tuple[str, int]]:
    """Prompt and draw of each summary: all draws of the first prompt, then the second's; else 'ready' and a number."""
    if count % len(prompts):
        return [("ready", draw) for draw in range(count)]
    return [(prompt, draw) for prompt in prompts for draw in range(count // len(prompts))]


class FileWriter(Writer):
    """Ready-made summaries from JSON Lines: `summaries` (a list of texts) with `corpus_id`, or `title` and `abstract`.

    A paper's row is found by `corpus_id` (compared as text) or else by its title (letters and digits only). When the
    number of summaries is a multiple of the number of prompts they are taken to be in the order of the prompts, all
    draws of a prompt together; otherwise they get the prompt "ready". A `query`, if there, answers the prompt "query".

    corpus: all papers that the file may speak of; default, the papers of the job. Rows for other papers are an error
        ("summaries for unknown papers"), unless `ignore_unknown`. Give the whole corpus when the job has a sample.
    Reads the whole file; raises DataError naming file and line for anything that is not as described.
    """

    needs_paper = True
    redraws = False
    rules = Rules(min_words=2, max_words=400, forbid_abstract=False)

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        prompts: Iterable[str] = tuple(PROMPTS),
        corpus: Iterable[Mapping[str, Any]] | None = None,
        ignore_unknown: bool = False,
    ) -> None:
        self.path = Path(path)
        self.model = f"file:{self.path.name}"
        self.prompts = tuple(prompts)
        self.corpus = corpus
        self.ignore_unknown = ignore_unknown
        self.rows: dict[int, dict[str, Any]] = {}
        self.by_id: dict[str, int] = {}
        self.by_title: dict[str, int] = {}
        for number, row in read_jsonl(self.path):
            self._add(number, row)
        self.sha256 = sha256(self.path.read_bytes()).hexdigest()

    def _add(self, number: int, row: dict[str, Any]) -> None:
        kept: dict[str, Any] = {"summaries": _summaries_of(row, self.path, number)}
        if QUERY in row:
            kept[QUERY] = require(row, QUERY, self.path, number)
        named = "corpus_id" in row
        if "title" in row or not named:
            kept["title"] = canonical(require(row, "title", self.path, number))
        if named:
            self._enter(self.by_id, str(row["corpus_id"]), number, "corpus_id")
            self.by_title.setdefault(kept.get("title", ""), number)
        else:
            require(row, "abstract", self.path, number)
            self._enter(self.by_title, kept["title"], number, "title")
        self.rows[number] = kept

    def _enter(self, index: dict[str, int], key: str, number: int, name: str) -> None:
        if key in index:
            raise DataError(
                f"{self.path}, line {number}: {name} {key!r} was on line {index[key]} already. Keep one of the two."
            )
        index[key] = number

    def _line(self, paper: Mapping[str, Any]) -> int | None:
        number = self.by_id.get(str(paper["corpus_id"]))
        title = canonical(paper["title"])
        if number is None:
            return self.by_title.get(title) if title else None
        if self.rows[number].get("title", title) != title:
            raise DataError(
                f"{self.path}, line {number}: corpus_id {paper['corpus_id']!r} has another title there than in the "
                f"papers ({paper['title']!r}). The file belongs to another corpus: give the right one."
            )
        return number

    @property
    def settings(self) -> dict[str, Any]:
        """The file's content and how it is read."""
        return {"model": self.model, "sha256": self.sha256, "order": list(self.prompts)}

    def check(self, papers: Iterable[Mapping[str, Any]]) -> None:
        """Raise DataError when the file knows none of the papers, or speaks of papers outside the corpus."""
        known = {self._line(paper) for paper in papers}
        if not known - {None}:
            raise DataError(f"{self.path}: no summaries for any of the papers. Does the file belong to this corpus?")
        if self.corpus is not None:
            known |= {self._line(paper) for paper in self.corpus}
        unknown = sorted(set(self.rows) - known)
        if unknown and not self.ignore_unknown:
            raise DataError(
                f"{self.path}, line {unknown[0]}: summaries for an unknown paper ({len(unknown)} such lines). Remove "
                "them, give the whole corpus if the job has a sample of it, or ask to ignore unknown papers."
            )

    def slots(self, paper: Mapping[str, Any], prompts: Mapping[str, str], draws: int) -> list[tuple[str, int]]:
        """What the file holds for the paper, as far as these prompts and this number of draws ask for it."""
        number = self._line(paper)
        if number is None:
            return []
        if list(prompts) == [QUERY]:
            return [(QUERY, 0)] if QUERY in self.rows[number] else []
        places = self._places(number)
        wanted = [(prompt, draw) for prompt, draw in places if prompt in prompts and draw < draws]
        return wanted or places[: len(prompts) * draws]

    def _places(self, number: int) -> list[tuple[str, int]]:
        return _places(len(self.rows[number]["summaries"]), self.prompts)

    def continuations(self, requests: Sequence[Request]) -> list[Continuation]:
        """The stored texts; raises DataError for a paper or a place that the file does not have."""
        return [Continuation(self._text(request)) for request in requests]

    def _text(self, request: Request) -> str:
        number = self._line(request.paper)
        if number is None:
            raise DataError(f"{self.path}: no summaries for the paper {request.paper['title']!r}. Add a line for it.")
        if request.prompt == QUERY:
            return str(require(self.rows[number], QUERY, self.path, number))
        places = self._places(number)
        if (request.prompt, request.draw) not in places:
            raise DataError(
                f"{self.path}, line {number}: no summary for prompt {request.prompt!r}, draw {request.draw}; there are "
                f"{places}. Ask for fewer draws or prompts."
            )
        return str(self.rows[number]["summaries"][places.index((request.prompt, request.draw))])


class DemoWriter(FileWriter):
    """The five summaries, one draw, and the query of each of the 1,000 bundled fictional papers."""

    def __init__(self) -> None:
        with resources.as_file(resources.files("semcse") / "data" / "demo_corpus.jsonl.gz") as path:
            super().__init__(path, ignore_unknown=True)
        self.model = "demo"
