"""One HTML file about a run or a sweep, readable without a network."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from semcse.files import write_atomic
from semcse.readers import DataError
from semcse.records import display_name
from semcse.report.facts import cached_texts, environment, parameters, read_parameters
from semcse.report.members import sweep_facts
from semcse.report.rendering import code_style, data_uri, notebook_html, plain_traceback, tables
from semcse.report.stages import Progress, last_invocation, run_stages, sweep_stage


class Picture(NamedTuple):
    """A figure of a run: its stage, what it shows, and its file."""

    stage: str
    name: str
    description: str
    path: Path


def write_report(run: str | os.PathLike[str], path: str | os.PathLike[str] | None = None) -> Path:
    """Write the report of a run or sweep, by default to its folder's `report.html`, and return the file's path.

    The file needs no other: pictures are inside, and nothing in it runs or is fetched. It says what has not run or has
    failed. Links to the run's own files count from `path`. Raises DataError for a folder that is neither run nor sweep.
    """
    folder = Path(run)
    target = Path(path) if path is not None else folder / "report.html"
    if (folder / "sweep.json").is_file() or (folder / "members").is_dir():
        template, content = "sweep.html", _sweep(folder)
    elif (folder / "params.yaml").is_file() or (folder / "done").is_dir():
        template, content = "run.html", _run(folder)
    else:
        raise DataError(f"{folder}: not a run's or sweep's folder (no params.yaml, no sweep.json). Try runs/demo.")
    page = _templates(target.parent).get_template(template).render(content)
    return write_atomic(target, page)


def _run(folder: Path) -> dict[str, Any]:
    given = read_parameters(folder)
    stages = run_stages(folder, given)
    last = last_invocation(folder)
    return _common(folder, stages) | {
        "stages": stages,
        "last": last,
        "parameters": parameters(given),
        "environment": environment({stage.stage: stage.record for stage in stages if stage.record}),
        "encoded": cached_texts(folder / "embeddings" / "cache", last),
        "map": _existing(folder / "figures" / "map.html"),
        "facts": _run_facts(given, {stage.stage: stage.record for stage in stages}),
    }


def _sweep(folder: Path) -> dict[str, Any]:
    last = last_invocation(folder)
    notebook = sweep_stage(folder)
    facts = sweep_facts(folder)
    records = {f"{row.name}: {stage.stage}": stage.record for row in facts.rows for stage in row.stages if stage.record}
    return _common(folder, [notebook]) | {
        "sweep": facts,
        "notebook": notebook,
        "last": last,
        "parameters": parameters(facts.reference),
        "environment": environment(records | ({"notebook 08": notebook.record} if notebook.record else {})),
        "encoded": cached_texts(folder / "shared" / "embeddings", last),
        "executed": [row.name for row in facts.rows if row.executed(last)],
    }


def _common(folder: Path, stages: Iterable[Progress]) -> dict[str, Any]:
    known = _descriptions() if (folder / "figures").is_dir() or (folder / "notebooks").is_dir() else {}
    said = {name: description for name, (_, description) in known.items()}
    executed = [(stage, stage.notebook) for stage in stages if stage.notebook and stage.notebook.is_file()]
    every = tables(folder)
    return {
        "name": folder.resolve().name,
        "tables": [table for table in every if not table.name.startswith("scirepeval")],
        "scirepeval": [table for table in every if table.name.startswith("scirepeval")],
        "pictures": _pictures(folder, known),
        "notebooks": [(stage, notebook_html(path, said)) for stage, path in executed],
    }


def _pictures(folder: Path, known: Mapping[str, tuple[str, str]]) -> list[Picture]:
    """The figures of a run in the order of the notebooks; what a view says of itself describes its figure."""
    places = {name: place for place, name in enumerate(known)}
    found = {path.stem: path for path in (folder / "figures").glob("*.png")}
    order = sorted(found, key=lambda name: (places.get(name, len(places)), name))
    return [Picture(known.get(name, ("", ""))[0], name, known.get(name, ("", ""))[1], found[name]) for name in order]


def _descriptions() -> dict[str, tuple[str, str]]:
    """Stage and first line of each view by its name."""
    from semcse.redraw import VIEW_STAGES, views

    return {view.__name__: (stage, _first_line(view.__doc__)) for stage in VIEW_STAGES for view in views(stage)}


def _first_line(docstring: str | None) -> str:
    """What a view shows, without the end of the line that says when it shows nothing."""
    return (docstring or "").partition("\n")[0].partition("; None")[0].rstrip(".") + "."


def _run_facts(given: Mapping[str, Any], records: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What a reader wants to know first."""
    sampling, training, summaries = (given.get(name) or {} for name in ("sampling", "training", "summaries"))
    counts = records.get("sampling", {})
    sizes = [f"{counts[name]:,} {name.replace('_', ' ')}" for name in _SETS if isinstance(counts.get(name), int)]
    done = {key.partition("-")[2]: record for key, record in records.items() if key.startswith("training-") and record}
    return {
        "Papers": f"{sampling.get('source', '?')}: {', '.join(sizes) or 'not sampled yet'}",
        "Summaries": f"{summaries.get('writer', '?')}: prompts {', '.join(summaries.get('prompts') or ['?'])};"
        f" draws of each: {summaries.get('draws', '?')}",
        "Starts from": display_name(str(training.get("base", "?"))),
        "Trained": ", ".join(f"{name} ({record.get('loss', '?')})" for name, record in done.items()) or "nothing yet",
        "Measured": ", ".join(records.get("benchmarks", {}).get("models", [])) or "nothing yet",
        "Seed": str(given.get("seed", "?")),
    }


_SETS = ("training", "validation", "benchmark", "clustering_train", "clustering_test")


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _plain(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _templates(start: Path) -> Environment:
    """Templates whose values are escaped, with links that count from the folder `start`."""
    environment = Environment(
        loader=PackageLoader("semcse", "templates/report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.tests["several"] = lambda values: len(values) > 1
    environment.filters |= {
        "link": partial(_link, start),
        "seconds": _seconds,
        "time": _moment,
        "plain": _plain,
        "data_uri": data_uri,
        "traceback": plain_traceback,
    }
    style = files("semcse").joinpath("templates", "report", "report.css").read_text("utf-8")
    environment.globals["style"] = f"{style}\n{code_style()}"
    return environment


def _link(start: Path, path: Path) -> str:
    """A file's address as seen from the folder of the report."""
    return quote(Path(os.path.relpath(path.resolve(), start.resolve())).as_posix())


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _moment(time: datetime | None) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if time else "unknown"
