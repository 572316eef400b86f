"""Result tables as Markdown, LaTeX and CSV, ours beside the paper's.

The best value of a column is bold and the second best underlined, by the rounded values that the reader sees:
what looks the same is marked the same. A missing value is a dash with a footnote, never a zero. The CSV holds
unrounded values.
"""

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from semcse.files import write_atomic

Better = Literal["lower", "higher"]
Mark = Literal["", "best", "second"]

DASH = "–"
DIFFERENCE = " Δ"
PAPER = " (paper)"

LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "Δ": r"$\Delta$",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "…": r"\ldots{}",
}
# A line starting with these is a block in Markdown; "<" would open HTML, "|" end the cell.
MARKDOWN_SPECIAL = "\\`*_[]<>|"


class Cell(NamedTuple):
    """What one cell shows."""

    text: str
    interval: str
    mark: Mark


@dataclass(frozen=True)
class Table:
    """A frame of results (rows: the index, usually models) and how to show it. Shows itself in a notebook.

    `better` maps a column to "lower" or "higher"; columns without a direction get no marks. `decimals` is one
    number or a number a column (default 2). `intervals` maps a column to the names of the columns with its
    lower and upper end, which are then not shown on their own. `signed` columns show a plus sign. `labels`
    renames columns for the reader.
    """

    frame: pd.DataFrame
    better: Mapping[str, Better] = field(default_factory=dict)
    decimals: int | Mapping[str, int] = 2
    intervals: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    signed: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    caption: str = ""
    notes: Sequence[str] = ()
    missing_note: str = f"{DASH} not available"

    def __post_init__(self) -> None:
        _check(self)

    def markdown(self) -> str:
        """A pipe table, with the caption before and the footnotes after it."""
        header = [_markdown(text) for text in self._header()]
        rows = [[_markdown(str(name)), *map(_markdown_cell, cells)] for name, cells in self._rows()]
        rule = [":--"] + ["--:" if self._is_number(column) else ":--" for column in self._shown()]
        lines = [f"| {' | '.join(row)} |" for row in (header, rule, *rows)]
        before = [f"**{_markdown(self.caption)}**", ""] if self.caption else []
        after = [line for note in self._footnotes() for line in ("", _markdown(note))]
        return "\n".join([*before, *lines, *after]) + "\n"

    def latex(self) -> str:
        """A booktabs tabular, within a table environment if there is a caption; needs `\\usepackage{booktabs}`."""
        columns = "l" + "".join("r" if self._is_number(column) else "l" for column in self._shown())
        body = [" & ".join([_latex(str(name)), *map(_latex_cell, cells)]) + r" \\" for name, cells in self._rows()]
        tabular = [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(_latex(text) for text in self._header()) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
        ]
        notes = [rf"\par\smallskip\footnotesize {_latex(note)}" for note in self._footnotes()]
        if not self.caption:
            return "\n".join([*tabular, *notes]) + "\n"
        head = [r"\begin{table}", r"\centering", rf"\caption{{{_latex(self.caption)}}}"]
        return "\n".join([*head, *tabular, *notes, r"\end{table}"]) + "\n"

    def csv(self) -> str:
        """Every column of the frame, unrounded; missing values are empty."""
        return str(self.frame.to_csv(lineterminator="\n"))

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def _shown(self) -> list[str]:
        ends = {end for pair in self.intervals.values() for end in pair}
        return [column for column in self.frame.columns if column not in ends]

    def _is_number(self, column: str) -> bool:
        return pd.api.types.is_numeric_dtype(self.frame[column]) and self.frame[column].dtype != bool

    def _header(self) -> list[str]:
        arrows = {"lower": " ↓", "higher": " ↑"}
        names = [self.labels.get(column, column.replace("_", " ")) for column in self._shown()]
        ends = [arrows.get(self.better.get(column, ""), "") for column in self._shown()]
        return [str(self.frame.index.name or ""), *(name + end for name, end in zip(names, ends, strict=True))]

    def _rows(self) -> list[tuple[Hashable, list[Cell]]]:
        columns = [self._cells(column) for column in self._shown()]
        cells = [[column[i] for column in columns] for i in range(len(self.frame))]
        return list(zip(self.frame.index, cells, strict=True))

    def _cells(self, column: str) -> list[Cell]:
        values = self.frame[column]
        if not self._is_number(column):
            return [Cell(DASH if pd.isna(value) else str(value), "", "") for value in values]
        places = self.decimals if isinstance(self.decimals, int) else self.decimals.get(column, 2)
        sign = "+" if column in self.signed else ""
        whole = pd.api.types.is_integer_dtype(values.dtype)
        texts = [_number(value, 0 if whole else places, sign) for value in values]
        spans = [""] * len(texts)
        if column in self.intervals:
            low, high = (self.frame[end] for end in self.intervals[column])
            spans = [_span(a, b, places) for a, b in zip(low, high, strict=True)]
        marks = _marks(values.astype(float).to_numpy(), 0 if whole else places, self.better.get(column))
        return [Cell(*parts) for parts in zip(texts, spans, marks, strict=True)]

    def _footnotes(self) -> list[str]:
        missing = bool(self.frame[self._shown()].isna().any().any())
        return [*self.notes, *([self.missing_note] if missing else [])]


def write_table(
    frame: pd.DataFrame,
    folder: str | os.PathLike[str],
    name: str,
    *,
    better: Mapping[str, Better] | None = None,
    decimals: int | Mapping[str, int] = 2,
    intervals: Mapping[str, tuple[str, str]] | None = None,
    signed: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    caption: str = "",
    notes: Sequence[str] = (),
) -> Table:
    """Write `<folder>/<name>.md`, `.tex` and `.csv`, and return the table, which shows itself in a notebook.

    The options are those of `Table`. Raises ValueError for a frame without rows, infinite values, and options
    that name no column; nothing is written then.
    """
    table = Table(frame, better or {}, decimals, intervals or {}, signed, labels or {}, caption, notes)
    texts = {"md": table.markdown(), "tex": table.latex(), "csv": table.csv()}
    for suffix, text in texts.items():
        write_atomic(Path(folder) / f"{name}.{suffix}", text)
    return table


