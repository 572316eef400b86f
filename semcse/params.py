"""Parameter sets: YAML files composed, overridden, checked, and turned into a `Study`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from semcse.files import write_atomic
from semcse.resources import Resources
from semcse.schema import PCA, TSNE, Benchmarks, Sampling, SciRepEval, Study, Summaries, Training
from semcse.sections import Section

__all__ = [
    "PCA",
    "TSNE",
    "Benchmarks",
    "ParameterError",
    "Resources",
    "Sampling",
    "SciRepEval",
    "Section",
    "Study",
    "Summaries",
    "Training",
    "explain",
    "find",
    "load",
    "read",
    "write",
]

COMMAND_LINE = "command line"
Values = dict[str, tuple[Any, str]]
"""Dotted key: (value, where it comes from)."""


class ParameterError(ValueError):
    """A parameter set that cannot be used; the message names file, key, what is allowed and the nearest spelling."""


def load(spec: str, overrides: Iterable[str] = ()) -> Study:
    """The study that `spec` describes.

    `spec` is a name in `params/` or `params/ablations/`, a path of a YAML file, or several joined by '+': the first,
    then the differences of the others in order. `overrides` are `section.key=value`, the value read as YAML, and win.
    A file may name another in `extends:` and then holds differences only. Relative paths count from the file that
    holds them, those in `overrides` from the working directory. Raises ParameterError.
    """
    return _study(spec, _collect(spec, overrides))


def explain(spec: str, overrides: Iterable[str] = ()) -> dict[str, tuple[Any, str]]:
    """Every resolved parameter by dotted key, with the file that set it, 'command line' or 'default'."""
    values = _collect(spec, overrides)
    resolved = _study(spec, values).model_dump(mode="json")
    flat: dict[str, Any] = {}
    for key, value in resolved.items():
        flat |= {f"{key}.{name}": inner for name, inner in value.items()} if _section(key) else {key: value}
    return {key: (value, values[key][1] if key in values else "default") for key, value in flat.items()}


def write(study: Study, path: str | os.PathLike[str]) -> Path:
    """Write the resolved study as YAML that `load` reads back to an equal one."""
    return write_atomic(path, yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def read(run: str | os.PathLike[str]) -> Study:
    """The study of an existing run folder."""
    path = str(Path(run) / "params.yaml")
    return _study(path, _from_file(find(path), ()))


def find(name: str) -> Path:
    """The YAML file of a parameter set named in `params/` or `params/ablations/`, or given as a path."""
    if name.endswith((".yaml", ".yml")):
        path = Path(name).expanduser()
        if path.is_file():
            return path.resolve()
        raise ParameterError(f"no parameter file {path}: check the path")
    for folder in (parameter_folder(), parameter_folder() / "ablations"):
        if (path := folder / f"{name}.yaml").is_file():
            return path
    known = sorted(path.stem for path in parameter_folder().rglob("*.yaml") if path.stem != "models")
    raise ParameterError(f"no parameter set named {name!r}{_nearest(name, known)}; there are: {', '.join(known)}")


def parameter_folder() -> Path:
    """`params/` of the repository, or its copy inside an installed package."""
    package = Path(__file__).resolve().parent
    beside = package.parent / "params"
    return beside if beside.is_dir() else package / "params"


def _collect(spec: str, overrides: Iterable[str]) -> Values:
    values: Values = {}
    for part in _parts(spec):
        values |= _from_file(find(part), ())
    for text in overrides:
        values |= _from_override(text)
    return values


def _parts(spec: str) -> list[str]:
    """The sets that '+' joins. Paths of files may hold one too, as that of every run of joined sets does."""
    pieces, parts = spec.split("+"), list[str]()
    while pieces:
        files = [n for n in range(len(pieces), 0, -1) if Path("+".join(pieces[:n])).expanduser().is_file()]
        end = files[0] if files else 1
        parts.append("+".join(pieces[:end]))
        pieces = pieces[end:]
    return parts


def _from_file(path: Path, above: tuple[Path, ...]) -> Values:
    if path in above:
        chain = " -> ".join(p.name for p in (*above, path))
        raise ParameterError(f"{path}: extends itself ({chain}); remove one 'extends'")
    content = _parse(path)
    parent = content.pop("extends", None)
    values = _from_file(_parent(path, parent), (*above, path)) if parent else {}
    return values | _flatten(content, str(path), path.parent)


def _parent(path: Path, name: str) -> Path:
    beside = path.parent / f"{name}.yaml"
    return beside.resolve() if beside.is_file() else find(name)


def _parse(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506, a SafeLoader
    except yaml.YAMLError as error:
        raise ParameterError(f"{path}: not readable as YAML: {error}") from error
    except UnicodeDecodeError as error:
        raise ParameterError(f"{path}: not UTF-8 (byte {error.start}): save it as UTF-8") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ParameterError(f"{path}: expected keys and values, got a {type(content).__name__}")
    return content


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, of which YAML would keep the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    "while reading a mapping", node.start_mark, f"key {key!r} appears twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def _from_override(text: str) -> Values:
    key, equals, value = text.partition("=")
    if not equals:
        raise ParameterError(f"-p {text}: expected section.key=value")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ParameterError(f"-p {text}: the value is not readable as YAML: {error}") from error
    section, dot, name = key.strip().partition(".")
    content = {section: {name: parsed}} if dot else {section: parsed}
    return _flatten(content, COMMAND_LINE, Path.cwd())


def _flatten(content: Mapping[str, Any], origin: str, folder: Path) -> Values:
    values: Values = {}
    for key, value in content.items():
        model = _section(key)
        if model is None:
            _check_known(key, Study, "", origin)
            values[key] = (value, origin)
            continue
        if not isinstance(value, Mapping):
            raise ParameterError(f"{origin}: {key}: expected keys and values, got {value!r}")
        for name, inner in value.items():
            _check_known(str(name), model, f"{key}.", origin)
            values[f"{key}.{name}"] = (_absolute(inner, model.model_fields[name], folder), origin)
    return values


def _section(key: str) -> type[Section] | None:
    field = Study.model_fields.get(key)
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _check_known(key: str, model: type[BaseModel], prefix: str, origin: str) -> None:
    if key not in model.model_fields:
        known = list(model.model_fields)
        raise ParameterError(
            f"{origin}: {prefix}{key} is not a parameter{_nearest(key, known)}; "
            f"{prefix.rstrip('.') or 'a study'} has: {', '.join(known)}"
        )


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _absolute(value: Any, field: FieldInfo, folder: Path) -> Any:
    """Local paths made absolute; names of models and data sets stay as they are."""
    kind = _path_kind(field)
    if isinstance(value, list):
        return [_absolute(item, field, folder) for item in value]
    if isinstance(value, dict) and kind:
        return {key: _absolute(item, field, folder) for key, item in value.items()}
    is_path = kind == "path" or (kind == "name or path" and str(value).startswith((".", "/", "~")))
    if not isinstance(value, str) or not is_path:
        return value
    return os.path.normpath(folder / Path(value).expanduser())


def _path_kind(field: FieldInfo) -> str | None:
    found = [item for item in field.metadata if item in ("path", "name or path")]
    pending = [field.annotation]
    while pending and not found:
        kind = pending.pop()
        found = [item for item in getattr(kind, "__metadata__", ()) if item in ("path", "name or path")]
        pending.extend(get_args(kind))
    return found[0] if found else None


def _study(spec: str, values: Values) -> Study:
    nested: dict[str, Any] = {"name": "+".join(map(_set_name, _parts(spec)))}
    for key, (value, _) in values.items():
        section, dot, name = key.partition(".")
        if dot:
            nested.setdefault(section, {})[name] = value
        else:
            nested[key] = value
    nested.setdefault("folder", f"runs/{nested['name']}")
    try:
        return Study(**nested)
    except ValidationError as error:
        raise ParameterError("\n".join(_readable(item, values, spec) for item in error.errors())) from error


def _set_name(part: str) -> str:
    return Path(part).stem if part.endswith((".yaml", ".yml")) else part


def _readable(item: Any, values: Values, spec: str) -> str:
    parts = [str(part) for part in item["loc"]]
    model = _section(parts[0]) if parts else None
    key = ".".join(parts[: 2 if model else 1])
    origins = [origin for name, (_, origin) in values.items() if name == key or name.startswith(f"{key}.")]
    fields = (model if model and parts[1:] else Study).model_fields
    field = fields.get(key.rpartition(".")[2])
    message = item["msg"].removeprefix("Value error, ")
    given = "" if item["type"] == "value_error" else f", got {item['input']!r}"
    meaning = f" ({field.description})" if field is not None and field.description else ""
    return f"{', '.join(dict.fromkeys(origins)) or spec}: {'.'.join(parts) or 'study'}: {message}{given}{meaning}"
