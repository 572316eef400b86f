"""Where the benchmark's sets come from: the hub, a local copy of it, or the original tool's local files (section 2).

A set is `{"name": ..., "config": ...}` or a local path. Rows are streamed; nothing is held but what the caller keeps.
"""

import csv
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

Row = dict[str, Any]
Spec = str | Path | Mapping[str, str]

_LOCAL_NAMES = {"metadata": ("reviewer_metadata",), "evaluation": ("meta", "metadata")}
_SUFFIXES = (".csv", ".jsonl", ".json", ".csv.gz", ".jsonl.gz", ".json.gz", ".parquet")


@dataclass(frozen=True)
class DataSource:
    """Where sets are read from.

    `root`: a folder with local copies of the hub's repositories, `<root>/scirepeval/<config>/...` and
    `<root>/scirepeval_test/<config>/...` (Parquet, JSON lines or CSV); relative local paths start there too. Without it
    sets come from the hub through `datasets`, at `revision` (a commit id, or one for each data set name), streamed.
    """

    root: Path | None = None
    revision: str | Mapping[str, str] | None = None

    def rows(self, spec: Spec, split: str) -> Iterator[Row]:
        """The rows of one split of a set, in stored order.

        Raises FileNotFoundError with the places looked at and what to download, ValueError for unreadable rows.
        """
        if isinstance(spec, Mapping) and self.root is None:
            yield from self._hub_rows(spec, split)
            return
        for path in self._files(spec, split):
            yield from read_rows(path)

    def _hub_rows(self, spec: Mapping[str, str], split: str) -> Iterator[Row]:
        import datasets

        revision = self.revision.get(spec["name"]) if isinstance(self.revision, Mapping) else self.revision
        try:
            stored = datasets.load_dataset(spec["name"], spec["config"], split=split, revision=revision, streaming=True)
        except (OSError, ValueError) as error:
            raise FileNotFoundError(
                f"cannot read {spec['name']} ({spec['config']}, split {split}) from the hub: {error}. Without"
                " a network, put a copy of the data set (about 24 GB for both in full; single configs suffice) into a"
                " folder and pass it as root"
            ) from error
        yield from (dict(row) for row in stored)

    def _files(self, spec: Spec, split: str) -> list[Path]:
        if isinstance(spec, Mapping):
            short = spec["name"].rsplit("/", 1)[-1]
            homes = [Path(self.root or ".") / name / spec["config"] for name in (short, spec["name"])]
        else:
            homes = [(self.root or Path()) / spec]
        for home in homes:
            if found := _split_files(home, split):
                return found
        looked = " and ".join(str(home) for home in homes)
        raise FileNotFoundError(
            f"no files of split {split!r} found; looked in {looked} for {split}.* or {split}-*.parquet"
        )


def read_rows(path: Path) -> Iterator[Row]:
    """Rows of a CSV, JSON lines, JSON (array, or object of records) or Parquet file, by its suffix; .gz is unpacked."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        yield from _parquet_rows(path)
    elif name.endswith(".csv"):
        with _open(path) as handle:
            yield from csv.DictReader(handle)
    elif name.endswith(".jsonl") or not _is_whole_json(path):
        yield from _json_lines(path)
    else:
        with _open(path) as handle:
            content = json.load(handle)
        yield from content if isinstance(content, list) else content.values()


def _split_files(home: Path, split: str) -> list[Path]:
    if home.is_file():
        return [home]
    for stem in (split, f"{split}_qrel", *_LOCAL_NAMES.get(split, ())):
        for suffix in _SUFFIXES:
            if (home / f"{stem}{suffix}").is_file():
                return [home / f"{stem}{suffix}"]
    return sorted(home.glob(f"{split}-*.parquet"))


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _is_whole_json(path: Path) -> bool:
    """Whether a .json file is one array or one object of records, rather than an object a line."""
    with _open(path) as handle:
        first = handle.readline().strip()
    try:
        record = json.loads(first)
    except ValueError:
        return True
    return isinstance(record, list) or all(isinstance(value, dict) for value in record.values())


def _json_lines(path: Path) -> Iterator[Row]:
    with _open(path) as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: not a JSON object: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"{path}, line {number}: expected a JSON object, got {type(row).__name__}")
            yield row


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1024):
            yield from batch.to_pylist()
