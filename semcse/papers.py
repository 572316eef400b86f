"""Papers: where they come from, and which of them can be used.

A paper has `corpus_id` (int, or str where the data's ids are not integers), `title`, `abstract`, `source` and `field`
(str or None).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from semcse.cleaning import canonical
from semcse.readers import DataError, read_jsonl
from semcse.sentences import split_sentences

COLUMNS = ("corpus_id", "title", "abstract", "source", "field")
Located = tuple[str, dict[str, Any]]
"""Where a row stands, for messages, and the row."""


def load_papers(
    source: Literal["demo", "file"] = "demo",
    path: str | os.PathLike[str] | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    invalid: Literal["error", "drop"] = "error",
    min_sentences: int = 2,
) -> Dataset:
    """Papers of the bundled demo corpus or of a JSONL, CSV or Parquet file (JSONL and CSV also gzip-compressed).

    `columns` maps our column names to the file's. Without an id column the row number is the id. A paper without a
    title, an abstract of fewer than `min_sentences` sentences, and a repeated id or title raise DataError, or are left
    out with `invalid="drop"`; `clean` tells which and why. SciRepEval is read by `semcse.splits`.
    """
    rows = demo_rows() if source == "demo" else file_rows(_given(path), columns or {})
    return clean(rows, invalid=invalid, min_sentences=min_sentences)[0]


def demo_rows() -> Iterator[Located]:
    """The rows of the bundled corpus of 1,000 fictional papers."""
    with resources.as_file(resources.files("semcse") / "data" / "demo_corpus.jsonl.gz") as path:
        for number, row in read_jsonl(path):
            yield f"demo corpus, line {number}", {**row, "source": "demo"}


def file_rows(path: str | os.PathLike[str], columns: Mapping[str, str]) -> Iterator[Located]:
    """The rows of a file, under our column names."""
    path = Path(path)
    name = path.name.removesuffix(".gz")
    if not path.is_file():
        raise DataError(f"{path}: no such file. Check the path.")
    rows: Iterator[Located]
    if name.endswith((".jsonl", ".json", ".ndjson")):
        rows = ((f"{path}, line {number}", row) for number, row in read_jsonl(path))
    elif name.endswith((".csv", ".tsv")):
        rows = _csv_rows(path, "\t" if name.endswith(".tsv") else ",")
    elif name.endswith(".parquet"):
        rows = _parquet_rows(path)
    else:
        raise DataError(f"{path}: expected a name ending in .jsonl, .csv, .tsv or .parquet (the first three also .gz)")
    return _renamed(rows, columns, default_source=name.partition(".")[0])


def clean(
    rows: Iterable[Located], *, invalid: Literal["error", "drop"] = "error", min_sentences: int = 2
) -> tuple[Dataset, pd.DataFrame]:
    """Usable papers, and the others as a table with `where`, `corpus_id`, `title` and `reason`.

    Of papers with the same id or the same normalised title the first is kept. With `invalid="error"` any unusable
    paper raises DataError with the first five and the remedy.
    """
    seen: dict[str, str] = {}
    dropped: list[dict[str, Any]] = []
    kept = usable(rows, min_sentences, seen, dropped)
    papers = to_dataset(kept)
    report = drop_report(dropped, invalid)
    if not len(papers):
        raise DataError("no papers: the source is empty, or nothing in it can be used")
    return papers, report


def usable(
    rows: Iterable[Located], min_sentences: int, seen: dict[str, str], dropped: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """The papers among `rows` that can be used, lazily; the others join `dropped`.

    `seen` maps the ids and normalised titles met so far to where they stood; share it to keep several sources apart.
    """
    for where, row in rows:
        paper = {**row, "title": tidy(row.get("title")) or "", "abstract": tidy(row.get("abstract")) or ""}
        keys = [f"id {paper['corpus_id']}", f"title {normalised_title(paper['title'])}"]
        reason = _reason(paper, min_sentences) or _repeated(keys, seen)
        if reason:
            dropped.append({"where": where, **{k: paper[k] for k in ("corpus_id", "title")}, "reason": reason})
            continue
        seen.update(dict.fromkeys(keys, where))
        yield paper


def drop_report(dropped: Sequence[Mapping[str, Any]], invalid: Literal["error", "drop"]) -> pd.DataFrame:
    """Unusable papers as a table; DataError if there are any and they are not to be left out."""
    report = pd.DataFrame(dropped, columns=["where", "corpus_id", "title", "reason"])
    if invalid == "error" and dropped:
        raise DataError(_refusal(report))
    return report


def to_dataset(papers: Iterable[Mapping[str, Any]]) -> Dataset:
    """Papers as an Arrow table, built in blocks so that memory holds the text once."""
    papers = iter(papers)
    tables = [pa.table({"corpus_id": pa.array([], pa.string()), **_strings({name: [] for name in COLUMNS[1:]})})]
    while block := list(islice(papers, 10_000)):
        ids = [paper["corpus_id"] for paper in block]
        columns = {name: [tidy(paper.get(name)) for paper in block] for name in COLUMNS[1:]}
        tables.append(pa.table({"corpus_id": pa.array([str(i) for i in ids]), **_strings(columns)}))
    table = pa.concat_tables(tables)
    return Dataset(table.set_column(0, "corpus_id", _typed_ids(table["corpus_id"])))


def read_parquet(path: str | os.PathLike[str]) -> Dataset:
    """Papers of a run, without a detour over the datasets cache. Raises DataError for a damaged file."""
    return Dataset(read_table(path, "Write it anew: semcse run SPEC --only 01."))


def read_table(path: str | os.PathLike[str], remedy: str) -> pa.Table:
    """A Parquet file that a stage wrote; DataError with the remedy where it is damaged."""
    try:
        return pq.read_table(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: damaged ({error}). {remedy}") from error


def normalised_title(title: str) -> str:
    """Lower-case letters and digits only: what two spellings of one title share."""
    return canonical(title).replace(" ", "")


def tidy(value: Any) -> str | None:
    """A text with single spaces in place of its white space; None for one that is missing or blank."""
    if value is None or value != value:  # NaN, as pandas writes a missing text
        return None
    return " ".join(str(value).split()) or None


def paper_text(paper: Mapping[str, Any], separator: str) -> str:
    """Title, the tokenizer's separator, abstract as one text; an empty part is left away (as SciRepEval)."""
    parts = [str(part).strip() for part in (paper.get("title"), paper.get("abstract")) if part]
    return f" {separator} ".join(part for part in parts if part)


