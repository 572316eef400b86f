"""Reading JSON Lines, plain or gzip-compressed, with errors that name file, line and remedy."""

import gzip
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from semcse.cleaning import without_surrogates

GZIP_MAGIC = b"\x1f\x8b"


class DataError(ValueError):
    """Input that cannot be used; the message names the file, the line or key, and what to do."""


def _open(path: Path) -> BufferedIOBase:
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path}: expected a JSON Lines file, but it {found}. Check the path in the parameters.")
    with path.open("rb") as handle:
        compressed = handle.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return gzip.open(path) if compressed or path.suffix == ".gz" else path.open("rb")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    with _open(path) as handle:
        try:
            for number, line in enumerate(handle, start=1):
                yield number, line
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(
                f"{path}: not readable as gzip after line {number} ({error}). "
                "The file is damaged, cut off or not compressed: fetch it again, or drop the .gz ending."
            ) from error


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    where = f"{path}, line {number}"
    try:
        row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 ({error}). Save the file as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error}). Expected one JSON object a line.") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, got {type(row).__name__}. One object a line, please.")
    if b"\\ud" in line or b"\\uD" in line:
        whole: dict[str, Any] = json.loads(without_surrogates(json.dumps(row, ensure_ascii=False)))
        return whole
    return row


def read_jsonl(path: str | os.PathLike[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON Lines file with their line numbers, from 1; blank lines are passed over.

    A file that ends in `.gz` or starts with gzip's signature is decompressed. Lazy: memory does not grow with
    the file. Lone surrogates become U+FFFD. Raises DataError for a missing file, unreadable gzip, text that is not
    UTF-8, and lines that are not JSON objects.
    """
    path = Path(path)
    for number, line in _lines(path):
        if line.strip():
            yield number, _parse(path, number, line)


def read_object(path: str | os.PathLike[str], remedy: str) -> dict[str, Any]:
    """The JSON object in a file that a stage wrote; DataError with the remedy where it is damaged.

    Raises FileNotFoundError where there is none.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except ValueError as error:  # JSON's, or UTF-8's
        raise DataError(f"{path}: damaged ({error}). {remedy}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: damaged (expected a JSON object, got {type(content).__name__}). {remedy}")
    return content


def require(row: Mapping[str, Any], key: str, path: str | os.PathLike[str], number: int, kind: type = str) -> Any:
    """The value of `key` in a row of `read_jsonl`, which must exist and be a `kind`; else DataError."""
    where = f"{path}, line {number}"
    if key not in row:
        raise DataError(f"{where}: no key {key!r}; the line has {sorted(row)}. Add it, or map the column names.")
    value = row[key]
    if not isinstance(value, kind):
        raise DataError(f"{where}: {key!r} should be {kind.__name__}, got {value!r:.80}. Correct the line.")
    return value
