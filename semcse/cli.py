"""The `semcse` command."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Annotated, Literal

import typer
import yaml

from semcse.params import ParameterError, explain, load
from semcse.run import Engine, RunError, execute_study

app = typer.Typer(
    help="The SemCSE study: run it, check its parameters, draw its figures again.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
Spec = Annotated[str, typer.Argument(help="a parameter set: demo, paper+cosine, my.yaml ...")]
Override = Annotated[list[str] | None, typer.Option("-p", help="section.key=value; may be repeated")]
Invalid = Literal["error", "drop"]
Profile = Annotated[str, typer.Option(help="local, slurm, or a folder with a Snakemake profile")]


@app.command()
def run(
    spec: Spec,
    override: Override = None,
    only: Annotated[str, typer.Option(help="redo just these notebooks, e.g. 03,04")] = "",
    start: Annotated[str, typer.Option("--from", help="redo this notebook and all that follow, e.g. 03")] = "",
    cores: Annotated[int | None, typer.Option("-j", help="processor cores; all by default")] = None,
    profile: Profile = "local",
) -> None:
    """Run a study into runs/<name>/, doing what is missing or whose inputs changed."""
    try:
        study = load(spec, override or [])
        engine = Engine(profile, cores)
        execute_study(study, only=[n for n in only.split(",") if n], start=start or None, engine=engine)
    except (ParameterError, RunError, OSError) as error:
        raise _failure(error) from None
    typer.echo(f"{study.name} is up to date: {study.folder}")


@app.command()
def sweep(
    spec: Spec,
    over: Annotated[list[Path], typer.Option(help="folder of parameter differences, or one file; may be repeated")],
    seeds: Annotated[str, typer.Option(help="of training, e.g. 0,1,2")] = "0",
    override: Override = None,
    jobs: Annotated[
        int | None, typer.Option("-j", min=1, help="members at a time, sharing the cores; on a cluster: jobs")
    ] = None,
    cores: Annotated[int | None, typer.Option(help="processor cores; all by default")] = None,
    profile: Profile = "local",
) -> None:
    """Train and measure a study under every ablation and seed, then compare them in notebook 08."""
    from semcse.sweep import ablation_files, execute_sweep, plan

    try:
        files = [file for place in over for file in ablation_files(place)]
        planned = plan(spec, files, [int(seed) for seed in seeds.split(",")], override or [])
        rows = execute_sweep(planned, Engine(profile, cores, jobs))
    except (ValueError, OSError, RunError) as error:
        raise _failure(error) from None
    for row in rows:
        if not row["done"]:
            typer.secho(f"{row['ablation']}, seed {row['seed']}: {row['problem']}", fg=typer.colors.RED, err=True)
    finished = sum(row["done"] for row in rows)
    typer.echo(f"{finished} of {len(rows)} members are up to date: {planned.folder}")
    if finished < len(rows):
        raise typer.Exit(1)


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
def summaries(
    spec: Spec,
    shard: Annotated[str, typer.Option(help="part i of n, from 0/n to (n-1)/n")],
    override: Override = None,
) -> None:
    """Write a part of a run's summaries and queries, so that several processes or machines share the work.

    The papers must be sampled (semcse run SPEC --only 01). When all parts are done, `semcse run SPEC` finds them.
    """
    from semcse.jobs import parse_part, query_job, summary_job

    try:
        part, study = parse_part(shard), load(spec, override or [])
        for job in (summary_job, query_job):
            report = job(study.folder, study.summaries, study.seed, part)
            if report is not None:
                done = f"{report.rows} rows of {report.papers} papers, {report.written} new shards"
                typer.echo(f"{report.folder}: {done}")
    except (ValueError, OSError) as error:
        raise _failure(error) from None


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


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="a run's or sweep's folder, e.g. runs/demo")],
    out: Annotated[Path | None, typer.Option("-o", help="the HTML file; default: RUN/report.html")] = None,
) -> None:
    """Write one HTML file about a run or sweep, to hand on: results, parameters, environment, notebooks, times."""
    from semcse.report import write_report

    try:
        path = write_report(run_folder, out)
    except (ValueError, OSError) as error:
        raise _failure(error) from None
    typer.echo(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


@app.command()
def scirepeval(
    target: Annotated[str, typer.Argument(help="a run's folder, a model of params/models.yaml, or a model's folder")],
    data: Annotated[Path | None, typer.Option(help="local copies of both data sets; default: the hub")] = None,
    tasks: Annotated[str, typer.Option(help="tasks or types, e.g. Search,regression; default: all 22")] = "",
    mode: Annotated[str | None, typer.Option(help="official (default) or modern")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for results; default: the run, or runs/scirepeval")] = None,
    mean_with: Annotated[list[str] | None, typer.Option(help="one more model, to average the vectors")] = None,
    s2and: Annotated[Path | None, typer.Option(help="only write embeddings into the S2AND tool's data")] = None,
    go_on: Annotated[bool, typer.Option("--go-on", help="end without an error although tasks failed")] = False,
) -> None:
    """Score models on SciRepEval with our own evaluator; what is done already is not done again."""
    from semcse.scirepeval import study

    chosen = [task.strip() for task in tasks.split(",") if task.strip()] or None
    try:
        found = study.find_target(target, out, data=str(data) if data else None, tasks=chosen, mode=mode)
        if s2and is not None:
            typer.echo("\n".join(map(str, study.write_s2and(found, s2and))))
            return
        problems = study.score_target(found, mean_with or [], typer.echo)
    except (ValueError, OSError, RuntimeError) as error:
        raise _failure(error) from None
    for where, reason in problems.items():
        typer.secho(f"{where}: {reason}", fg=typer.colors.RED, err=True)
    if problems and not go_on:
        raise typer.Exit(1)


@app.command()
def embed(
    papers: Annotated[
        Path, typer.Argument(help="CSV, TSV, JSONL (these also .gz) or Parquet, with title and abstract")
    ],
    model: Annotated[str, typer.Option(help="a run's model folder, a name of params/models.yaml, or a hub name")],
    out: Annotated[Path, typer.Option("-o", help="the vectors' file")] = Path("vectors.npy"),
    columns: Annotated[
        str, typer.Option(help="our column names and the file's: '{title: Title, abstract: Summary}'")
    ] = "",
    text: Annotated[str | None, typer.Option(help="embed this column alone, as it is")] = None,
    invalid: Annotated[Invalid, typer.Option(help="papers without title or abstract: an error, or left out")] = "error",
    max_length: Annotated[
        int | None, typer.Option(help="tokens after which a text is cut; default: the model's")
    ] = None,
    precision: Annotated[str, typer.Option(help="float32, bfloat16, or auto: what the hardware is fast in")] = "auto",
) -> None:
    """Embed a file of papers, title and abstract each, into a .npy file; ids and titles go beside it (.parquet)."""
    from semcse.corpus_vectors import Corpus, parse_columns, write_vectors

    try:
        corpus = Corpus(papers, parse_columns(columns), text, invalid)
        survey = write_vectors(corpus, model, out, max_length=max_length, precision=precision)
    except (ValueError, OSError, RuntimeError) as error:
        raise _failure(error) from None
    for line in survey.first_left_out:
        typer.echo(f"left out: {line}")
    typer.echo(
        f"{out}: {survey.papers:,} papers, {survey.left_out:,} left out; titles in {out.with_suffix('.parquet')}"
    )


@app.command("nearest")
def nearest_papers(
    question: Annotated[list[str] | None, typer.Argument(help="a few words or a sentence")] = None,
    vectors: Annotated[Path, typer.Option(help="written by semcse embed")] = Path("vectors.npy"),
    model: Annotated[str | None, typer.Option(help="default: the model that made the vectors")] = None,
    paper: Annotated[str | None, typer.Option(help="instead of a question: the corpus_id of a paper")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="papers to print")] = 10,
) -> None:
    """Print the papers nearest to a question, or to one of the papers: rank, cosine or distance, id, title."""
    from semcse.corpus_search import load_vectors, nearest_to_paper, nearest_to_question

    try:
        if bool(question) == (paper is not None):
            raise ValueError("give either a question or --paper ID")
        stored = load_vectors(vectors)
        if paper is not None:
            found = nearest_to_paper(stored, paper, k, model=model)
        else:
            found = nearest_to_question(stored, " ".join(question or []), k, model=model)
    except (ValueError, OSError, RuntimeError) as error:
        raise _failure(error) from None
    for rank, corpus_id, title, score in found.itertuples(index=False):
        typer.echo(f"{rank:3d}  {score:.4f}  {corpus_id}  {title}")


def _failure(error: Exception) -> typer.Exit:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = ". Free some; then the same command goes on where this one stopped" if full else ""
    typer.secho(f"{error}{remedy}", fg=typer.colors.RED, err=True)
    return typer.Exit(1)


if __name__ == "__main__":
    app()
