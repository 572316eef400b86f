"""SciRepEval results of a run: the paper's, imported ones, and our own, as one table of tidy rows."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import yaml

from semcse import published
from semcse.schema import SciRepEval
from semcse.scirepeval.official import read_official


def scirepeval_results(run: str | os.PathLike[str], settings: SciRepEval) -> pd.DataFrame:
    """Rows `table, type, task, metric, model, value`: the paper's models, then `official`, then `results/scirepeval/`.

    Raises ValueError for a model that the paper does not have, and for results under a name that is taken.
    """
    paper = published.individual()
    unknown = sorted({*settings.models} - {*paper["model"]})
    if unknown:
        raise ValueError(f"the paper has no individual results of {unknown}; it has {sorted(set(paper['model']))}")
    parts = [paper[paper["model"].isin(settings.models)] if settings.models else paper]
    own = {path.stem: str(path) for path in sorted((Path(run) / "results" / "scirepeval").glob("*.json"))}
    for name, path in [*settings.official.items(), *own.items()]:
        if any(name in set(part["model"]) for part in parts):
            raise ValueError(f"{path}: there are results of {name!r} already; give it another name")
        parts.append(read_official(path, name, failed="skip"))
    return pd.concat(parts, ignore_index=True)


def scirepeval_settings(run: str | os.PathLike[str]) -> SciRepEval:
    """The section with which notebook 05 ran last in this folder, or the defaults."""
    path = Path(run) / "params" / "scirepeval.yaml"
    return SciRepEval.of(yaml.safe_load(path.read_text("utf-8"))) if path.is_file() else SciRepEval()
