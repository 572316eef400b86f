"""Executed notebooks: what papermill noted of times and errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Failure:
    """The error that ended a notebook."""

    message: str
    cell: int | None = None
    traceback: str = ""


@dataclass(frozen=True)
class Execution:
    """What papermill noted in an executed notebook; times in UTC, seconds as papermill measured them."""

    started: datetime | None = None
    ended: datetime | None = None
    seconds: float | None = None
    failure: Failure | None = None


def read_execution(notebook: Path) -> Execution:
    """Times and error of an executed notebook."""
    content = read_json(notebook) or {}
    cells, metadata = content.get("cells"), content.get("metadata", {})
    if not (isinstance(cells, list) and all(isinstance(cell, dict) for cell in cells) and isinstance(metadata, dict)):
        return Execution(failure=Failure("the executed notebook is damaged: it cannot be read"))
    noted = metadata.get("papermill") or {}
    failure = next((found for cell in cells if (found := _failure(cell))), None)
    return Execution(time_of(noted.get("start_time")), time_of(noted.get("end_time")), noted.get("duration"), failure)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is no such file or it cannot be read."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def time_of(text: Any) -> datetime | None:
    """A noted time, in UTC where it names no zone; None where it is none."""
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _failure(cell: Mapping[str, Any]) -> Failure | None:
    for output in cell.get("outputs", []):
        if output.get("output_type") == "error":
            message = f"{output.get('ename')}: {output.get('evalue')}"
            return Failure(message, cell.get("execution_count"), "\n".join(output.get("traceback", [])))
    return None
