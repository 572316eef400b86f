"""The notebooks by hand: `make lab` in a real browser, a notebook opened, changed, run, and its figure in the page."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from browser import Page, headless_browser
from tiny import tiny_demo_bert

from semcse.execute import execute
from semcse.params import load
from semcse.run import prepare

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"training": 40, "validation": 12, "benchmark": 24, "clustering": 0}
SERVER = {"open_browser": False, "port": 0, "ip": "127.0.0.1", "allow_root": True}
NEWS = {"fetchNews": "false", "checkForUpdates": False}

PANEL = ".jp-NotebookPanel:not(.lm-mod-hidden)"
IDLE = f"document.querySelector('{PANEL} .jp-Notebook-ExecutionIndicator')?.dataset.status == 'idle'"
KERNEL = f"document.querySelector('{PANEL} .jp-Toolbar-kernelName')?.textContent.startsWith('Python 3')"
PROMPTS = f"[...document.querySelectorAll('{PANEL} .jp-CodeCell .jp-InputPrompt')].map(e => e.textContent)"
HAS_RUN = rf"{PROMPTS}.some(text => /\d/.test(text)) && !{PROMPTS}.some(text => text.includes('*')) && {IDLE}"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with headless_browser(tmp_path / "profile") as page:
        yield page


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with the notebooks, and a small run beside them that 01 and 02 have prepared."""
    folder = tmp_path / "workplace"
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".*"))
    sizes = [f"sampling.{name}={size}" for name, size in SIZES.items()]
    study = load("demo", [f"folder={folder / 'runs' / 'demo'}", "summaries.quality_model=null", *sizes])
    run = prepare(study)
    for notebook, section in (("01_data_sampling", "sampling"), ("02_summary_generation", "summaries")):
        path = folder / "notebooks" / f"{notebook}.ipynb"
        problem = execute(path, run / "notebooks" / path.name, run / "params" / f"{section}.yaml")
        assert problem is None
    return folder


@pytest.fixture
def lab(workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict]:
    """What the server says of itself that `make lab` has started in the workplace, with no settings but ours."""
    home = tmp_path / "jupyter"
    settings = home / "config" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(NEWS))
    config = {"ServerApp": SERVER, "LabApp": {"extension_manager": "readonly"}}
    (home / "config" / "jupyter_server_config.json").write_text(json.dumps(config))
    for name in ("config", "data", "runtime"):
        monkeypatch.setenv(f"JUPYTER_{name.upper()}_DIR", str(home / name))
    monkeypatch.setenv("IPYTHONDIR", str(home / "ipython"))
    for name in ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "JUPYTER_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    place = ["--directory", str(workplace), "--makefile", str(ROOT / "Makefile")]
    command = ["make", *place, "--old-file=setup", f"BIN={Path(sys.executable).parent}", "lab"]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield server_facts(home, process)
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started; a server that still loads a page may not listen, so then by force."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=20)


def server_facts(home: Path, process: subprocess.Popen[bytes]) -> dict:
    """Address and token of the server, once it answers."""
    for _ in range(600):
        assert process.poll() is None, (home / "log").read_text()
        for path in (home / "runtime").glob("jpserver-*.json"):
            try:
                facts = json.loads(path.read_text())
                urlopen(f"http://127.0.0.1:{facts['port']}/api", timeout=10).close()
            except (ValueError, URLError):
                continue
            return facts
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not come up within 60 s: {(home / 'log').read_text()}")


def title(text: str) -> str:
    """True where the notebook in front begins with this heading."""
    return f"document.querySelector('{PANEL} h1')?.textContent.startsWith({json.dumps(text)})"


def output(page: Page, cell: str, kind: str) -> list[str]:
    """Addresses of pictures (`kind` img) or texts below the cells whose code holds `cell`."""
    cells = f"[...document.querySelectorAll('{PANEL} .jp-CodeCell')]"
    chosen = f"{cells}.filter(c => c.querySelector('.jp-InputArea').textContent.includes({json.dumps(cell)}))"
    found = f"{chosen}.flatMap(c => [...c.querySelectorAll('.jp-OutputArea-output {kind}')])"
    return page.evaluate(f"{found}.map(e => e.currentSrc ?? e.textContent)")


@pytest.mark.slow
def test_training_is_opened_changed_and_run(page: Page, lab: dict, workplace: Path, tmp_path: Path) -> None:
    page.goto(f"{lab['url']}?token={lab['token']}", title("01 Data sampling"), 1300, 4200, seconds=120)
    page.click_on(".jp-DirListing-itemText", "03_training.ipynb", times=2)
    page.wait_until(title("03 Training"), 60)
    page.wait_until(f"{KERNEL} && {IDLE}", 60)

    base = tiny_demo_bert(tmp_path / "tiny-bert")
    page.click_on(f"{PANEL} .jp-CodeCell .cm-line:last-child")
    page.key("End")
    changes = {"batch_size": 8, "max_steps": 6, "warmup_steps": 1, "evaluate_every": 3, "checkpoint_every": 3}
    lines = [f"base = {str(base)!r}", *(f"{name} = {value}" for name, value in changes.items())]
    page.call("Input.insertText", text="\n" + "\n".join(lines))
    page.click_on(".lm-MenuBar-itemLabel", "Run")
    page.click_on(".lm-Menu-itemLabel", "Run All Cells")
    page.wait_until(HAS_RUN, 300)
    page.settle()
    page.screenshot(tmp_path / "03_training.png")

    for kind in ("error", "stderr"):
        found = f"[...document.querySelectorAll('{PANEL} [data-mime-type$={kind}]')].map(e => e.innerText)"
        assert page.evaluate(found) == []
    (curves,) = output(page, "views.training_curves", "img")
    assert curves.startswith("data:image/png;base64,")
    assert any("training: 100%" in text and "6/6" in text for text in output(page, "train(study", "pre"))
    assert output(page, "training_log(", "td.col0") == ["0", "3", "6"]
    run = workplace / "runs" / "demo"
    assert json.loads((run / "checkpoints" / "finished.json").read_text())["steps"] == 6
    assert (run / "model" / "model.safetensors").is_file()
    assert all(url.startswith((lab["url"], "data:", "blob:")) for url in page.requests())
