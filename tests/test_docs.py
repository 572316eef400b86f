"""The pages of docs/: what they show is what the code says, their examples run, their links lead somewhere."""

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from semcse.encoder import Encoder
from semcse.models import load_models
from semcse.params import load
from tests.commands import ROOT, blocks
from tests.tiny import tiny_bert

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
OUTSIDE = re.compile(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"'](?:https?:)?//", re.IGNORECASE)


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_parameters", DOCS / "parameters.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_parameters_is_the_schema_s():
    assert (DOCS / "parameters.md").read_text("utf-8") == generator().page(), "run: python docs/parameters.py"


def test_a_default_and_a_source_on_that_page_by_hand():
    page = (DOCS / "parameters.md").read_text("utf-8")
    assert "| `training.batch_size` | whole number ≥ 2 | `32` | pairs in a batch | A.3 |" in page
    assert (
        "| `training.l2_squared` | true or false | `true` | squared norms in the L2 term | not stated; ours |" in page
    )
    assert "| `resources.summaries` | 8 | 1 | 64 | 48 |" in page


def test_every_page_is_in_the_contents_and_every_link_leads_to_one():
    contents = re.search(r"```\{toctree\}\n:hidden:\n\n(.*?)```", (DOCS / "index.md").read_text("utf-8"), re.DOTALL)
    assert contents is not None
    assert sorted([*contents[1].split(), "index"]) == [page.stem for page in PAGES]
    for page in [*PAGES, ROOT / "README.md"]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: no {target}"


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    shown = [block for block in blocks(DOCS / "extending.md") if block.language == "python"]
    assert len(shown) == 4
    for block in shown:
        exec(compile("\n" * (block.line - 1) + block.text, str(block.page), "exec"), names)  # noqa: S102


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "tutorial.md"], ids=lambda page: page.stem)
def test_a_run_s_model_is_used_as_shown(page, tmp_path, monkeypatch):
    Encoder.load(tiny_bert(tmp_path / "tiny"), pooling="cls").save(tmp_path / "runs" / "mine" / "model")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    (shown,) = (block for block in blocks(page) if block.language == "python")
    exec(compile(shown.text, str(page), "exec"), names)  # noqa: S102
    assert names["vectors"].shape[0] == 1


def test_changes_are_shown_where_the_code_has_them():
    """The lines that a diff keeps or takes away stand in its file, one after the other."""
    shown = [block for block in blocks(DOCS / "extending.md") if block.language == "diff"]
    assert len(shown) == 5
    for block in shown:
        name, *lines = block.text.splitlines()
        text = (ROOT / name.removeprefix("--- ")).read_text("utf-8")
        assert "\n".join(line[1:] for line in lines if line[0] in " -") in text, f"line {block.line}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_yaml_shown_can_be_read(page, tmp_path):
    for block in blocks(page):
        if block.language != "yaml" or "/config.yaml" in block.name:
            continue
        path = tmp_path / Path(block.name).name
        path.write_text(block.text, "utf-8")
        if path.name == "models.yaml":
            assert load_models(path)
        elif "extends:" in block.text:
            load(str(path))
        else:
            load(f"demo+{path}")


def messages() -> Iterator[str]:
    """Every constant text of the package, and the constant parts of its f-strings."""
    for path in sorted((ROOT / "semcse").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_errors_explained_are_errors_of_the_code():
    known = "\n".join(messages())
    explained = re.findall(r"^### `(.+)`$", (DOCS / "faq.md").read_text("utf-8"), re.MULTILINE)
    assert len(explained) > 15
    for message in explained:
        for part in message.split("..."):
            assert part.strip() in known, f"no message says {part.strip()!r}"


def test_the_site_is_built_without_a_warning_and_fetches_nothing(tmp_path):
    build = pytest.importorskip("sphinx.cmd.build")
    pytest.importorskip("furo")
    pytest.importorskip("myst_parser")
    status = build.main(["-q", "-W", "--keep-going", "-d", str(tmp_path / "trees"), str(DOCS), str(tmp_path / "site")])
    assert status == 0
    built = sorted((tmp_path / "site").glob("*.html"))
    assert {page.stem for page in PAGES} <= {page.stem for page in built}
    for page in built:
        assert not OUTSIDE.search(page.read_text("utf-8")), page.name
    styles = "".join(path.read_text("utf-8") for path in (tmp_path / "site").rglob("*.css"))
    assert not re.search(r"@import\s+(?:url\()?[\"']?https?:|url\([\"']?https?:", styles)
