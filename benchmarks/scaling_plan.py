"""The scaling plan as Markdown: measured rates and stated assumptions, multiplied out for three sizes of corpus."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from semcse.files import write_atomic

CORPORA = {"350 thousand": 350_000, "10 million": 10_000_000, "200 million": 200_000_000}
MARKERS = ("<!-- tables: begin -->", "<!-- tables: end -->")
GIB, TIB = 2**30, 2**40
DIMENSIONS = 768
"""Of the paper's encoder."""


@dataclass(frozen=True)
class Assumption:
    """A number that was not measured here."""

    value: float
    unit: str
    source: str


ASSUMED = {
    "gpu_price": Assumption(2.5, "$ per GPU-hour", "assumed; list prices of an H100 on demand in 2026 go from 2 to 5"),
    "cpu_price": Assumption(0.05, "$ per core-hour", "assumed; usual for general-purpose cloud machines"),
    "storage_price": Assumption(0.023, "$ per GB and month", "assumed; usual for object storage"),
    "prefill": Assumption(
        60_000,
        "prompt tokens/s",
        "derived from a published rate: Llama-3.1-8B in FP8 on an H200, 2,048 in, 128 out (TensorRT-LLM 1.0)",
    ),
    "decode": Assumption(
        17_660, "output tokens/s", "published: Llama-3.1-8B in FP8 on an H100, 500 in, 2,000 out (TensorRT-LLM 1.0)"
    ),
    "bf16": Assumption(0.5, "of these rates", "assumed for bfloat16, in which Llama-3-8B is released"),
    "embed": Assumption(
        242_000,
        "tokens/s",
        "published: eager DeBERTa-base-size encoder, fp16, 256 tokens, RTX 6000 Ada; no faster here",
    ),
    "train": Assumption(200_000, "tokens/s", "estimated: a DeBERTa-base at some 10 % of an H100's peak"),
    "steps": Assumption(
        50_000, "training steps", "assumed; the paper evaluates every 1,000 and stops after 15 without a better score"
    ),
    "repeated_prefill": Assumption(
        1, "times", "assumed: the server computes an abstract once for its 15 continuations"
    ),
}


def assumptions(changes: Sequence[str] = ()) -> dict[str, Assumption]:
    """The assumptions, with changes like "gpu_price=3.5"."""
    assumed = dict(ASSUMED)
    for change in changes:
        name, _, value = change.partition("=")
        if name not in assumed:
            sys.exit(f"unknown assumption {name!r}; there are {', '.join(assumed)}")
        assumed[name] = replace(assumed[name], value=float(value), source="as told by --assume")
    return assumed


def plan(found: Mapping[str, Any], assumed: Mapping[str, Assumption]) -> str:
    """All tables that the parts in `found` allow; a missing part is named."""
    parts = found["parts"]
    sections = [
        _machine(found),
        "### Assumptions\n\n" + _assumed(assumed, parts),
        "### Growth, measured\n\n" + _growth(parts),
        "### Time and money\n\n" + _costs(parts, assumed),
        "### Storage\n\n" + _storage(parts, assumed),
    ]
    extra = {"recall": _recall, "million": _million, "quality": _quality, "shards": _shards}
    sections += [table(parts[name]) for name, table in extra.items() if name in parts]
    return "\n\n".join(sections) + "\n"


def write_into(path: Path, text: str) -> None:
    """Put `text` between the markers of a Markdown file."""
    whole = path.read_text("utf-8")
    before, begin, rest = whole.partition(MARKERS[0])
    _, end, after = rest.partition(MARKERS[1])
    if not (begin and end):
        sys.exit(f"{path}: expected the lines {MARKERS[0]} and {MARKERS[1]}")
    write_atomic(path, f"{before}{begin}\n{text.rstrip()}\n{end}{after}")


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], left: int = 1) -> str:
    """A Markdown table whose first `left` columns are text."""
    marks = [":--" if column < left else "--:" for column in range(len(header))]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [header, marks, *rows])


