"""Run the commands that README and docs show, page by page in order, in a fresh clone with an environment of its own.

    python tests/run_commands.py --list                          # what would run and what not, with the reasons
    python tests/run_commands.py --only README.md --skip-long    # a page, without what takes ten minutes or more
    python tests/run_commands.py --short                         # all, the long ones with less data or fewer steps
    python tests/run_commands.py                                 # all: a working day on two cores

The clone is of the last commit. Commands are run as they stand, or with `--short` with options behind them that make
them small; what a reader is said to have (a file of papers, a model folder, a finished run) is made before. Every
command ends with a status and its seconds, those that cannot run here with the reason. Exit status 1 when one failed.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.commands import ROOT, Line, blocks, pages, shell_lines

SETUP = "make setup"


def _absent(program: str) -> Callable[[], bool]:
    return lambda: shutil.which(program) is None


def _always() -> bool:
    return True


REASONS: tuple[tuple[str, Callable[[], bool], str], ...] = (
    (r"^(semcse|transformers) \w+$", _always, "a command's name in a sentence"),
    (r"\b(SPEC|DATA|PAPERS)\b", _always, "a word that stands for the reader's own"),
    (r"^make lab$", _always, "opens JupyterLab and waits for the reader"),
    (r"localhost:8000", _always, "needs a language model's server"),
    (r"^transformers serve .", _always, "needs the model hub and a GPU, and serves until it is stopped"),
    (r"my-slurm\b.*|^sbatch", _absent("sbatch"), "needs a cluster with Slurm"),
    (r"(run|sweep|summaries) (paper|small)\b|runs/paper", _always, "needs the model hub and a GPU for hours or days"),
    (r"^conda ", _absent("conda"), "needs conda"),
    (r'"My model"', _always, "needs the entry of params/models.yaml that the page shows"),
    (r"scirepeval-copies", _always, "needs copies of SciRepEval's data"),
    (r"(run|runs/)\s?(abstracts|extractive)", lambda: not _shared().is_dir(), "needs the folder ../shared"),
)
"""Pattern, whether that is so on this machine, and why the command then cannot run."""
LONG: dict[str, int] = {
    r"^semcse sweep": 30,
    r"^make test": 40,
    r"^make demo|^semcse run (?!.*--only)": 8,
    r"benchmarks/recipes": 60,
    r"benchmarks/matching": 2,
    r"benchmarks/(scaling.py --pa|scirepeval.py)": 30,
    r"^python benchmarks(?!.*--plan)": 10,
    r"^pytest": 5,
    r"semcse\[mteb\]|^make docs|transformers\[serving\]": 3,
}
"""Minutes on two cores, roughly, by pattern; the first that fits counts. What is not here takes less than two."""
SHORTER: dict[str, str] = {
    r"^semcse (run|sweep) ": "-p training.max_steps=4 -p training.evaluate_every=2 -p training.warmup_steps=1 "
    "-p variants={}",
    r"^semcse (run|sweep) (?!.*benchmarks\.models)": "-p benchmarks.models=[TF-IDF]",
    r"^semcse run abstracts": "-p sampling.benchmark=300 -p sampling.clustering=300",
    r"^semcse run extractive": "-p sampling.training=1000 -p sampling.validation=100 -p sampling.benchmark=300 "
    "-p sampling.clustering=300",
    r"^python benchmarks/recipes.py ": "--seeds 0 --steps 24 --papers 60",
    r"^python benchmarks/scirepeval.py": "--scale 0.02",
    r"^python benchmarks/scaling.py --pa": "--sizes 2000 --real 200",
    r"^python benchmarks/training.py": "--steps 3 --rounds 1",
    r"^python benchmarks/job_memory.py": "--papers 1000 2000",
    r"^python benchmarks/projection.py": "--rows 3000 --peer-rows 1000",
    r"^python benchmarks/generation.py": "--papers 1 --new-tokens 8",
}
"""Options that make a command small, put behind its own, whose place they take; a sweep gets one seed as well."""
LONG_FROM = 10
"""Minutes from which on a command can be left out: the runs that others build on take less."""
NEEDED = {
    "runs/demo": "semcse run demo",
    "my-model": "cp -r runs/demo/model my-model",
    "another-model": "cp -r runs/demo/model another-model",
    "runs/abstracts": "semcse run abstracts",
    "runs/mine": "semcse run mine.yaml",
    "mine.npy": "semcse embed my.csv --columns '{title: Title, abstract: Summary}' --model runs/mine/model -o mine.npy",
    "my-slurm": "cp -r workflow/profiles/slurm my-slurm",
    "scaling.json": "python benchmarks/scaling.py --parts exact,faiss --sizes 32000 --out scaling.json",
}
"""What commands build on, and the command that makes it where none before did."""


@dataclass(frozen=True)
class Result:
    """What became of a command."""

    status: str
    seconds: float
    where: str
    text: str
    remark: str = ""

    def __str__(self) -> str:
        remark = f"   [{self.remark}]" if self.remark else ""
        return f"{self.status:8} {self.seconds:7.1f} s  {self.where}: {self.text}{remark}"


def reason(text: str) -> str:
    """Why a command cannot run on this machine; "" where it can."""
    return next((why for pattern, holds, why in REASONS if re.search(pattern, text) and holds()), "")


def minutes(text: str) -> int:
    """About how long a long command takes; 0 for the others."""
    return next((long for pattern, long in LONG.items() if re.search(pattern, text)), 0)


def shortened(text: str) -> str:
    """A command with the options that make it small."""
    added = [options for pattern, options in SHORTER.items() if re.search(pattern, text)]
    return " ".join([text, *added, *(["--seeds 0"] if text.startswith("semcse sweep ") else [])])


def chosen(only: Sequence[str]) -> list[Line]:
    """The lines of these pages ("README.md", "docs/faq.md" or "faq.md"), of all by default."""
    known = {str(page.relative_to(ROOT)): page for page in pages()}
    wanted = [name if name in known else f"docs/{name}" for name in only] or list(known)
    if unknown := set(wanted) - set(known):
        raise SystemExit(f"no page {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [line for line in shell_lines() if str(line.page.relative_to(ROOT)) in wanted]


def plan(lines: Iterable[Line], skip_long: bool, short: bool = False) -> Iterator[tuple[Line, str, Result | None]]:
    """Each line, the command in it, and what is known of it before anything runs: None for those to run."""
    first: dict[str, str] = {}
    for line in lines:
        text = " ".join(line.text.partition("  #")[0].split())
        known = None
        if why := reason(text):
            known = Result("not run", 0, line.where, text, why)
        elif text in first:
            known = Result("as above", 0, line.where, text, first[text])
        elif skip_long and minutes(text) >= LONG_FROM and not (short and shortened(text) != text):
            known = Result("left out", 0, line.where, text, f"long, about {minutes(text)} min")
        first.setdefault(text, line.where)
        yield line, text, known


class Clone:
    """A clone with its own environment, in which commands are run one after the other."""

    def __init__(self, folder: Path, limit: float, short: bool = False) -> None:
        self.short = short
        self.place = folder / "main"
        self.logs = folder / "logs"
        self.limit = limit
        self.logs.mkdir()

    def make(self) -> None:
        """Clone, and put beside and into it what a reader is said to have."""
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(self.place)], check=True)  # noqa: S607
        if _shared().is_dir():
            (self.place.parent / "shared").symlink_to(_shared())
        for block in (block for page in pages() for block in blocks(page)):
            if re.fullmatch(r"[\w-]+\.yaml", block.name):
                (self.place / block.name).write_text(block.text + "\n", "utf-8")
        write_papers(self.place / "my.csv")

    def run(self, where: str, text: str) -> Iterator[Result]:
        """Run a command, before it those that make what it needs."""
        for name, maker in NEEDED.items():
            makes_it = text.startswith(maker) or name in _made(text)
            if name in text and not makes_it and not (self.place / name).exists():
                yield from self.run(f"before {where}", maker)
        text = shortened(text) if self.short else text
        started = time.monotonic()
        log = self.logs / f"{len(list(self.logs.iterdir())):03d}.log"
        status = self._shell(text, log)
        remark = "" if status == 0 else f"status {status}, {log}: {' / '.join(_end(log))}"
        yield Result("FAILED" if status else "ok", time.monotonic() - started, where, text, remark)

    def _shell(self, text: str, log: Path) -> int | str:
        path = os.pathsep.join([str(self.place / ".venv" / "bin"), os.environ["PATH"]])
        inherited = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
        with log.open("w", encoding="utf-8") as file:
            try:
                done = subprocess.run(
                    ["bash", "-euc", text],  # noqa: S607
                    cwd=self.place,
                    env={**inherited, "PATH": path},
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    timeout=self.limit,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return f"none after {self.limit / 60:.0f} min"
        return done.returncode


def _made(text: str) -> str:
    """The part of a command that names what it makes."""
    return " ".join(re.findall(r"(?:-o|name=|my-slurm$)\S*\s?\S*", text))


def _end(log: Path) -> list[str]:
    return [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()][-3:]


def _shared() -> Path:
    return ROOT.parent / "shared"


def write_papers(path: Path, papers: int = 600) -> None:
    """A reader's file: some papers of the demo corpus under column names of its own."""
    with gzip.open(ROOT / "semcse" / "data" / "demo_corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for _, line in zip(range(papers), lines, strict=False)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Title", "Summary", "Topic"])
        writer.writerows([row["title"], row["abstract"], row["field"]] for row in rows)


