"""Make every fault of the list and print what happened.

python tests/faults/run.py                   # those of seconds
python tests/faults/run.py --all             # with kills in every stage and ten million papers
python tests/faults/run.py --write           # nothing runs: the list into docs/faults.md
"""

import argparse
import ast
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "faults.md"
FIRST, LAST = "<!-- faults: begin -->", "<!-- faults: end -->"
HEADING = ("fault", "what happens", "message")


class Outcomes:
    """A pytest plugin that keeps how each fault's tests ended."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, ...], set[str]] = {}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        from tests.faults.listed import ELSEWHERE, Fault

        report = (yield).get_result()
        marker = item.get_closest_marker("fault")
        row = Fault(*marker.args) if marker else ELSEWHERE.get(item.nodeid.partition("[")[0])
        if row is not None and (report.when == "call" or not report.passed):
            self.found.setdefault(row, set()).add(report.outcome)


def listed() -> list[tuple[str, ...]]:
    """The rows of the list, without running anything: from the marks in the tests, then those of other tests."""
    from tests.faults.listed import ELSEWHERE

    rows: dict[tuple[str, ...], None] = {}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        constants = {
            node.targets[0].id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "fault":
                row = tuple(constants[a.id] if isinstance(a, ast.Name) else ast.literal_eval(a) for a in node.args)
                rows[(*row, "")[:3]] = None
    return [*rows, *(tuple(row) for row in ELSEWHERE.values())]


def table(rows: list[tuple[str, ...]], heading: tuple[str, ...]) -> str:
    """A Markdown table."""
    lines = [heading, tuple(":--" for _ in heading), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def page(text: str) -> str:
    """The page with the list as the tests have it."""
    rows = [(what, happens, f"`{message}`" if message else "") for what, happens, message in listed()]
    return re.sub(f"{FIRST}.*{LAST}", lambda _: f"{FIRST}\n{table(rows, HEADING)}\n{LAST}", text, flags=re.DOTALL)


def make_all(everything: bool) -> int:
    """Run the tests behind the list and print it with the outcome; pytest's exit status."""
    if everything:
        os.environ["SEMCSE_FAULTS"] = "all"
    from tests.faults.listed import ELSEWHERE

    outcomes = Outcomes()
    os.chdir(ROOT)
    status = int(pytest.main(["-q", "tests/faults", *ELSEWHERE], plugins=[outcomes]))
    rows = [(*row, ", ".join(sorted(found))) for row, found in outcomes.found.items()]
    print(table(rows, (*HEADING, "made")))  # noqa: T201
    return status


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="the long ones, too")
    parser.add_argument("--write", action="store_true", help="write the list into docs/faults.md and run nothing")
    given = parser.parse_args()
    if given.write:
        PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
        return 0
    return make_all(given.all)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
