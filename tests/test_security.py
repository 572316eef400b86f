"""Files, names, values and texts of strangers: none of them runs code, leaves its place or takes the key along."""

import ast
import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
import yaml
from bs4 import BeautifulSoup
from typer.testing import CliRunner

from semcse import execute
from semcse.checkpoints import Checkpoints
from semcse.cli import app
from semcse.corpus_search import load_vectors
from semcse.corpus_vectors import Made, parse_columns
from semcse.encoder import Encoder
from semcse.models import ModelUnavailable, SentenceEncoder, load_models, open_model
from semcse.params import ParameterError, load
from semcse.readers import DataError
from semcse.records import slug
from semcse.report import write_report
from semcse.report.facts import cached_texts, read_parameters
from semcse.run import Engine, RunError, execute_study, prepare
from semcse.stored import space_embeddings
from semcse.training import train
from semcse.writers.loading import load_model
from tests.test_execute import notebook
from tests.test_training import HELD_OUT, RECORDS, study, train_and_crash
from tests.test_writers_openai import Handler, StandIn
from tests.tiny import tiny_bert

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = "<script>document.title = 'run'</script>"
HOSTILE = [
    SCRIPT,
    f"</script>{SCRIPT}",
    '"><img src=x onerror="document.title = \'run\'">',
    "$(touch run) {run} %s | x",
]
KEY = "sk-not-to-be-written-down"


