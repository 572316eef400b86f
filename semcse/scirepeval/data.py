"""Where the benchmark's sets come from: the hub, a local copy of it, or the original tool's local files (section 2).

A set is `{"name": ..., "config": ...}` or a local path. Rows are streamed; nothing is held but what the caller keeps.
"""

import csv
import gzip
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import IterableDataset

Row = dict[str, Any]
Spec = str | Path | Mapping[str, str]

HUB_SETS = ("allenai/scirepeval", "allenai/scirepeval_test")
EXPORT = "refs/convert/parquet"
"""The hub's export of a data set as Parquet files; both sets need it, since their loading scripts no longer run."""

_LOCAL_NAMES = {"metadata": ("reviewer_metadata",), "evaluation": ("meta", "metadata")}
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WITHOUT_NETWORK = (
    "Without a network, put a copy of the sets (24 GB for both in full; single configs suffice) into a folder"
    " and name it: scirepeval.data in a parameter set, --data on the command line, DataSource(root=...) in Python"
)
_SUFFIXES = (".csv", ".jsonl", ".json", ".csv.gz", ".jsonl.gz", ".json.gz", ".parquet")


@dataclass(frozen=True)
class DataSource:
    """Where sets are read from.

    `root`: a folder with local copies of the hub's repositories, `<root>/scirepeval/<config>/...` and
    `<root>/scirepeval_test/<config>/...` (Parquet, JSON lines or CSV); relative local paths start there too. Without it
    sets come from the hub's Parquet export through `datasets`, streamed, at `revision`: a commit of that export for
    each data set name. A name without one takes the newest, which `pinned` looks up.
    """

    root: Path | None = None
    revision: Mapping[str, str] = field(default_factory=dict)

    def pinned(self, names: Iterable[str] = HUB_SETS) -> "DataSource":
        """This source with a commit for each of the hub data sets `names`, so that all sets come from one state.

        A local copy stays as it is. Raises FileNotFoundError where the hub cannot be asked.
        """
        if self.root is not None:
            return self
        found = {name: self.revision.get(name, EXPORT) for name in names}
        return DataSource(revision={name: _commit(name, revision) for name, revision in found.items()})

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
        revision = self.revision.get(spec["name"], EXPORT)
        try:
            stored = hub_stream(spec["name"], revision, spec["config"], split)
        except ConnectionError as error:
            raise FileNotFoundError(f"{error}. {_WITHOUT_NETWORK}") from error
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
            f"no files of split {split!r} found; looked in {looked} for {split}.*, {split}-*.parquet"
            f" or {split}/*.parquet"
        )


def hub_stream(name: str, revision: str, config: str, split: str) -> "IterableDataset":
    """One split of a hub data set from its Parquet export, streamed. Raises ConnectionError with address and reason."""
    import datasets

    files = f"hf://datasets/{name}@{revision.replace('/', '%2F')}/{config}/{split}/*.parquet"
    try:
        return datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
    except Exception as error:  # whatever HTTP library the hub's client uses in this version
        raise ConnectionError(f"cannot read {files}: {type(error).__name__}: {error}") from error


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
    return sorted(home.glob(f"{split}-*.parquet")) or sorted((home / split).glob("*.parquet"))


def _commit(name: str, revision: str) -> str:
    """The commit id that a branch or tag of a hub data set has now."""
    if _COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi

    try:
        found = HfApi().dataset_info(name, revision=revision).sha
    except Exception as error:  # see hub_stream
        reason = f"{type(error).__name__}: {error}"
        raise FileNotFoundError(f"cannot ask the hub for {name} at {revision}: {reason}. {_WITHOUT_NETWORK}") from error
    return str(found)


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