def run_all(lines: Sequence[Line], clone: Clone, skip_long: bool, setup: str = SETUP) -> list[Result]:
    """Set up, then run every line; each result is printed as it comes."""
    results: list[Result] = []

    def note(result: Result) -> None:
        results.append(result)
        print(result, flush=True)  # noqa: T201

    for result in clone.run("first", setup):
        note(result)
    for line, text, known in plan(lines, skip_long, clone.short):
        for result in [known] if known else clone.run(line.where, text):
            note(result)
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; 1 when a command failed."""
    parser = argparse.ArgumentParser(description="run the commands that README and docs show, in a fresh clone")
    parser.add_argument("--only", nargs="+", default=[], metavar="PAGE", help="README.md, docs/faq.md ...")
    parser.add_argument("--skip-long", action="store_true", help=f"leave out what takes {LONG_FROM} minutes or more")
    parser.add_argument("--short", action="store_true", help="run long commands with less data or fewer steps")
    parser.add_argument("--list", action="store_true", help="say what would run; run nothing")
    parser.add_argument("--limit", type=float, default=300, metavar="MINUTES", help="of one command")
    parser.add_argument("--keep", type=Path, help="a new folder for clone and logs, which then stay")
    given = parser.parse_args(arguments)
    lines = chosen(given.only)
    if given.list:
        return _list(lines, given.skip_long, given.short)
    folder = given.keep or Path(tempfile.mkdtemp(prefix="semcse-commands-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        clone = Clone(folder, 60 * given.limit, given.short)
        clone.make()
        results = run_all(lines, clone, given.skip_long)
    finally:
        if given.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    counts = Counter(result.status for result in results)
    print(", ".join(f"{count} {status}" for status, count in counts.items()))  # noqa: T201
    return int("FAILED" in counts)


def _list(lines: Sequence[Line], skip_long: bool, short: bool) -> int:
    planned = list(plan(lines, skip_long, short))
    total = 0
    for line, text, known in planned:
        shown = shortened(text) if short else text
        long = minutes(text) if known is None and shown == text else 0
        total += long
        print(known or Result("runs", 60.0 * long, line.where, shown))  # noqa: T201
    print(f"{sum(known is None for *_, known in planned)} of {len(planned)} run; the long ones take about {total} min")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