def number(value: float) -> str:
    """Three digits, with thousands set apart."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def money(value: float) -> str:
    """Dollars, to the cent where they are few."""
    return "< $0.01" if value < 0.01 else f"${value:,.2f}" if value < 100 else f"${value:,.0f}"


def _machine(found: Mapping[str, Any]) -> str:
    hardware, versions = found["hardware"], found["versions"]
    where = f"{hardware['cores']} cores of {hardware['cpu'] or hardware['machine']}"
    text = f"Measured with {found['threads']} threads on {where}, no GPU; papers from {found['source']}; "
    return text + f"Python {versions['python']}, torch {versions.get('torch', '-')}."


def _sizes(parts: Mapping[str, Any]) -> dict[str, float]:
    return {row["what"]: row["per_paper"] for row in parts.get("sizes", [])}


def _assumed(assumed: Mapping[str, Assumption], parts: Mapping[str, Any]) -> str:
    rows = [(f"`{name}`", f"{entry.value:,g}", entry.unit, entry.source) for name, entry in assumed.items()]
    tokens = {what: value for what, value in _sizes(parts).items() if what.startswith("tokens")}
    rows += [
        (what, number(value), "word pieces", "measured here, all-MiniLM's tokenizer") for what, value in tokens.items()
    ]
    return table(["what", "value", "unit", "where from"], rows, 4)


def _largest(part: Mapping[str, Any]) -> tuple[int, float, float]:
    """The largest size, its quickest repeat's seconds, and the most MiB."""
    size = max(row["size"] for row in part["rows"])
    rows = [row for row in part["rows"] if row["size"] == size]
    return size, min(row["seconds"] for row in rows), max(row["mib"] for row in rows)


def _growth(parts: Mapping[str, Any]) -> str:
    rows = []
    for part in parts.values():
        if isinstance(part, dict):
            size, seconds, mib = _largest(part)
            sizes = sorted({row["size"] for row in part["rows"]})
            low, high = part["range"]
            measured = f"{part['exponent']:.2f}" + (f" [{low:.2f}, {high:.2f}]" if low != high else "")
            span = f"{sizes[0]:,} – {size:,}"
            rate = f"{size / seconds:,.0f}" if part["law"] else "–"
            rows.append((part["what"], span, f"{part['law']:g}", measured, f"{seconds:.3g}", rate, f"{mib:,.0f}"))
    header = [
        "stage",
        "papers",
        "expected exponent",
        "measured",
        "s at the largest",
        "papers/s there",
        "MiB above input",
    ]
    return table(header, rows, 2)


def _costs(parts: Mapping[str, Any], assumed: Mapping[str, Assumption]) -> str:
    rows = [_row(*row, assumed) for row in _gpu_stages(parts, assumed) + _cpu_stages(parts)]
    return table(["stage", "on", "growth", *(f"{name}: hours, $" for name in CORPORA)], rows, 3)


def _row(stage: str, unit: str, law: str, hours: Any, assumed: Mapping[str, Assumption]) -> tuple[str, ...]:
    price = assumed["gpu_price" if unit == "GPU" else "cpu_price"].value
    cells = [f"{number(hours(n))} h, {money(hours(n) * price)}" for n in CORPORA.values()]
    return stage, unit, law, *cells


def _gpu_stages(parts: Mapping[str, Any], assumed: Mapping[str, Assumption]) -> list[tuple[str, str, str, Any]]:
    """Hours as functions of the number of papers; needs the tokens that part `sizes` counts."""
    sizes = _sizes(parts)
    if not sizes:
        return []
    text, summary = sizes["tokens of title and abstract"], sizes["tokens of a written summary (demo corpus)"]
    a = {name: entry.value for name, entry in assumed.items()}
    prompt = a["repeated_prefill"] * text + 5 * sizes["tokens of a prompt"]
    generation = prompt / (a["prefill"] * a["bf16"]) + 15 * summary / (a["decode"] * a["bf16"])
    training = a["steps"] * 32 * 2 * summary / a["train"]
    return [
        ("generation, 15 summaries", "GPU", "linear", lambda n: n * generation / 3600),
        ("training", "GPU", "constant", lambda n: training / 3600),
        ("embedding all papers", "GPU", "linear", lambda n: n * text / a["embed"] / 3600),
    ]


LAWS = {0: "constant", 1: "linear", 1.5: "N^1.5", 2: "N^2"}


