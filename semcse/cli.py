"""The `semcse` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from semcse.params import ParameterError, explain, load
from semcse.run import RunError, execute_study

app = typer.Typer(
    help="The SemCSE study: run it, check its parameters, draw its figures again.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
Spec = Annotated[str, typer.Argument(help="a parameter set: demo, paper+cosine, my.yaml ...")]
Override = Annotated[list[str] | None, typer.Option("-p", help="section.key=value; may be repeated")]


@app.command()
def run(
    spec: Spec,
    override: Override = None,
    only: Annotated[str, typer.Option(help="redo just these notebooks, e.g. 03,04")] = "",
    start: Annotated[str, typer.Option("--from", help="redo this notebook and all that follow, e.g. 03")] = "",
    cores: Annotated[int | None, typer.Option("-j", help="processor cores; all by default")] = None,
) -> None:
    """Run a study into runs/<name>/, doing what is missing or whose inputs changed."""
    try:
        study = load(spec, override or [])
        execute_study(study, only=[n for n in only.split(",") if n], start=start or None, cores=cores)
    except (ParameterError, RunError) as error:
        raise _failure(error) from None
    typer.echo(f"{study.name} is up to date: {study.folder}")


@app.command()
def check(spec: Spec, override: Override = None) -> None:
    """Print a parameter set in full, each value with where it comes from."""
    try:
        resolved = explain(spec, override or [])
    except ParameterError as error:
        raise _failure(error) from None
    for key, (value, origin) in resolved.items():
        shown = yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()
        typer.echo(f"{key}: {shown}  # {Path(origin).name}")


@app.command()
def figures(run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="a run's folder, e.g. runs/demo")]) -> None:
    """Draw every figure and table of a run again from its stored results; no model runs."""
    from semcse.redraw import redraw

    try:
        written = redraw(run_folder)
    except ValueError as error:
        raise _failure(error) from None
    for path in written:
        typer.echo(str(path))


def _failure(error: Exception) -> typer.Exit:
    typer.secho(str(error), fg=typer.colors.RED, err=True)
    return typer.Exit(1)