def _given(path: str | os.PathLike[str] | None) -> str | os.PathLike[str]:
    if path is None:
        raise DataError("source 'file' needs a path: set sampling.path to a JSONL, CSV or Parquet file")
    return path


def _csv_rows(path: Path, separator: str) -> Iterator[Located]:
    try:
        chunks = pd.read_csv(
            path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig", chunksize=10_000
        )
        for chunk in chunks:
            for number, row in zip(chunk.index, chunk.to_dict("records"), strict=True):
                yield f"{path}, row {number + 1}", {str(key): value for key, value in row.items()}
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error}). Save the file as UTF-8.") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path}: not readable as CSV ({error}). Check quotes and separators.") from error
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: not readable ({error}). If it ends in .gz it must be gzip-compressed.") from error


def _parquet_rows(path: Path) -> Iterator[Located]:
    try:
        number = 0
        for batch in pq.ParquetFile(path).iter_batches(10_000):
            for row in batch.to_pylist():
                number += 1
                yield f"{path}, row {number}", row
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not readable as Parquet ({error}). Write the file again.") from error


def _renamed(rows: Iterable[Located], columns: Mapping[str, str], default_source: str) -> Iterator[Located]:
    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown:
        raise DataError(f"columns: {unknown} are not ours; map any of {list(COLUMNS)} to the file's names")
    for number, (where, row) in enumerate(rows, start=1):
        for name in ("title", "abstract", *columns):
            if columns.get(name, name) not in row:
                raise DataError(
                    f"{where}: no column {columns.get(name, name)!r}; there are {sorted(row)}. "
                    f"Name the right one: '{{{name}: COLUMN}}' as sampling.columns, or --columns of semcse embed"
                )
        paper = {name: row.get(columns.get(name, name)) for name in COLUMNS}
        paper["corpus_id"] = number if paper["corpus_id"] in (None, "") else paper["corpus_id"]
        yield where, {**paper, "source": paper["source"] or default_source}


def _reason(paper: Mapping[str, Any], min_sentences: int) -> str | None:
    if not normalised_title(paper["title"]):
        return "no title"
    if min_sentences and not paper["abstract"]:
        return "empty abstract"
    if len(split_sentences(paper["abstract"])) < min_sentences:
        return f"abstract of fewer than {min_sentences} sentences"
    return None


def _repeated(keys: Sequence[str], seen: Mapping[str, str]) -> str | None:
    for key in keys:
        if key in seen:
            return f"same {key.partition(' ')[0]} as {seen[key]}"
    return None


def _refusal(report: pd.DataFrame) -> str:
    rows = report.head(5).to_dict("records")
    first = [f"  {row['where']}: {row['reason']} ({row['title'][:60]!r})" for row in rows]
    more = [f"  and {len(report) - 5} more"] if len(report) > 5 else []
    remedy = "Correct them, or leave them out with -p sampling.invalid=drop (they are then listed in the notebook)."
    return "\n".join([f"{len(report)} papers cannot be used:", *first, *more, remedy])


def _strings(columns: Mapping[str, Sequence[str | None]]) -> dict[str, pa.Array]:
    return {name: pa.array(values, pa.string()) for name, values in columns.items()}


def _typed_ids(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Integers where every id is the plain writing of one ("7", not "007"), else strings."""
    try:
        numbers = ids.cast(pa.int64())
    except pa.ArrowInvalid:
        return ids
    return numbers if numbers.cast(pa.string()).equals(ids) else ids