def beside_paper(ours: pd.DataFrame, paper: pd.DataFrame, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Each column of ours followed by the paper's and the difference, ours minus the paper's.

    Rows are our models, then those that only the paper has; what one side lacks is missing. `columns`
    defaults to those that both have. The new columns are named "<column> (paper)" and "<column> Δ".
    """
    if not ours.index.is_unique or not paper.index.is_unique:
        raise ValueError("a model appears twice in the table; give each row a name of its own")
    chosen = list(columns) if columns is not None else [c for c in ours.columns if c in paper.columns]
    absent = [c for c in chosen if c not in ours.columns or c not in paper.columns]
    if absent or not chosen:
        raise ValueError(f"both tables need the same columns to compare; {absent or 'all of them'} missing from one")
    models = ours.index.append(paper.index.difference(ours.index, sort=False))
    left, right = ours.reindex(models), paper.reindex(models)
    parts: dict[str, pd.Series] = {}
    for column in chosen:
        parts[column] = left[column]
        parts[column + PAPER] = right[column]
        parts[column + DIFFERENCE] = left[column] - right[column]
    beside = pd.DataFrame(parts)
    beside.index.name = ours.index.name or paper.index.name
    return beside


def write_beside_paper(
    ours: pd.DataFrame,
    paper: pd.DataFrame,
    folder: str | os.PathLike[str],
    name: str,
    *,
    better: Mapping[str, Better],
    decimals: int | Mapping[str, int] = 2,
    labels: Mapping[str, str] | None = None,
    caption: str = "",
    notes: Sequence[str] = (),
) -> Table:
    """`write_table` of `beside_paper`: marks in each column of its own, differences signed."""
    frame = beside_paper(ours, paper)
    chosen = [column for column in frame.columns if not column.endswith((PAPER, DIFFERENCE))]
    ends = ("", PAPER, DIFFERENCE)
    places = {c: decimals if isinstance(decimals, int) else decimals.get(c, 2) for c in chosen}
    named = {c: (labels or {}).get(c, c.replace("_", " ")) for c in chosen}
    return write_table(
        frame,
        folder,
        name,
        better={c + end: better[c] for c in chosen if c in better for end in ("", PAPER)},
        decimals={c + end: places[c] for c in chosen for end in ends},
        signed=[c + DIFFERENCE for c in chosen],
        labels={c + end: named[c] + end for c in chosen for end in ends},
        caption=caption,
        notes=notes,
    )


def _check(table: Table) -> None:
    frame = table.frame
    if frame.empty:
        raise ValueError("the table has no rows or no columns; nothing to show")
    if not frame.columns.is_unique:
        raise ValueError(f"two columns have the same name: {list(frame.columns)}")
    named = [*table.better, *table.intervals, *table.signed, *(e for pair in table.intervals.values() for e in pair)]
    unknown = sorted({column for column in named if column not in frame.columns})
    if unknown:
        raise ValueError(f"options name the columns {unknown}, the table has {list(frame.columns)}")
    wrong = {value for value in table.better.values() if value not in ("lower", "higher")}
    if wrong:
        raise ValueError(f"better is 'lower' or 'higher' for a column, got {sorted(wrong)}")
    for column in frame.select_dtypes("number").columns:
        if np.isinf(frame[column].astype(float)).any():
            raise ValueError(f"column {column!r} holds an infinite value; a result must be a number or missing")


def _marks(values: np.ndarray, places: int, better: Better | None) -> list[Mark]:
    """Best and second best among the distinct rounded values."""
    if better is None:
        return [""] * len(values)
    rounded = [None if np.isnan(value) else float(f"{value:.{places}f}") for value in values]
    order = sorted({value for value in rounded if value is not None}, reverse=better == "higher")
    names: dict[float | None, Mark] = dict(zip(order[:2], ("best", "second"), strict=False))
    return [names.get(value, "") for value in rounded]


def _number(value: float, places: int, sign: str) -> str:
    if pd.isna(value):
        return DASH
    text = f"{value:{sign},.{places}f}"
    # A difference that rounds to nothing has no sign.
    return text.lstrip("+-") if not text.strip("+-0.,") else text.replace("-", "−")


def _span(low: float, high: float, places: int) -> str:
    return "" if pd.isna(low) or pd.isna(high) else f"[{_number(low, places, '')}, {_number(high, places, '')}]"


def _markdown(text: str) -> str:
    return "".join("\\" + c if c in MARKDOWN_SPECIAL else c for c in text.replace("\n", " "))


def _markdown_cell(cell: Cell) -> str:
    around: dict[Mark, Callable[[str], str]] = {"best": "**{}**".format, "second": "<u>{}</u>".format, "": str}
    return around[cell.mark](_markdown(cell.text)) + (f" {_markdown(cell.interval)}" if cell.interval else "")


def _latex(text: str) -> str:
    return "".join(LATEX_SPECIAL.get(c, c) for c in text.replace("\n", " "))


def _latex_cell(cell: Cell) -> str:
    around: dict[Mark, Callable[[str], str]] = {
        "best": lambda text: rf"\textbf{{{text}}}",
        "second": lambda text: rf"\underline{{{text}}}",
        "": str,
    }
    interval = rf" {{\scriptsize {_latex(cell.interval)}}}" if cell.interval else ""
    return around[cell.mark](_latex(cell.text)) + interval
