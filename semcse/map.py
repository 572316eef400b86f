"""An interactive map of papers in one HTML file that needs no network: pan, zoom, search, nearest papers by click."""

import base64
import hashlib
import html
import json
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from semcse.figures.style import GREY, Look, field_looks
from semcse.files import write_atomic

MOST_FIELDS = 42
"""Fields with a colour and marker of their own; the rest share grey."""
OTHERS = "other or not stated"
NOT_STATED = "field not stated"


def write_map(
    path: str | os.PathLike[str],
    points: NDArray[np.floating],
    titles: Sequence[str],
    fields: Sequence[str | None],
    neighbours: NDArray[np.integer] | None = None,
    heading: str = "Map of papers",
) -> Path:
    """Write the map to `path` (one .html file, whole or not at all) and return the path.

    `points` (N, 2) are positions (`projection.tsne`), `titles` and `fields` (N,) say what is shown;
    `neighbours` (N, k) are indices of each paper's nearest papers in the embedding space, nearest first,
    which a click lists. Titles may hold anything: they are shown as text and never run. Raises ValueError for
    lengths that differ, positions that are not finite, and neighbours that are no paper.
    """
    return write_atomic(path, map_html(points, titles, fields, neighbours, heading))


def map_html(
    points: NDArray[np.floating],
    titles: Sequence[str],
    fields: Sequence[str | None],
    neighbours: NDArray[np.integer] | None = None,
    heading: str = "Map of papers",
) -> str:
    """The page that `write_map` writes."""
    near = np.zeros((len(titles), 0), dtype=np.uint32) if neighbours is None else np.asarray(neighbours)
    _check(points, titles, fields, near)
    known = _fields(fields)
    data = {
        "titles": [str(title) for title in titles],
        "fields": known.names,
        "groups": known.groups,
        "group": known.group,
        "looks": [[look.colour, look.marker] for look in known.looks],
        "xy": _packed(points, "<f4"),
        "field": _packed(known.codes, "<u2"),
        "neighbours": _packed(near, "<u4"),
        "k": near.shape[1],
    }
    script, style = _template("map.js"), _template("map.css")
    page = _template("map.html")
    page = page.replace("@@SCRIPT_HASH@@", _hash(script)).replace("@@STYLE_HASH@@", _hash(style))
    page = page.replace("@@STYLE@@", style).replace("@@SCRIPT@@", script)
    # Texts from outside come last, so that nothing in them can be taken for a place in the template.
    head, tail = page.replace("@@TITLE@@", html.escape(heading)).split("@@DATA@@")
    return head + _inert_json(data) + tail


def _check(
    points: NDArray[np.floating], titles: Sequence[str], fields: Sequence[str | None], near: NDArray[np.integer]
) -> None:
    n = len(titles)
    if n == 0:
        raise ValueError("a map needs at least one paper")
    if points.shape != (n, 2) or len(fields) != n or near.ndim != 2 or len(near) != n:
        raise ValueError(
            f"a map of {n} titles needs points ({n}, 2), {n} fields and neighbours ({n}, k); "
            f"got {points.shape}, {len(fields)} and {near.shape}"
        )
    if not np.isfinite(points).all():
        raise ValueError(f"the position of paper {int(np.argmin(np.isfinite(points).all(axis=1)))} is not finite")
    if near.size and (not np.issubdtype(near.dtype, np.integer) or near.min() < 0 or near.max() >= n):
        raise ValueError(
            f"neighbours must be indices from 0 to {n - 1}, got {near.min()} to {near.max()} ({near.dtype})"
        )


class Fields(NamedTuple):
    """What the page knows about fields: their names, each paper's field, and the legend's entries."""

    names: list[str]
    codes: NDArray[np.uint16]
    groups: list[str]
    looks: list[Look]
    group: list[int]


def _fields(fields: Sequence[str | None]) -> Fields:
    """Each of the common fields is a legend entry of its own; the others share the last one."""
    values = pd.Series([NOT_STATED if field is None else str(field) for field in fields], dtype=object)
    counts = values[values != NOT_STATED].value_counts()
    common = sorted(counts.index[:MOST_FIELDS])
    names = [*common, *sorted(set(values) - set(common))]
    if len(names) > 2**16:
        raise ValueError(f"a map shows at most {2**16} different fields, got {len(names)}")
    places = {name: place for place, name in enumerate(names)}
    rest = len(names) > len(common)
    return Fields(
        names,
        np.array([places[value] for value in values], dtype=np.uint16),
        common + [OTHERS] * rest,
        [*field_looks(common).values(), *[Look(GREY, "o")] * rest],
        [min(place, len(common)) for place in range(len(names))],
    )


def _packed(array: NDArray[np.generic], kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype=kind).tobytes()).decode("ascii")


def _inert_json(data: object) -> str:
    """JSON that cannot end its script element: no "<" is left in it, nor anything outside ASCII."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    """The hash by which the page's policy lets this one script (or style) run and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _template(name: str) -> str:
    return files("semcse").joinpath("templates", name).read_text(encoding="utf-8")
