"""Write parameters.md, every parameter of a study with its type, default, meaning and source, from the schema.

python docs/parameters.py
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from semcse.files import write_atomic
from semcse.resources import Job, Resources
from semcse.schema import Study

PAGE = Path(__file__).with_name("parameters.md")
INTRODUCTION = """\
# Every parameter

This page is made from `semcse/schema.py` by `python docs/parameters.py`. A parameter is set in a YAML file
or on the command line as `-p section.name=value`, the value read as YAML:

    semcse check demo -p training.loss=triplet -p 'training.mix={summary: 1.0}'

`semcse check SPEC` prints every value of a parameter set with the file that it comes from. The last column says where
in the paper a default comes from; "ours" marks what the paper does not state. A mapping that is given replaces the
default one, it is not merged into it; what the meanings call "none" is written `null`. Relative paths count from the
YAML file that holds them, on a command line from the working directory."""
NOTEBOOKS = {"resources": "What each stage asks of a cluster: see [On a cluster](cluster.md)."}
HEAD = "| parameter | type | default | meaning | source |\n|:--|:--|:--|:--|:--|"
BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
PLAIN = {int: "whole number", float: "number", str: "text", bool: "true or false", NoneType: "null", Path: "path"}


def page() -> str:
    """The whole page as Markdown."""
    sections = {name: field for name, field in Study.model_fields.items() if _is_section(field)}
    own = {name: field for name, field in Study.model_fields.items() if name not in sections}
    parts = [INTRODUCTION, "## The study itself", _table(own, "")]
    for name, field in sections.items():
        model = field.annotation
        assert isinstance(model, type)  # noqa: S101, for mypy: `_is_section` has looked
        parts += [f"## {name}", NOTEBOOKS.get(name) or str(model.__doc__)]
        parts.append(_resources() if model is Resources else _table(model.model_fields, f"{name}."))
    return "\n\n".join(parts) + "\n"


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _table(fields: dict[str, FieldInfo], prefix: str) -> str:
    rows = []
    for name, field in fields.items():
        meaning, source = meaning_and_source(field.description or "")
        kind = _kind(field.annotation, field.metadata)
        rows.append(_row(f"`{prefix}{name}`", kind, _shown(_default(field)), meaning, source))
    return "\n".join([HEAD, *rows])


def _resources() -> str:
    """Stages against what they ask for, since all have the same four parameters."""
    columns = {name: meaning_and_source(field.description or "")[0] for name, field in Job.model_fields.items()}
    lines = [f"- `resources.STAGE.{name}`: {meaning}" for name, meaning in columns.items()]
    head = _row("stage", *(f"`{name}`" for name in columns), "what it is")
    rows = [
        _row(f"`resources.{stage}`", *(f"{getattr(field.default, name):g}" for name in columns), text)
        for stage, field in Resources.model_fields.items()
        for text in [meaning_and_source(field.description or "")[0]]
    ]
    return "\n".join([*lines, "", head, "|:--|" + "--:|" * len(columns) + ":--|", *rows])


def meaning_and_source(description: str) -> tuple[str, str]:
    """A field's description divided where its source begins."""
    before, found, after = description.partition("; not stated")
    if found:
        return before, f"not stated{after}"
    meaning, found, source = description.rpartition("; ")
    return (meaning, source) if found else (description, "")


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True)


def _shown(value: Any) -> str:
    """A value as YAML; a long one not as code, so that its line can break."""
    plain = str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, width=10_000, sort_keys=False)
    text = text.removesuffix("\n...\n").strip()
    return text if len(text) > 30 else f"`{text}`"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _kind(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """A type in words, with its bounds."""
    origin, inner = get_origin(annotation), get_args(annotation)
    for item in metadata:
        if item in ("path", "name or path"):
            return str(item) if annotation is str else f"{item}, or null"
        if getattr(item, "pattern", None):
            return "name"
    if origin is Annotated:
        return _kind(inner[0], [m for item in inner[1:] for m in (getattr(item, "metadata", None) or [item])])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        return ", or ".join(_kind(one) for one in inner)
    if origin is list:
        return f"list of: {_kind(inner[0])}"
    if origin is tuple:
        return f"list of {len(inner)}: {_kind(inner[0])}"
    if origin is dict:
        return f"mapping, {_kind(inner[0])}: {_kind(inner[1])}"
    bounds = [f"{sign} {getattr(m, name):g}" for m in metadata for name, sign in BOUNDS.items() if hasattr(m, name)]
    return " ".join([PLAIN.get(annotation, "anything"), ", ".join(bounds)]).strip()


if __name__ == "__main__":
    write_atomic(PAGE, page())
