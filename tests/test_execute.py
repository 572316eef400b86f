"""Notebooks by papermill: what the terminal sees, and kernels that cannot meet."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
import yaml

from semcse import execute
from semcse.execute import PlainLines, own_sockets

KERNEL = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}


def notebook(path: Path, *cells: str) -> Path:
    book = nbformat.v4.new_notebook(metadata=KERNEL, cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(book, path)
    return path


def test_only_cells_that_took_a_while_get_a_line(capsys, monkeypatch):
    times = iter([0.0, 0.5, 12.5])
    monkeypatch.setattr(execute.time, "monotonic", lambda: next(times, 12.5))
    lines = PlainLines("03_training", 2)
    lines.update(1)
    lines.update(1)
    assert capsys.readouterr().out == "03_training: cell 2 of 2 took 12 s\n"


def test_no_two_kernels_share_a_place():
    with own_sockets() as one, own_sockets() as other:
        assert one.KernelManager.transport == other.KernelManager.transport == "ipc"
        assert one.KernelManager.ip != other.KernelManager.ip
        place = Path(one.KernelManager.ip).parent
        assert place.is_dir()
    assert not place.exists()


@pytest.mark.slow
def test_several_notebooks_at_once_get_their_parameters_and_sockets(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    code = "import json\nfrom ipykernel.connect import get_connection_info\n"
    code += "info = json.loads(get_connection_info())\nprint(value, info['transport'], info['ip'])"
    book = notebook(tmp_path / "book.ipynb", "value = 0", code)

    def run(value: int) -> str | None:
        parameters = tmp_path / f"{value}.yaml"
        parameters.write_text(yaml.safe_dump({"value": value}))
        return execute.execute(book, tmp_path / f"out{value}.ipynb", parameters)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(4))) == [None] * 4
    printed = []
    for value in range(4):
        cells = json.loads((tmp_path / f"out{value}.ipynb").read_text())["cells"]
        printed.append("".join(cells[-1]["outputs"][0]["text"]).split())
    assert [words[:2] for words in printed] == [[str(value), "ipc"] for value in range(4)]
    assert len({words[2] for words in printed}) == 4


def test_a_failure_is_a_message_and_stays_in_the_executed_copy(tmp_path):
    book = notebook(tmp_path / "book.ipynb", "value = 0", "raise ValueError('too few papers')")
    parameters = tmp_path / "p.yaml"
    parameters.write_text("value: 1\n")
    problem = execute.execute(book, tmp_path / "out.ipynb", parameters)
    assert problem is not None
    assert "ValueError: too few papers" in problem
    assert "too few papers" in (tmp_path / "out.ipynb").read_text()
