"""Functions stay small enough to be read at once."""

import ast
from pathlib import Path

import pytest

LONGEST, USUAL, SHARE = 80, 35, 0.9
"""Lines of a function, docstring included: none has more than the first, this share has fewer than the second."""


def lengths(root: Path, folder: str) -> dict[str, int]:
    """Lines of every function, by file and name."""
    found = {}
    for path in sorted((root / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                place = f"{path.relative_to(root)}:{node.lineno} {node.name}"
                found[place] = (node.end_lineno or node.lineno) - node.lineno + 1
    return found


@pytest.mark.parametrize("folder", ["semcse", "benchmarks", "docs", "tests", ".ci"])
def test_nine_functions_in_ten_are_short_and_none_is_long(folder: str, root: Path) -> None:
    found = lengths(root, folder)
    assert len(found) >= 5
    assert {place: lines for place, lines in found.items() if lines > LONGEST} == {}
    assert sum(lines < USUAL for lines in found.values()) >= SHARE * len(found)


def test_a_long_function_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "class A:\n    async def long(self):\n        '''Says.\n        '''\n        return 1\n"
    )
    assert lengths(tmp_path, ".") == {"a.py:2 long": 4}
