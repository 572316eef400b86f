"""The commands that README and docs show, taken from their code.

    python tests/commands.py        # prints each with the page and line it stands on
    python tests/run_commands.py    # runs them

Commands are the lines of fenced blocks without a language or with one of a shell, of indented blocks, and code inside a
sentence that begins with a program of `PROGRAMS`. Blocks of other languages are not commands.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHELLS = ("", "bash", "sh", "console")
PROGRAMS = ("semcse", "make", "python", "pip", "conda", "pytest", "sbatch", "transformers", "torchrun", "cp", "git")
_FENCE = re.compile(r"^```([\w{}-]*)\s*$")
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_ASSIGNMENT = re.compile(r"^[A-Z_]+=")


@dataclass(frozen=True)
class Block:
    """A code block: its page, the line of its first line, its language ("" where none is given) and its text."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """The file that a block shows, where its first line is a comment with a file's name; else ""."""
        found = re.match(r"#\s*([\w./-]+\.\w+)\s*$", self.text.partition("\n")[0])
        return found[1] if found else ""


@dataclass(frozen=True)
class Command:
    """One command line, divided into words as a shell does."""

    page: Path
    line: int
    words: tuple[str, ...]

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}: {shlex.join(self.words)}"


def pages() -> list[Path]:
    """README and the pages of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced and the indented code blocks of a page."""
    lines = page.read_text("utf-8").splitlines()
    number = 0
    while number < len(lines):
        if found := _FENCE.match(lines[number]):
            end = next(i for i in range(number + 1, len(lines)) if lines[i].startswith("```"))
            yield Block(page, number + 2, found[1], "\n".join(lines[number + 1 : end]))
            number = end + 1
        elif lines[number].startswith("    ") and not (number and lines[number - 1].strip()):
            end = next((i for i in range(number, len(lines)) if not lines[i].startswith("    ")), len(lines))
            yield Block(page, number + 1, "", "\n".join(line[4:] for line in lines[number:end]))
            number = end
        else:
            number += 1


@dataclass(frozen=True)
class Line:
    """A line for a shell as it is shown, continued ones joined."""

    page: Path
    line: int
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def shell_lines() -> list[Line]:
    """Every line for a shell of every page, in order, those inside a page's sentences after its blocks."""
    found: list[Line] = []
    for page in pages():
        shown = list(blocks(page))
        for block in shown:
            if block.language in SHELLS:
                found += _lines(block)
        taken = {number for block in shown for number in range(block.line, block.line + block.text.count("\n") + 1)}
        for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
            if number not in taken:
                found += [Line(page, number, text) for text in _INLINE.findall(line) if _is_command(text)]
    return found


def commands() -> list[Command]:
    """Every command of every page."""
    return [Command(line.page, line.line, words) for line in shell_lines() for words in parts(line.text)]


def _lines(block: Block) -> Iterator[Line]:
    number, waiting = block.line, ""
    for offset, line in enumerate(block.text.splitlines()):
        if not waiting:
            number = block.line + offset
        if line.endswith("\\"):
            waiting += line[:-1]
            continue
        if any(parts(waiting + line)):
            yield Line(block.page, number, waiting + line)
        waiting = ""


def _is_command(text: str) -> bool:
    """Whether code inside a sentence begins with a program and gives it a word."""
    words = text.split()
    return len(words) > 1 and words[0] in PROGRAMS


def parts(line: str) -> Iterator[tuple[str, ...]]:
    """The words of the commands of a line, without comments and without variables set before them."""
    words = shlex.split(line, comments=True)
    start = 0
    for end in [*(i for i, word in enumerate(words) if word == "&&"), len(words)]:
        part = words[start:end]
        while part and _ASSIGNMENT.match(part[0]):
            part = part[1:]
        if part:
            yield tuple(part)
        start = end + 1


if __name__ == "__main__":
    for command in commands():
        print(command.where)  # noqa: T201
