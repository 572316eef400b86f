"""Where continuations are kept: Parquet shards that appear whole, and a manifest that says what they are."""

import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from semcse.files import atomic_path, write_atomic
from semcse.papers import read_table
from semcse.readers import DataError, read_object

MANIFEST = "manifest.json"
COLUMNS = ["corpus_id", "prompt", "draw", "text", "tokens", "finish_reason", "model", "seed"]
EXTRA = ["attempt", "reject"]
ABANDONED = 3600.0
"""Seconds after which a half-written shard is nobody's; writing one takes far less."""


def shard_path(folder: Path, number: int) -> Path:
    """The file of shard `number`, from 0."""
    return folder / f"shard-{number:05d}.parquet"


def write_shard(path: Path, rows: Sequence[Mapping[str, Any]], fingerprint: str, integer_ids: bool) -> dict[str, Any]:
    """Write the rows of a shard, accepted (`reject` None) and rejected, and return their counts."""
    counts = _count(rows)
    metadata = {"fingerprint": fingerprint, "counts": json.dumps(counts)}
    table = pa.Table.from_pylist(list(rows), _schema(integer_ids)).replace_schema_metadata(metadata)
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True)
    return counts


def _count(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    places = {(row["corpus_id"], row["prompt"], row["draw"]) for row in rows}
    rejected = Counter(row["reject"] for row in rows if row["reject"] is not None)
    kept = len(rows) - rejected.total()
    tokens = sum(row["tokens"] for row in rows)
    return {"rows": kept, "unfilled": len(places) - kept, "tokens": tokens, "rejected": dict(sorted(rejected.items()))}


def _schema(integer_ids: bool) -> pa.Schema:
    kinds = {"draw": pa.int32(), "tokens": pa.int32(), "seed": pa.int64(), "attempt": pa.int32()}
    kinds["corpus_id"] = pa.int64() if integer_ids else pa.string()
    return pa.schema([(name, kinds.get(name, pa.string())) for name in [*COLUMNS, *EXTRA]])


def _tidy_up(folder: Path) -> None:
    """Remove what killed processes left half written. Young files may belong to one that is writing now."""
    for leftover in folder.glob(".shard-*"):
        with suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime > ABANDONED:
                leftover.unlink()


def shard_counts(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """The counts stored in a finished shard, or None when it is missing, damaged, or belongs to another job."""
    try:
        metadata = pq.read_schema(path).metadata or {}
        if metadata.get(b"fingerprint", b"").decode() != fingerprint:
            return None
        counts: dict[str, Any] = json.loads(metadata[b"counts"])
    except (OSError, ValueError, KeyError):  # Arrow's errors are of the first two
        return None
    return counts


def enter_folder(folder: Path, manifest: Mapping[str, Any], redo: bool) -> None:
    """Write the manifest; where another one is there, raise DataError, or with `redo` replace it.

    `manifest["shards"]` holds the fingerprint of each shard. With `redo`, shards that differ are removed first.
    """
    _tidy_up(folder)
    path = folder / MANIFEST
    new = json.loads(json.dumps(manifest))
    old = _old_manifest(path, redo)
    if old == new:
        return
    if old is not None and not redo:
        changed = sorted(key for key in new | old if new.get(key) != old.get(key))
        details = "; ".join(f"{key} is {new.get(key)!r:.60}, was {old.get(key)!r:.60}" for key in changed)
        raise DataError(
            f"{path}: the folder holds another job ({details}). Choose another folder, or ask to redo what differs."
        )
    valid = {shard_path(folder, number): mark for number, mark in enumerate(new["shards"])}
    for shard in folder.glob("shard-*.parquet"):
        if shard not in valid or shard_counts(shard, valid[shard]) is None:
            shard.unlink(missing_ok=True)
    write_atomic(path, json.dumps(new, indent=2, ensure_ascii=False) + "\n")


def _old_manifest(path: Path, redo: bool) -> dict[str, Any] | None:
    """The manifest that is there; a damaged one is as good as none where the folder is to be redone."""
    if not path.exists():
        return None
    try:
        return read_object(path, "Delete it if the folder holds this job: its shards are then told by their own marks.")
    except DataError:
        if redo:
            return None
        raise


def load_rows(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """All rows, accepted and rejected, in the order of the papers.

    Raises DataError unless every shard that the manifest announces is there.
    """
    marks = read_manifest(folder)["shards"]
    paths = [shard_path(Path(folder), number) for number in range(len(marks))]
    missing = [path.name for path, mark in zip(paths, marks, strict=True) if shard_counts(path, mark) is None]
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} of {len(paths)} shards are missing ({missing[0]}, ...): the job has not ended. "
            "Start it again with the same parameters; it continues."
        )
    remedy = "Delete it and write it alone anew: semcse run SPEC --only 02."
    table: pd.DataFrame = pa.concat_tables([read_table(path, remedy) for path in paths]).to_pandas()
    return table


def read_manifest(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What the job in `folder` is: writer, prompts, draws, seed, rules, papers, and the fingerprints of its shards."""
    path = Path(folder) / MANIFEST
    if not path.exists():
        raise DataError(f"{path}: no such file. The folder holds no job yet: run the summary stage first.")
    return read_object(path, "Run the summary stage again: it is written anew, and the shards stay.")
