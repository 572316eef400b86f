"""One notebook executed by papermill; the workflow calls `python -m semcse.execute NOTEBOOK OUTPUT PARAMETERS`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import papermill
import yaml
from papermill.exceptions import PapermillExecutionError


def execute(notebook: Path, output: Path, parameters: Path) -> str | None:
    """Execute `notebook` into `output`; what went wrong as a readable message, or None.

    What cells print goes to stdout as it comes. The executed copy is written cell by cell, so that it holds the
    error after a failure.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            str(notebook),
            str(output),
            parameters=yaml.safe_load(parameters.read_text("utf-8")),
            cwd=str(notebook.parent),
            kernel_name="python3",
            progress_bar=False,
            stdout_file=sys.stdout,
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
