"""The example notebooks: clean, thin, and they run."""

import ast
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from tiny import tiny_demo_bert

from semcse.corpus_search import load_vectors, nearest_to_question
from semcse.execute import execute
from semcse.papers import load_papers

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_clean_and_thin(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert [cell.metadata.get("tags") for cell in code if cell.metadata.get("tags")] == [["parameters"]]
    source = "\n".join(cell.source for cell in code)
    assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert len(source.splitlines()) <= 135
    assert book.cells[0].cell_type == "markdown"


@pytest.mark.slow
def test_own_corpus_goes_from_a_file_to_the_nearest_papers(tmp_path):
    papers = load_papers("demo").to_pandas().head(40).rename(columns={"abstract": "Summary"})
    papers.loc[7, "Summary"] = ""
    papers[["title", "Summary"]].to_csv(tmp_path / "my.csv", index=False)
    parameters = {
        "papers": str(tmp_path / "my.csv"),
        "columns": {"abstract": "Summary"},
        "folder": str(tmp_path / "run"),
        "base": str(tiny_demo_bert(tmp_path / "tiny-bert")),
        "steps": 2,
        "question": "ice on rivers",
    }
    (tmp_path / "parameters.yaml").write_text(yaml.safe_dump(parameters))
    problem = execute(ROOT / "examples" / "own_corpus.ipynb", tmp_path / "done.ipynb", tmp_path / "parameters.yaml")
    assert problem is None
    stored = load_vectors(tmp_path / "run" / "vectors.npy")
    assert len(stored.vectors) == 39
    assert stored.made.model == str(tmp_path / "run" / "model")
    assert np.ptp(stored.vectors, axis=0).max() > 0
    found = nearest_to_question(stored, "ice on rivers")
    shown = nbformat.read(tmp_path / "done.ipynb", as_version=4)
    texts = [str(output) for cell in shown.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any(found["title"][0][:30] in text for text in texts)
    assert sum("image/png" in text for text in texts) == 2
    assert (tmp_path / "run" / "map.png").stat().st_size > 5000
