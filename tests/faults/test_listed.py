"""The list in docs is the one of the tests, and the tests that it borrows exist."""

import ast
import re

import pytest

from tests.commands import ROOT
from tests.faults import run
from tests.faults.listed import ELSEWHERE, Fault
from tests.test_docs import messages


def test_the_page_holds_the_list() -> None:
    text = run.PAGE.read_text("utf-8")
    assert run.page(text) == text, "run: python tests/faults/run.py --write"
    assert text.count("\n| ") == len(run.listed()) + 2
    assert len(run.listed()) > 35


@pytest.mark.parametrize("name", ELSEWHERE)
def test_borrowed_tests_exist(name: str) -> None:
    path, _, function = name.partition("::")
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ELSEWHERE.values(), ids=lambda row: row.what)
def test_borrowed_messages_are_the_code_s(row: Fault) -> None:
    known = "\n".join(messages())
    assert all(part.strip() in known for part in row.message.split("..."))


def test_rows_are_told_apart() -> None:
    names = [row[0] for row in run.listed()]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[^|\n]+", cell) for row in run.listed() for cell in row if cell)
