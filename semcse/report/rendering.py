"""Tables, figures and notebooks as HTML that may stand in a page: it runs nothing and asks nothing of any server."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import mistune
import nbformat
from bleach.css_sanitizer import CSSSanitizer
from bleach.html5lib_shim import Filter
from bleach.sanitizer import Cleaner
from markupsafe import Markup, escape
from nbconvert.exporters import HTMLExporter
from pygments.formatters import HtmlFormatter

TAGS = frozenset(
    [
        "a",
        "b",
        "blockquote",
        "br",
        "caption",
        "code",
        "col",
        "colgroup",
        "dd",
        "del",
        "div",
        "dl",
        "dt",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "li",
        "ol",
        "p",
        "pre",
        "s",
        "small",
        "span",
        "strong",
        "sub",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "u",
        "ul",
    ]
)
SHOWN = ("text/html", "text/markdown", "image/png", "image/jpeg", "text/plain")
"""Kinds of output that a page shows. Scripts, widgets, SVG and LaTeX are left out; each comes with plain text."""
LARGEST_HTML = 200_000
"""Characters of an HTML output; larger ones are libraries or maps, of which the page shows the plain text."""
STYLE = re.compile(r"<style\b.*?</style\s*>", re.DOTALL | re.IGNORECASE)
CAPTION = re.compile(r"\*\*(.+)\*\*\n+")


class Table(NamedTuple):
    """A table of a run: caption, HTML, and the files that hold it."""

    name: str
    caption: str
    html: Markup
    files: list[Path]


def clean(html: str) -> Markup:
    """HTML by a whitelist, fitted into a page: what is not on the list is shown as text.

    Titles and abstracts come from anywhere, and pandas' Styler does not escape them, so that an executed notebook may
    hold a living `<script>`. Pictures are those within the page; links may lead to web pages.
    """
    return Markup(_cleaner().clean(STYLE.sub("", html)))  # noqa: S704, what the cleaner leaves is safe


@cache
def _cleaner() -> Cleaner:
    return Cleaner(
        tags=TAGS,
        attributes=_allowed,
        protocols={"http", "https", "mailto", "data"},
        css_sanitizer=CSSSanitizer(allowed_css_properties=["text-align"]),
        filters=[_Fitted],
    )


class _Fitted(Filter):  # type: ignore[misc]
    """Tables in boxes that scroll sideways, also by the keyboard; headings below the page's own; no absent pictures."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for token in super().__iter__():
            name, kind = token.get("name", ""), token["type"]
            if name == "img" and (None, "src") not in token["data"]:
                yield {"type": "Characters", "data": "[picture outside this file]"}
                continue
            if name == "table" and kind == "StartTag":
                yield {**token, "name": "div", "data": {(None, "class"): "scroll", (None, "tabindex"): "0"}}
            if re.fullmatch("h[1-6]", name):
                token["name"] = f"h{min(6, int(name[1]) + 2)}"
            yield token
            if name == "table" and kind == "EndTag":
                yield {**token, "name": "div"}


def _allowed(tag: str, name: str, value: str) -> bool:
    if tag == "img" and name == "src":
        return value.startswith(("data:image/png;base64,", "data:image/jpeg;base64,"))
    if tag == "a" and name == "href":
        return value.startswith(("https://", "http://", "mailto:"))
    return name in ("alt", "class", "colspan", "rowspan", "style", "title")


def tables(run: Path) -> list[Table]:
    """The tables of a run or sweep, from the Markdown that was written, or from the CSV where there is no Markdown."""
    names = sorted({path.stem for path in (run / "tables").glob("*") if path.suffix in (".md", ".csv")})
    return [_table(run / "tables", name) for name in names]


def _table(folder: Path, name: str) -> Table:
    files = [path for suffix in ("csv", "tex", "md") if (path := folder / f"{name}.{suffix}").is_file()]
    plain = name.replace("_", " ").capitalize()
    if not (folder / f"{name}.md").is_file():
        return Table(name, plain, _csv_html((folder / f"{name}.csv").read_text("utf-8")), files)
    text = (folder / f"{name}.md").read_text("utf-8")
    caption = CAPTION.match(text)
    # `escape` would take away the <u> of second best values; `clean` sees to everything else.
    html = mistune.create_markdown(escape=False, plugins=["table"])(text[caption.end() :] if caption else text)
    return Table(name, re.sub(r"\\(.)", r"\1", caption[1]) if caption else plain, clean(str(html)), files)


def _csv_html(text: str) -> Markup:
    head, *rows = list(csv.reader(io.StringIO(text))) or [[]]
    cells = [Markup("<th>{}</th>").format(name) for name in head]
    body = [Markup("<tr>{}</tr>").format(Markup("").join(map(Markup("<td>{}</td>").format, row))) for row in rows]
    table = Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>")
    return clean(table.format(Markup("").join(cells), Markup("").join(body)))


def data_uri(path: Path) -> str:
    """A PNG file's bytes as they are, as an address."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def notebook_html(path: Path, descriptions: Mapping[str, str]) -> Markup:
    """An executed notebook's cells and outputs; `descriptions` by view's name are what pictures say to the blind.

    Where it cannot be read or converted, a sentence says so.
    """
    try:
        book = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
        for cell in book.cells:
            _prepare(cell, descriptions)
        body = _exporter().from_notebook_node(book)[0]
    except (ValueError, KeyError, AttributeError, TypeError, nbformat.ValidationError) as error:
        return Markup("<p>This notebook cannot be shown: {}: {}</p>").format(type(error).__name__, error)
    return clean(body)


@cache
def _exporter() -> HTMLExporter:
    return HTMLExporter(template_name="basic", exclude_anchor_links=True)  # type: ignore[no-untyped-call]


def _prepare(cell: Any, descriptions: Mapping[str, str]) -> None:
    if cell.cell_type != "code":
        return
    named = [text for name, text in descriptions.items() if re.search(rf"\b{name}\(", cell.source)]
    cell.metadata["alt"] = named[0] if named else "Picture made by the code above"
    for output in cell.outputs:
        if "data" in output:
            output.data = {kind: output.data[kind] for kind in SHOWN if kind in output.data}
            if len(output.data.get("text/html", "")) > LARGEST_HTML:
                del output.data["text/html"]


@cache
def code_style() -> str:
    """CSS of the notebooks' code, by light and by dark."""
    light, dark = (HtmlFormatter(style=name).get_style_defs(".highlight") for name in ("default", "github-dark"))
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}"


def plain_traceback(text: str) -> Markup:
    """A traceback without the colours of a terminal."""
    return escape(re.sub(r"\x1b\[[0-9;]*m", "", text))
