"""Tables to be read, and where progress bars are drawn."""

import io
import re

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from tqdm import tqdm

from semcse.display import bar_options, reading_table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def left_aligned(page: BeautifulSoup) -> list:
    """The cells that the table's own style sheet puts to the left."""
    rules = re.findall(r"([^{}]+)\{([^{}]*)\}", page.style.string)
    return [cell for selectors, body in rules if "text-align: left" in body for cell in page.select(selectors)]


def test_texts_are_whole_escaped_and_to_the_left():
    text = "<b>ice</b> & snow " * 20
    frame = pd.DataFrame({"title": [text, None], "overlap": [0.123456, 2.0]}, index=[7, 7])
    page = BeautifulSoup(reading_table(frame).to_html(), "html.parser")
    cells = page.find_all("td")
    assert cells[0].get_text() == text
    assert [cell.get_text() for cell in cells[1::2]] == ["0.12", "2.00"]
    assert len(cells) == 4
    assert "7" not in [cell.get_text() for cell in page.find_all("th")]
    assert [cell.get_text() for cell in left_aligned(page)] == ["title", text, "–"]


@pytest.mark.parametrize(
    ("stream", "session", "shown", "drawn"),
    [
        (Terminal, None, True, True),
        (io.StringIO, None, True, False),
        (io.StringIO, "03_training.ipynb", True, True),
        (Terminal, None, False, False),
        (io.StringIO, "03_training.ipynb", False, False),
    ],
    ids=["terminal", "log", "open notebook", "second rank", "second rank of an open notebook"],
)
def test_bars_are_drawn_where_somebody_watches(monkeypatch, stream, session, shown, drawn):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    if session:
        monkeypatch.setenv("JPY_SESSION_NAME", session)
    out, errors = stream(), stream()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", errors)
    options = bar_options(shown)
    with tqdm(total=2, desc="training", **{"file": errors} | options) as bar:
        bar.update(2)
    assert ("training: 100%" in out.getvalue() + errors.getvalue()) is drawn
    assert not (session and errors.getvalue())
