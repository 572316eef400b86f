"""From the rows of a meta set to the texts that are embedded (protocol sections 2 and 3.1)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from semcse.scirepeval.data import DataSource
from semcse.scirepeval.tasks import is_reviewer_task

FIELDS = ("title", "abstract")


def document_text(record: Mapping[str, Any], separator: str, fields: Sequence[str] = FIELDS) -> str:
    """The fields that are there and not empty, as strings, joined by one space, the separator and one space."""
    return f" {separator} ".join(str(record[field]) for field in fields if record.get(field)).strip()


def documents(
    task: Mapping[str, Any], source: DataSource, separator: str, counts: Counter[str] | None = None
) -> Iterator[tuple[str, str]]:
    """(doc_id, text) of every document of a task's meta set, each id once, queries before candidates.

    `counts` receives `documents`, `without_text`, and the rows skipped as `without_id` or `repeated`.
    """
    tally = Counter() if counts is None else counts
    fields = task.get("fields") or FIELDS
    seen: set[str] = set()
    for record in _records(task, source):
        identifier = record.get("doc_id")
        if identifier is None or identifier == "":
            tally["without_id"] += 1
        elif str(identifier) in seen:
            tally["repeated"] += 1
        else:
            seen.add(str(identifier))
            text = document_text(record, separator, fields)
            tally["documents"] += 1
            tally["without_text"] += not text
            yield str(identifier), text


def has_plain_meta(task: Mapping[str, Any]) -> bool:
    """Whether the meta set has one row a document, rather than queries with their candidates."""
    supervised = task["type"] in ("classification", "regression")
    return supervised or bool(task["data"].get("simple_format")) or is_reviewer_task(task)


def _records(task: Mapping[str, Any], source: DataSource) -> Iterator[Mapping[str, Any]]:
    meta = task["data"].get("meta")
    if not meta:
        raise ValueError(f"task {task['name']!r} has no meta set, so there are no texts to embed")
    if has_plain_meta(task):
        yield from source.rows(meta, "evaluation")
        return
    for row in source.rows(meta, "evaluation"):
        query = row.get("query")
        yield query if isinstance(query, Mapping) else {"doc_id": row.get("doc_id"), "title": query}
    for row in source.rows(meta, "evaluation"):
        yield from row.get("candidates") or ()
