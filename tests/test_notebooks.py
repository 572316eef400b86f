"""Notebooks are thin, clean, and agree with the parameters; all of a run's run, and run again only where they must."""

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest
from papermill import inspect_notebook
from tiny import tiny_demo_bert
from typer.testing import CliRunner

from semcse import schema
from semcse.cli import app
from semcse.papers import load_papers
from semcse.params import load
from semcse.redraw import redraw
from semcse.run import STAGES, Engine, RunError, execute_study, notebook_parameters, prepare, sources
from semcse.views.benchmarks import benchmark_table

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def code(path: Path) -> str:
    return "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")


def demo_parameters(section: str) -> dict:
    study = load("demo")
    return notebook_parameters(study)[f"training-{study.training.name}" if section == "training" else section]


def test_there_is_one_notebook_a_stage():
    assert [path.stem for path in NOTEBOOKS] == [*(stage.notebook for stage in STAGES), "08_ablations"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_clean_and_thin(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert "papermill" not in book.metadata
    for cell in book.cells:
        assert "papermill" not in cell.metadata
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    tree = ast.parse(code(path))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert len(code(path).splitlines()) <= 135
    kinds = [cell.cell_type for cell in book.cells]
    assert kinds[0] == "markdown"
    assert [cell.metadata.get("tags") for cell in book.cells if cell.metadata.get("tags")] == [
        ["parameters"],
        ["record"],
    ]
    assert book.cells[-1].metadata["tags"] == ["record"]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.notebook)
def test_parameter_cells_hold_the_demo_s_values(stage):
    found = inspect_notebook(str(ROOT / "notebooks" / f"{stage.notebook}.ipynb"))
    cell = {name: ast.literal_eval(entry["default"]) for name, entry in found.items()}
    expected = demo_parameters(stage.section)
    assert cell.keys() == expected.keys()
    folders = {"run", "folder"}
    assert {k: v for k, v in cell.items() if k not in folders} == {
        k: v for k, v in expected.items() if k not in folders
    }
    section = schema.Study.model_fields[stage.section].annotation
    assert section.of(expected).model_dump(mode="json") == {k: expected[k] for k in section.model_fields}


def test_a_notebook_depends_on_what_it_imports_and_nothing_else():
    needed = {stage.notebook: {Path(path).name for path in sources(stage.notebook)} for stage in STAGES}
    assert {"splits.py", "papers.py", "files.py", "sentences.py"} <= needed["01_data_sampling"]
    assert "losses.py" in needed["03_training"]
    assert "losses.py" not in needed["05_scirepeval_aggregation"]
    assert "projection.py" in needed["06_tsne"]
    assert "projection.py" not in needed["07_pca_anisotropy"]


def tiny_study(folder: Path, base: Path, **more: str):
    values = {
        "folder": folder,
        "name": "tiny",
        "sampling.training": 40,
        "sampling.validation": 12,
        "sampling.benchmark": 24,
        "sampling.clustering": 40,
        "training.base": base,
        "training.batch_size": 8,
        "training.max_steps": 6,
        "training.warmup_steps": 1,
        "training.evaluate_every": 3,
        "training.checkpoint_every": 3,
        "benchmarks.models": "[TF-IDF, SPECTER2 proximity]",
        "benchmarks.bootstrap": 50,
        "benchmarks.neighbour_index": "faiss",
        "tsne.neighbour_index": "faiss",
        "tsne.iterations": 20,
        "tsne.landmarks": 24,
        **more,
    }
    return load("demo", [f"{key}={value}" for key, value in values.items()])


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A tiny encoder that knows some words of the demo corpus."""
    return tiny_demo_bert(tmp_path_factory.mktemp("base") / "tiny-bert")


@pytest.fixture(scope="module")
def run(tmp_path_factory, base) -> Path:
    """A finished run of the whole study at the smallest size."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    execute_study(tiny_study(folder, base), engine=Engine(cores=2))
    return folder


def stamps(folder: Path, pattern: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in sorted(folder.glob(pattern))}


@pytest.mark.slow
def test_a_run_leaves_everything_that_it_promises(run):
    executed = [path.stem for path in sorted((run / "notebooks").glob("*.ipynb"))]
    assert len(executed) == 8
    for name in ("tsne", "explained_variance", "training_curves", "rank_histograms", "benchmark_comparison"):
        assert (run / "figures" / f"{name}.png").stat().st_size > 5000
        assert (run / "figures" / f"{name}.pdf").is_file()
    assert (run / "tables" / "benchmark.md").is_file()
    assert (run / "model" / "model.safetensors").is_file()
    assert (run / "variants" / "SemCSE" / "model" / "model.safetensors").is_file()
    table = benchmark_table(run).frame
    assert list(table.index) == ["tiny-bert", "SemCSE_cosine", "SemCSE", "TF-IDF", "SPECTER2 proximity"]
    assert table.loc["SPECTER2 proximity"].isna().all()
    assert table.drop("SPECTER2 proximity").notna().all().all()
    record = json.loads((run / "results" / "clustering--SemCSE.json").read_text())
    assert record["n"] == 16
    assert record["scores"]["metric"] == "euclidean"


@pytest.mark.slow
def test_a_second_run_does_nothing_and_a_changed_parameter_what_depends_on_it(run, base):
    before = stamps(run, "done/*.json")
    execute_study(tiny_study(run, base), engine=Engine(cores=2))
    assert stamps(run, "done/*.json") == before
    execute_study(tiny_study(run, base, **{"pca.components": 10}), engine=Engine(cores=2))
    changed = {name for name, stamp in stamps(run, "done/*.json").items() if stamp != before[name]}
    assert changed == {"pca.json"}


@pytest.mark.slow
def test_figures_are_drawn_again_from_stored_results_alone(run):
    drawn = {path.name: path.read_bytes() for path in (run / "figures").glob("*.png")}
    for path in (run / "figures").glob("*"):
        path.unlink()
    models = [run / "model", run / "variants" / "SemCSE" / "model"]
    for model in models:
        model.rename(model.with_name("hidden"))
    try:
        written = redraw(run)
        result = CliRunner().invoke(app, ["figures", str(run)])
    finally:
        for model in models:
            model.with_name("hidden").rename(model)
    assert {path.name: path.read_bytes() for path in written if path.suffix == ".png"} == drawn
    assert result.exit_code == 0
    assert "tsne.png" in result.output


@pytest.mark.slow
def test_own_abstracts_without_fields_or_queries_go_through(tmp_path, base):
    rows = load_papers("demo").to_pandas().head(90)
    rows[["title", "abstract"]].rename(columns={"abstract": "Summary"}).to_csv(tmp_path / "my.csv", index=False)
    own = {"sampling.source": "file", "sampling.path": tmp_path / "my.csv", "sampling.columns": "{abstract: Summary}"}
    own |= {"summaries.writer": "extractive", "summaries.query_writer": "none", "sampling.clustering": 0}
    execute_study(tiny_study(tmp_path / "own", base, **own, **{"sampling.training": "null"}), engine=Engine(cores=2))
    table = benchmark_table(tmp_path / "own").frame
    assert {"title_abstract", "abstract_segments"} <= set(table.columns)
    assert not {"query", "clustering"} & set(table.columns)
    assert not (tmp_path / "own" / "figures" / "field_confusion.png").exists()
    assert (tmp_path / "own" / "figures" / "tsne.png").is_file()
    redraw(tmp_path / "own")


@pytest.mark.slow
def test_a_failing_notebook_is_named_with_its_cell_and_error(tmp_path, capfd):
    study = load("demo", [f"folder={tmp_path / 'bad'}", "sampling.training=5000"])
    with pytest.raises(RunError, match="a notebook failed"):
        execute_study(study, only=["01"], engine=Engine(cores=1))
    said = capfd.readouterr().out
    assert re.search(r"cell \d+ failed: DataError: sampling.training asks for 5000 papers, but only", said)
    executed = tmp_path / "bad" / "notebooks" / "01_data_sampling.ipynb"
    assert str(executed) in said
    assert "DataError" in executed.read_text()


@pytest.mark.slow
def test_a_stage_without_its_predecessor_and_a_used_folder_are_explained(tmp_path):
    import fcntl

    study = load("demo", [f"folder={tmp_path / 'new'}"])
    with pytest.raises(RunError, match="a stage before the chosen ones has not run yet"):
        execute_study(study, only=["04"])
    with (tmp_path / "new" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="in use by another run"):
            execute_study(study)
    with pytest.raises(RunError, match="no notebook '09'"):
        execute_study(study, only=["09"])


def test_parameters_are_rewritten_only_when_they_change(tmp_path):
    study = load("demo", [f"folder={tmp_path}"])
    prepare(study)
    before = stamps(tmp_path, "params/*.yaml")
    assert {"training-SemCSE.yaml", "training-SemCSE_cosine.yaml", "pca.yaml"} <= before.keys()
    prepare(load("demo", [f"folder={tmp_path}", "tsne.perplexity=12"]))
    after = stamps(tmp_path, "params/*.yaml")
    assert {name for name in before if before[name] != after[name]} == {"tsne.yaml"}


def test_the_command_checks_parameters():
    good = CliRunner().invoke(app, ["check", "demo", "-p", "seed=5"])
    assert good.exit_code == 0
    assert "seed: 5  # command line" in good.output
    assert "training.margin: 1.0  # default" in good.output
    assert "sampling.source: demo  # demo.yaml" in good.output
    for command in (["check", "demo", "-p", "training.lerning_rate=1"], ["run", "dmeo"], ["figures", "nowhere"]):
        bad = CliRunner().invoke(app, command)
        assert bad.exit_code == 1
        assert "did you mean" in bad.output or "not a run's folder" in bad.output