def _cpu_stages(parts: Mapping[str, Any]) -> list[tuple[str, str, str, Any]]:
    """Core-hours by processor time: from the largest size by the law of the algorithm, t-SNE's neighbours by theirs."""
    rows = []
    for name in ("reading", "extracting", "encoding", "spectrum", "ranks", "exact", "faiss", "tsne", "landmarks"):
        if name in parts:
            terms = [_term(parts[name])]
            law = LAWS[parts[name]["law"]]
            if name == "tsne" and "affinities" in parts:
                square = _term(parts["affinities"])
                size, seconds, _ = terms[0]
                terms = [(size, max(0.0, seconds - _seconds([square], size)), 1), square]
                law = "linear + N^2"
            hours = partial(lambda terms, n: _seconds(terms, n) / 3600, terms)
            rows.append((parts[name]["what"], "core", law, hours))
    return rows


def _term(part: Mapping[str, Any]) -> tuple[int, float, float]:
    """The largest size, its processor seconds, and the exponent of growth."""
    size = max(row["size"] for row in part["rows"])
    return size, min(row["cpu"] for row in part["rows"] if row["size"] == size), part["law"]


def _seconds(terms: Sequence[tuple[int, float, float]], papers: int) -> float:
    return sum(seconds * (papers / size) ** law for size, seconds, law in terms)


def _storage(parts: Mapping[str, Any], assumed: Mapping[str, Assumption]) -> str:
    stored = {what: value for what, value in _sizes(parts).items() if "tokens" not in what}
    stored |= {
        f"embeddings, {DIMENSIONS} x float32": 4.0 * DIMENSIONS,
        f"embeddings, {DIMENSIONS} x float16": 2.0 * DIMENSIONS,
        f"faiss index in memory, IVF Flat, {DIMENSIONS}": 4.0 * DIMENSIONS + 8,
        f"faiss index in memory, IVF SQ8, {DIMENSIONS}": 1.0 * DIMENSIONS + 8,
    }
    price = assumed["storage_price"].value
    rows = []
    for what, each in stored.items():
        cells = [
            _bytes(each * n) + ("" if "memory" in what else f", {money(each * n / 1e9 * price)}")
            for n in CORPORA.values()
        ]
        rows.append((what, f"{each:,.0f}", *cells))
    return table(["what", "bytes a paper", *(f"{name}: size, $ a month" for name in CORPORA)], rows)


def _bytes(value: float) -> str:
    return f"{value / TIB:.3g} TiB" if value >= TIB else f"{value / GIB:.3g} GiB"


def _recall(rows: Sequence[Mapping[str, Any]]) -> str:
    body = []
    for row in rows:
        measured = f"{row['recall']:.3f}", f"{row['ms']:.3f}", f"{row['bytes']:,.0f}", f"{row['build_s']:.2f}"
        body.append((row["vectors"], f"{row['n']:,}", row["index"], row["setting"], *measured))
    header = ["vectors", "N", "index", "setting", "recall@5", "ms a query", "bytes a vector", "s to build"]
    return "### Recall of the five nearest\n\n" + table(header, body, 4)


def _million(rows: Sequence[Mapping[str, Any]]) -> str:
    body = [(r["index"], f"{r['queries']:,}", f"{r['n']:,}", f"{r['s']:.1f}", _how(r)) for r in rows]
    return "### Few queries among many\n\n" + table(["index", "queries", "candidates", "s", "how"], body)


def _how(row: Mapping[str, Any]) -> str:
    return f"{row['probes']} of {row['lists']} lists, recall {row['recall']:.3f}" if "recall" in row else "exact"


def _quality(rows: Sequence[Mapping[str, Any]]) -> str:
    body = [(r["picture"], f"{r['n']:,}", f"{r['kept']:.3f}", f"{r['fields']:.3f}", f"{r['s']:.1f}") for r in rows]
    header = ["picture", "papers", "of the 10 nearest kept", "fields told by the 10 nearest", "s"]
    return "### What a picture by landmarks keeps\n\n" + table(header, body)


def _shards(rows: Sequence[Mapping[str, Any]]) -> str:
    body = [(r["processes"], f"{r['n']:,}", f"{r['wall_s']:.2f}", f"{r['cpu_s']:.2f}", r["equal"]) for r in rows]
    return "### One job by several processes\n\n" + table(
        ["processes", "papers", "s", "processor s", "same rows"], body
    )
