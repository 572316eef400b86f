"""The list in docs is the one of the tests, and the tests that it borrows exist."""

import ast
import re

from tests.commands import ROOT
from tests.faults import run
from tests.faults.listed import ELSEWHERE
from tests.test_docs import messages


def test_the_page_holds_the_list() -> None:
    text = run.PAGE.read_text("utf-8")
    assert run.page(text) == text, "run: python tests/faults/run.py --write"
    assert text.count("\n| ") == len(run.listed()) + 2
    assert len(run.listed()) > 35


def test_borrowed_tests_exist() -> None:
    for name in ELSEWHERE:
        path, _, function = name.partition("::")
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name


def test_borrowed_messages_are_the_code_s() -> None:
    known = "\n".join(messages())
    parts = [part.strip() for row in ELSEWHERE.values() for part in row.message.split("...")]
    assert [part for part in parts if part not in known] == []


def test_rows_are_told_apart() -> None:
    names = [row[0] for row in run.listed()]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[^|\n]+", cell) for row in run.listed() for cell in row if cell)
