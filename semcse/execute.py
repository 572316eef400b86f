"""One notebook executed by papermill; the workflow calls `python -m semcse.execute NOTEBOOK OUTPUT PARAMETERS`."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import papermill
import yaml
from nbformat import NotebookNode
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

WORTH_A_LINE = 2.0
"""Seconds from which on a finished cell is reported."""


class PlainLines:
    """Papermill's progress as lines, for terminals and job logs alike: one for each cell that took a while."""

    def __init__(self, title: str, cells: int) -> None:
        self.title, self.cells, self.n = title, cells, 0
        self.last = time.monotonic()

    def update(self, count: int) -> None:
        """`count` more cells are done."""
        self.n += count
        now = time.monotonic()
        spent, self.last = now - self.last, now
        if spent >= WORTH_A_LINE:
            say(f"{self.title}: cell {self.n} of {self.cells} took {spent:.0f} s")

    def refresh(self) -> None:
        """Nothing to draw again."""

    def close(self) -> None:
        """Nothing to clear."""


class PlainEngine(NBClientEngine):  # type: ignore[misc]  # papermill has no types
    """Papermill's own engine with plain lines in place of its progress bar."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: NotebookExecutionManager, kernel_name: str, **options: Any
    ) -> NotebookNode:
        nb_man.pbar = PlainLines(Path(nb_man.output_path).stem, len(nb_man.nb.cells))
        executed: NotebookNode = super().execute_managed_notebook(nb_man, kernel_name, **options)
        return executed


@contextmanager
def own_sockets() -> Iterator[Config]:
    """A kernel configuration that cannot meet another's: sockets in a folder of its own instead of ports.

    A port is free when it is looked for and may be taken when the kernel opens it; many notebooks that start at once
    on one machine would race for them.
    """
    with tempfile.TemporaryDirectory(prefix="semcse-") as folder:
        yield Config(KernelManager={"transport": "ipc", "ip": f"{folder}/kernel"})


def execute(notebook: Path, output: Path, parameters: Path) -> str | None:
    """Execute `notebook` into `output`; what went wrong as a readable message, or None.

    What cells print goes to stdout as it comes. The executed copy is written cell by cell, so that it holds the
    error after a failure.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    papermill_engines.register("semcse", PlainEngine)
    try:
        with own_sockets() as config:
            papermill.execute_notebook(
                str(notebook),
                str(output),
                parameters=yaml.safe_load(parameters.read_text("utf-8")),
                cwd=str(notebook.parent),
                engine_name="semcse",
                kernel_name="python3",
                progress_bar=False,
                stdout_file=sys.stdout,
                config=config,
            )
    except PapermillExecutionError as error:
        return f"cell {error.exec_count} failed: {error.ename}: {error.evalue}\n  executed copy: {output}"
    return None


def main(notebook: str, output: str, parameters: str) -> int:
    """Execute and report; 0 or 1 for the shell."""
    title = Path(output).stem
    say(f"{title}: started")
    started = time.monotonic()
    problem = execute(Path(notebook), Path(output), Path(parameters))
    spent = time.monotonic() - started
    say(f"{title}: done in {spent:.0f} s" if problem is None else f"{title}: {problem}")
    return 0 if problem is None else 1


def say(line: str) -> None:
    """One line for the terminal or a job's log."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