class Bomb:
    """Makes the file that it is told to when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    """A path at which nothing may lie when the test ends."""
    yield tmp_path / "ran"
    assert not (tmp_path / "ran").exists(), "code of a stranger ran"


def remote(folder: Path, mark: Path) -> Path:
    """A model folder whose configuration asks for code that lies beside it."""
    tiny_bert(folder)
    code = f"import os\nos.mkdir({str(mark)!r})\nfrom transformers import BertConfig, BertModel\n"
    code += "class C(BertConfig):\n    model_type = 'foreign'\nclass M(BertModel):\n    config_class = C\n"
    (folder / "code.py").write_text(code)
    path = folder / "config.json"
    classes = {"AutoConfig": "code.C", "AutoModel": "code.M", "AutoModelForCausalLM": "code.M"}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "foreign", "auto_map": classes}))
    return folder


def pickled(folder: Path, mark: Path) -> Path:
    """A model folder whose weights are a pickle that holds a bomb."""
    tiny_bert(folder)
    (folder / "model.safetensors").unlink()
    torch.save({"embeddings.word_embeddings.weight": Bomb(mark)}, folder / "pytorch_model.bin")
    return folder


LOADERS: dict[str, Callable[[Path], Any]] = {
    "Encoder": Encoder.load,
    "open_model": lambda folder: open_model(str(folder)),
    "SentenceEncoder": lambda folder: SentenceEncoder(str(folder), None, False, 64),
    "writer": lambda folder: load_model(str(folder)),
}
REFUSED = (ModelUnavailable, DataError, ValueError)


def test_the_bombs_of_these_tests_do_go_off(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "one")))  # noqa: S301
    torch.load(pickled(tmp_path / "model", tmp_path / "two") / "pytorch_model.bin", weights_only=False)
    assert (tmp_path / "one").exists()
    assert (tmp_path / "two").exists()


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("made", [pickled, remote])
def test_models_run_no_code(made: Callable[[Path, Path], Path], loader: str, tmp_path: Path, mark: Path) -> None:
    with pytest.raises(REFUSED, match="Use a copy with model.safetensors" if made is pickled else "custom code"):
        LOADERS[loader](made(tmp_path / "model", mark))


def test_remote_code_runs_where_an_entry_asks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "cache"))
    Encoder.load(remote(tmp_path / "model", tmp_path / "asked"), trust_remote_code=True)
    assert (tmp_path / "asked").exists()


@pytest.mark.parametrize("kind", ["evil.Module", "subprocess.Popen"])
def test_modules_of_a_sentence_transformers_folder_are_known_ones(kind: str, tmp_path: Path, mark: Path) -> None:
    folder = remote(tmp_path / "model", mark)
    shutil.copy(folder / "code.py", folder / "evil.py")
    (folder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": kind}]))
    with pytest.raises(ValueError, match="trust_remote_code"):
        SentenceEncoder(str(folder), None, False, 64)
    with pytest.raises(ValueError, match="an Encoder knows Transformer"):
        Encoder.load(folder)


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_checkpoints_run_no_code(name: str, tmp_path: Path, mark: Path) -> None:
    broken = study(tiny_bert(tmp_path / "base"), tmp_path / "run", max_steps=4, checkpoint_every=2, evaluate_every=2)
    train_and_crash(broken, 3)
    last = Checkpoints(broken.folder / "checkpoints").last()
    assert last is not None
    assert (last / name).is_file()
    torch.save({"state": Bomb(mark)}, last / name)
    Checkpoints(broken.folder / "checkpoints").mark_whole(2)  # with the checksums of a stranger's files
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        train(broken, RECORDS, HELD_OUT)


def test_arrays_run_no_code(tmp_path: Path, mark: Path) -> None:
    bomb = np.array([Bomb(mark)], dtype=object)
    folder = tmp_path / "embeddings" / "m"
    folder.mkdir(parents=True)
    for path in (tmp_path / "v.npy", folder / "space.npy", folder / "shard-0.npy"):
        np.save(path, bomb, allow_pickle=True)
    made = {field.name: 1 for field in fields(Made)}
    (tmp_path / "v.json").write_text(json.dumps(made))
    (tmp_path / "v.parquet").touch()
    for read in (lambda: load_vectors(tmp_path / "v.npy"), lambda: space_embeddings(tmp_path, "m")):
        with pytest.raises(ValueError, match=r"allow_pickle|Python objects"):
            read()
    assert cached_texts(folder.parent, None) is None


def test_yaml_makes_no_objects(tmp_path: Path, mark: Path) -> None:
    text = f"!!python/object/apply:os.mkdir [{json.dumps(str(mark))}]"
    path = tmp_path / "params.yaml"
    path.write_text(f"seed: {text}\n")
    for use in (lambda: load(str(path)), lambda: load("demo", [f"seed={text}"])):
        with pytest.raises(ParameterError, match="could not determine a constructor"):
            use()
    with pytest.raises(ValueError, match="cannot be read"):
        parse_columns(text)
    with pytest.raises(yaml.YAMLError, match="could not determine a constructor"):
        load_models(path)
    assert read_parameters(tmp_path) == {}


@pytest.mark.parametrize("name", ["..", "../../x", "a/b", ".hidden", "$(touch x)", "a b", "a;b", ""])
def test_names_are_no_paths_and_no_commands(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for key in ("name", "training.name", "variants"):
        given = json.dumps({name: {}} if key == "variants" else name)
        done = CliRunner().invoke(app, ["run", "demo", "-p", f"{key}={given}"])
        assert done.exit_code == 1
        assert f"{key}" in done.output
        assert "should match pattern" in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["..", ".", "../../x", "/etc/passwd", "a\x00b\n", *HOSTILE])
def test_file_names_of_models_stay_in_their_folder(name: str, tmp_path: Path) -> None:
    place = (tmp_path / slug(name) / "space.npy").resolve()
    assert place.parent.parent == tmp_path.resolve()
    assert not set(slug(name)) & set("/\\$()`'\"<>;& \n\x00")


def test_a_folder_that_snakemake_would_fill_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"expected a folder without braces.*another `folder`"):
        prepare(load("demo").model_copy(update={"folder": tmp_path / "{run}"}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["http://me:secret@host/v1", "http://host/v1?key=secret"])
def test_no_key_in_the_server_s_address(url: str) -> None:
    with pytest.raises(ParameterError, match="read from the environment variable OPENAI_API_KEY") as caught:
        load("demo", ["summaries.writer=openai", f"summaries.base_url={url}"])
    assert "secret" not in str(caught.value)


def test_values_reach_a_notebook_as_they_are(tmp_path: Path, mark: Path) -> None:
    code = f"__import__('os').mkdir({str(mark)!r})"
    values = [
        f'"; {code}; "',
        f"'''\n{code}\n'''",
        f'\\"; {code} #',
        f'"""{code}"""',
        "{0} {run} %s \\n \x07 \u2028",
        *HOSTILE,
    ]
    given = {"texts": values, "table": {value: value for value in values}, "text": values[0]}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(given))
    book = notebook(
        tmp_path / "book.ipynb", "text = table = texts = None", "import json\nprint(json.dumps([texts, table, text]))"
    )
    assert execute.execute(book, tmp_path / "out.ipynb", tmp_path / "p.yaml") is None
    printed = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1].outputs[0].text
    assert json.loads(printed) == [given["texts"], given["table"], given["text"]]


class Refusing(Handler):
    """Repeats the key that it was sent, as some servers do."""

    def do_POST(self) -> None:
        self.server.keys.append(self.headers["Authorization"])
        self._send(401, {"error": {"message": f"Incorrect API key provided: {self.headers['Authorization']}"}})


@pytest.fixture
def refusing() -> Iterator[StandIn]:
    server = StandIn()
    server.RequestHandlerClass = Refusing
    yield server
    server.stop()


def hostile_papers(path: Path) -> Path:
    """A file of papers whose titles, abstracts, fields and sources are attacks."""
    rows = []
    for number in range(60):
        attack, other = HOSTILE[number % 4], HOSTILE[(number + 1) % 4]
        abstract = f"We study {attack} here, case {number}. It is found to hold {number} times. More of it is needed."
        row = {
            "corpus_id": number,
            "title": f"{attack} {number}",
            "abstract": abstract,
            "field": other,
            "source": attack,
        }
        rows.append(json.dumps(row))
    path.write_text("\n".join(rows))
    return path


def test_a_server_that_repeats_the_key_gives_it_to_no_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusing: StandIn
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    code = "from semcse.writers.base import Request\nfrom semcse.writers.openai_server import OpenAIWriter\n"
    code += "OpenAIWriter('tiny', url).continuations([Request({'corpus_id': 1}, '', 'text')])"
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({"url": refusing.url}))
    problem = execute.execute(
        notebook(tmp_path / "book.ipynb", "url = None", code), tmp_path / "out.ipynb", tmp_path / "p.yaml"
    )
    assert refusing.keys == [f"Bearer {KEY}"]
    for said in (str(problem), (tmp_path / "out.ipynb").read_text()):
        assert "Incorrect API key provided: Bearer [key]" in said
        assert KEY not in said


@pytest.mark.slow
def test_a_run_in_a_hostile_place_with_hostile_papers_and_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Interpreter, folder and values hold what a shell would run, papers what a page would run."""
    (tmp_path / "it's an env").symlink_to(sys.prefix)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "it's an env" / "bin" / "python"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    run = tmp_path / "$(touch run); touch run & `touch run` 'a' \"b\" *"
    values = {
        "folder": json.dumps(str(run)),
        "sampling.source": "file",
        "sampling.path": hostile_papers(tmp_path / "it's; touch run.jsonl"),
        "sampling.training": 20,
        "sampling.validation": 5,
        "sampling.benchmark": 10,
        "sampling.clustering": 20,
        "summaries.writer": "openai",
        "summaries.base_url": "http://localhost:1/v1",
    }
    study = load("demo", [f"{key}={value}" for key, value in values.items()])
    execute_study(study, only=["01"], engine=Engine(cores=1))
    report = write_report(run)

    written = [path for path in run.rglob("*") if path.is_file()]
    assert {path.name for path in written} >= {"01_data_sampling.ipynb", "params.yaml", "snakemake.log", "report.html"}
    assert [path.name for path in written if KEY.encode() in path.read_bytes()] == []
    assert KEY not in "".join(capfd.readouterr())
    places = [tmp_path, run, ROOT, ROOT / "notebooks"]
    assert [place for place in places if (place / "run").is_file()] == []

    book = nbformat.read(run / "notebooks" / "01_data_sampling.ipynb", as_version=4)
    outputs = [output for cell in book.cells for output in cell.get("outputs", []) if "data" in output]
    pages = [output.data["text/html"] for output in outputs if "text/html" in output.data]
    assert any("&lt;script&gt;" in page for page in pages), "titles are shown"
    for page in [*pages, report.read_text("utf-8")]:
        found = BeautifulSoup(page, "html.parser")
        assert found.find_all("script") == []
        assert [tag for tag in found.find_all(True) if any(name.startswith("on") for name in tag.attrs)] == []


def calls(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Dotted name of every call in a file, and the constants among its named arguments."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            named = {
                word.arg: word.value.value
                for word in node.keywords
                if word.arg and isinstance(word.value, ast.Constant)
            }
            yield ast.unparse(node.func), named


def test_what_ruff_s_security_rules_do_not_look_at() -> None:
    """Arrays without objects, tensors only, no code of strangers; all else is ruff's S."""
    paths = [path for folder in ("semcse", "benchmarks", "docs") for path in sorted((ROOT / folder).rglob("*.py"))]
    found = [(path.name, name, named) for path in paths for name, named in calls(path)]
    loads = [named for _, name, named in found if name in ("np.load", "numpy.load")]
    assert len(loads) > 4
    assert all(named.get("allow_pickle") is False for named in loads)
    assert [path for path, name, named in found if name == "torch.load" and named.get("weights_only") is not True] == []
    assert [path for path, name, _ in found if name.split(".")[0] in ("joblib", "dill", "cloudpickle", "marshal")] == []
    assert [path for path, _, named in found if named.get("trust_remote_code") is True] == []
