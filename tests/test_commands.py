"""Every command that README and docs show: run where that takes no time and no network, else held against the program
that would read it. A kind of command that no rule knows fails."""

import ast
import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from packaging.requirements import Requirement
from typer.testing import CliRunner

from semcse.cli import app
from semcse.papers import load_papers
from semcse.params import ParameterError, load
from tests import run_commands
from tests.commands import ROOT, Command, Line, blocks, commands, parts, shell_lines

PLACEHOLDER = re.compile(r"[A-Z_]+")
TAKES_SPEC = ("run", "sweep", "check", "summaries")
UsageError = typer.BadParameter.__base__
SUBCOMMANDS = typer.main.get_command(app).commands


def check_semcse(command: Command, folder: Path) -> None:
    """Options and arguments as the command line reads them; parameters as the schema does; `check` is run."""
    name, *arguments = command.words[1:]
    assert name in SUBCOMMANDS, f"no such command; there are {', '.join(SUBCOMMANDS)}"
    context = SUBCOMMANDS[name].make_context(name, list(arguments))
    if name not in TAKES_SPEC or PLACEHOLDER.fullmatch(context.params["spec"]):
        return
    study = load(context.params["spec"], context.params["override"] or [])
    assert study.name
    for place in context.params.get("over") or []:
        assert (ROOT / place).exists() or (folder / place).exists(), f"no ablations at {place}"
    if name == "check":
        result = CliRunner().invoke(app, list(command.words[1:]))
        assert result.exit_code == 0
        assert "training.loss:" in result.output


