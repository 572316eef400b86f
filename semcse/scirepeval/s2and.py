"""S2AND, author disambiguation: files for and from the separate tool `allenai/S2AND` (protocol section 4.6).

That tool reads embeddings from pickles, so pickles are written here; none is ever read. Its printed grid of B³ F1,
sources by targets, saved as text or CSV, gives the score.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from semcse.files import write_atomic
from semcse.scirepeval.data import read_rows
from semcse.scirepeval.driver import Encode
from semcse.scirepeval.tasks import S2AND, S2AND_METRIC
from semcse.scirepeval.texts import document_text

DATASETS = ("arnetminer", "inspire", "kisti", "pubmed", "qian", "zbmath")
SOURCE = "union"


def write_embeddings(folder: str | Path, encode: Encode, separator: str, suffix: str) -> list[Path]:
    """Embed `<folder>/<ds>/<ds>_papers.json` of the six sets and write `<ds>_<suffix>.pkl` beside each.

    Each pickle is a pair: float32 vectors (N, D) and ids (N,) as strings. Raises FileNotFoundError, naming every
    missing file, before anything is embedded.
    """
    papers = {name: Path(folder) / name / f"{name}_papers.json" for name in DATASETS}
    missing = [str(path) for path in papers.values() if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"S2AND files not found: {', '.join(missing)}; download the tool's data first")
    written = []
    for name, path in papers.items():
        records = list(read_rows(path))
        texts = [document_text(record, separator) for record in records]
        pair = (np.asarray(encode(texts), dtype=np.float32), np.array([str(r["paper_id"]) for r in records]))
        written.append(write_atomic(path.with_name(f"{name}_{suffix}.pkl"), pickle.dumps(pair)))
    return written


def read_b3(path: str | Path) -> float:
    """100 x the mean B³ F1 of the row `union` over the six sets, from the tool's grid as printed text or CSV.

    Raises ValueError when the row or one of the sets is missing.
    """
    lines = [_cells(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    header = next((cells for cells in lines if set(DATASETS) <= set(cells)), None)
    row = next((cells for cells in lines if cells[0] == SOURCE), None)
    if header is None or row is None:
        raise ValueError(f"{path}: expected a grid with columns {', '.join(DATASETS)} and a row {SOURCE!r}")
    targets = [cell for cell in header if cell in DATASETS or cell in (SOURCE, "s2")]
    values = dict(zip(targets, row[1:], strict=False))
    try:
        return round(100 * float(np.mean([float(values[name]) for name in DATASETS])), 2)
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path}: row {SOURCE!r} lacks a number for a set: {row}") from error


def with_s2and(result: Mapping[str, Any], b3_f1: float) -> dict[str, Any]:
    """A result object with the S2AND score (in percent) beside the other tasks."""
    if not 0 <= b3_f1 <= 100:
        raise ValueError(f"B³ F1 must be in percent, from 0 to 100, got {b3_f1}")
    return {**result, S2AND: {S2AND_METRIC: float(b3_f1)}}


def _cells(line: str) -> list[str]:
    parts = line.split(",") if "," in line else re.split(r"\s+|\|", line)
    return [part.strip() for part in parts if part.strip()] or [""]