def check_make(command: Command, folder: Path) -> None:
    targets = re.findall(r"^([\w-]+):(?!=)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    wanted = [word for word in command.words[1:] if "=" not in word]
    assert wanted
    assert set(wanted) <= set(targets), f"the Makefile has {targets}"


def check_python(command: Command, folder: Path) -> None:
    """A script of the repository, all of whose options it declares."""
    script = ROOT / command.words[1]
    assert script.is_file(), f"no script {command.words[1]}"
    given = {word.partition("=")[0] for word in command.words[2:] if word.startswith("-")}
    assert given <= declared_options(script), f"{script.name} has no {given - declared_options(script)}"


def check_pytest(command: Command, folder: Path) -> None:
    """Test files that exist."""
    files = [word.partition("::")[0] for word in command.words[1:] if word.startswith("tests/")]
    assert files
    assert all((ROOT / file).is_file() for file in files)


def check_pip(command: Command, folder: Path) -> None:
    """Extras of ours exist; other packages are well-formed names."""
    assert command.words[1] == "install"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for word in (word for word in command.words[2:] if not word.startswith("-")):
        wanted = Requirement(word.replace(".", "semcse", 1) if word.startswith(".") else word)
        assert wanted.name != "semcse" or wanted.extras <= set(extras), f"the extras are {', '.join(extras)}"


def check_conda(command: Command, folder: Path) -> None:
    assert command.words[1:4] == ("env", "create", "-f")
    assert (ROOT / command.words[4]).is_file()


def check_copy(command: Command, folder: Path) -> None:
    *sources, _ = (word for word in command.words[1:] if not word.startswith("-"))
    assert all((ROOT / source).exists() for source in sources)


def check_sbatch(command: Command, folder: Path) -> None:
    """The command that the job runs; sbatch itself is Slurm's."""
    inner = command.words[command.words.index("--wrap") + 1]
    for words in parts(inner):
        check(Command(command.page, command.line, words), folder)


def check_foreign(command: Command, folder: Path) -> None:
    """Programs of others, whose documentation is theirs; only those that are meant to be shown."""
    assert command.words[:2] in {("transformers", "serve")}


RULES: dict[str, Callable[[Command, Path], None]] = {
    "semcse": check_semcse,
    "make": check_make,
    "python": check_python,
    "pytest": check_pytest,
    "pip": check_pip,
    "conda": check_conda,
    "cp": check_copy,
    "sbatch": check_sbatch,
    "transformers": check_foreign,
}


def check(command: Command, folder: Path) -> None:
    assert command.words[0] in RULES, f"{command.where}: a command of no known kind"
    RULES[command.words[0]](command, folder)


def declared_options(script: Path) -> set[str]:
    """The option names of every `add_argument` in a script, which is not imported."""
    calls = [node for node in ast.walk(ast.parse(script.read_text("utf-8"))) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"]
    return {str(arg.value) for call in named for arg in call.args if isinstance(arg, ast.Constant)} | {"--help"}


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """A working directory with the files that a page shows by name in its blocks."""

    def enter(page: Path) -> Path:
        for block in blocks(page):
            if block.name and not (ROOT / block.name).exists():
                (tmp_path / block.name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / block.name).write_text(block.text, "utf-8")
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return enter


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.where)
def test_every_command_shown_can_be_given(command, beside):
    try:
        check(command, beside(command.page))
    except (UsageError, ParameterError) as error:
        pytest.fail(f"{command.where}\n{getattr(error, 'message', error)}")


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_command_has_help_and_is_shown(name):
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert any(command.words[:2] == ("semcse", name) for command in commands())


@pytest.mark.parametrize(
    "words",
    [
        ("semcse", "run", "demo", "--onyl", "04"),
        ("semcse", "runs", "demo"),
        ("semcse", "run"),
        ("semcse", "check", "demo", "-p", "training.los=triplet"),
        ("semcse", "check", "dmo"),
        ("semcse", "sweep", "demo", "--over", "params/ablation"),
        ("make", "demos"),
        ("python", "benchmarks/generation.py", "--chek"),
        ("python", "benchmarks/gone.py"),
        ("pytest", "tests/test_gone.py"),
        ("pip", "install", "semcse[scales]"),
        ("conda", "env", "create", "-f", "environment.yaml"),
        ("sbatch", "--wrap", "semcse summaries paper --shards 0/8"),
        ("cp", "-r", "workflow/profiles/slurn", "my-slurm"),
        ("transformers", "chat"),
        ("rm", "-rf", "runs"),
    ],
    ids=" ".join,
)
def test_mistakes_are_found(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((AssertionError, UsageError, ParameterError)):
        check(Command(ROOT / "README.md", 1, words), tmp_path)


def test_commands_are_read_as_a_shell_reads_them(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "Text with `inline code`.\n\n    semcse run demo \\\n        -p 'a.b={c: d}'   # why\n    make x && make y\n\n"
        "```yaml\n# my.yaml\nextends: demo\n```\n\n```bash\nOMP_NUM_THREADS=1 python a.py\n```\n",
        "utf-8",
    )
    shown = list(blocks(page))
    assert [(block.line, block.language, block.name) for block in shown] == [
        (3, "", ""),
        (8, "yaml", "my.yaml"),
        (13, "bash", ""),
    ]
    assert [words for line in shown[2].text.splitlines() for words in parts(line)] == [("python", "a.py")]
    assert list(parts("make x && make y  # z")) == [("make", "x"), ("make", "y")]
    assert list(parts("semcse run demo -p 'a.b={c: d}'")) == [("semcse", "run", "demo", "-p", "a.b={c: d}")]


class NewClone(run_commands.Clone):
    """An empty folder in place of a clone."""

    def make(self) -> None:
        self.place.mkdir()


def test_commands_are_run_in_order_and_none_is_passed_over_in_silence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_commands, "NEEDED", {"eggs": "echo egg > eggs", "cake": "cp eggs cake"})
    monkeypatch.setattr(run_commands, "LONG", {"^sleep": 60})
    shown = [
        "cat cake",
        "echo $((1 + 1)) > sum && cat sum  # why",
        "cat none",
        "semcse run SPEC",
        "cat cake",
        "sleep 9",
    ]
    lines = [Line(ROOT / "README.md", number, text) for number, text in enumerate(shown, 1)]
    clone = NewClone(tmp_path, limit=60)
    clone.make()
    results = run_commands.run_all(lines, clone, skip_long=True, setup="touch ready")
    assert [(result.status, result.where) for result in results] == [
        ("ok", "first"),
        ("ok", "before before README.md:1"),
        ("ok", "before README.md:1"),
        ("ok", "README.md:1"),
        ("ok", "README.md:2"),
        ("FAILED", "README.md:3"),
        ("not run", "README.md:4"),
        ("as above", "README.md:5"),
        ("left out", "README.md:6"),
    ]
    assert (tmp_path / "main" / "sum").read_text() == "2\n"
    assert "none: No such file" in results[5].remark
    assert len(capsys.readouterr().out.splitlines()) == len(results)


def test_a_command_that_does_not_end_has_failed(tmp_path):
    clone = NewClone(tmp_path, limit=0.2)
    clone.make()
    (result,) = clone.run("here", "sleep 20")
    assert (result.status, result.seconds < 10) == ("FAILED", True)


def test_short_commands_are_the_page_s_with_smaller_sizes(beside):
    texts = {command: shlex.join(command.words) for command in commands()}
    short = {command: run_commands.shortened(text) for command, text in texts.items()}
    changed = {command: text for command, text in short.items() if text != texts[command]}
    assert {command.words[:2] for command in changed} >= {("semcse", "run"), ("semcse", "sweep")}
    for command, text in changed.items():
        (words,) = parts(text)
        check(Command(command.page, command.line, words), beside(command.page))
        if words[0] == "semcse":
            given = SUBCOMMANDS[words[1]].make_context(words[1], list(words[2:])).params
            assert "training.max_steps=4" in given["override"]
            assert given.get("seeds", "0") == "0"


RULES_OF_USE = [*(pattern for pattern, *_ in run_commands.REASONS), *run_commands.LONG, *run_commands.SHORTER]


@pytest.mark.parametrize("pattern", RULES_OF_USE)
def test_every_rule_on_what_runs_is_of_use(pattern):
    assert [line.text for line in shell_lines() if re.search(pattern, line.text)]


@pytest.mark.parametrize("name", run_commands.NEEDED)
def test_what_is_made_before_is_what_a_page_builds_on(name):
    assert [line.text for line in shell_lines() if name in line.text]


def test_the_reader_s_papers_are_read_as_the_pages_say(tmp_path):
    run_commands.write_papers(tmp_path / "my.csv", 40)
    papers = load_papers("file", path=tmp_path / "my.csv", columns={"title": "Title", "abstract": "Summary"})
    assert len(papers) == 40
