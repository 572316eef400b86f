"""Reports: what they say about made-up runs with real little notebooks, and that nothing in them runs or is fetched."""

import base64
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import nbformat
import numpy as np
import pandas as pd
import pytest
from browser import headless_browser
from bs4 import BeautifulSoup, Tag
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from typer.testing import CliRunner

from semcse.cli import app
from semcse.executed import read_execution
from semcse.params import load, write
from semcse.readers import DataError
from semcse.report import write_report
from semcse.report.facts import cached_texts
from semcse.report.rendering import clean
from semcse.report.stages import Invocation, last_invocation
from semcse.tables import write_table

ATTACK = "<script>document.title = 'run'</script>"
IMAGE = "<img src=x onerror=\"document.title = 'run'\">"
LINK = "https://arxiv.org/abs/2507.13105"
VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
FACTS = {
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
    "commit": "0123456789ab",
    "hardware": {"machine": "x86_64", "cpu": "a CPU", "cores": 2, "gpus": []},
}


class Balanced(HTMLParser):
    """Notes end tags that close nothing, and elements that are never closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"</{tag}> at {self.getpos()} within {self.open[-3:]}")
        else:
            self.open.pop()


def parsed(path: Path) -> BeautifulSoup:
    text = path.read_text("utf-8")
    checker = Balanced()
    checker.feed(text)
    assert (checker.problems, checker.open) == ([], [])
    return BeautifulSoup(text, "html.parser")


def picture(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    matplotlib.image.imsave(path, np.random.default_rng(0).random((4, 4)))
    return path.read_bytes()


def executed(path: Path, day: str, seconds: float | None, outputs: tuple = (), source: str = "1 + 1") -> None:
    """An executed notebook as papermill leaves it, started at noon of that day of November 2026."""
    cells = [new_markdown_cell(f"# A title\n\nThe [paper]({LINK})."), new_code_cell(source, outputs=list(outputs))]
    end = None if seconds is None else f"2026-11-{day}T12:00:{int(seconds):02d}+00:00"
    noted = {"start_time": f"2026-11-{day}T12:00:00+00:00", "end_time": end, "duration": seconds}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata={"papermill": noted}), path)


def finish(run: Path, stage: str, **facts: object) -> None:
    (run / "done").mkdir(parents=True, exist_ok=True)
    (run / "done" / f"{stage}.json").write_text(json.dumps({"stage": stage, **FACTS, **facts}))


def shown(**data: str) -> nbformat.NotebookNode:
    return new_output("display_data", {kind.replace("_", "/"): text for kind, text in data.items()})


def failed(message: str) -> nbformat.NotebookNode:
    return new_output("error", ename="ValueError", evalue=message, traceback=["\x1b[31mline 3\x1b[0m", message])


def study(run: Path, *overrides: str) -> None:
    write(load("demo", [f"folder={run}", "variants={}", "training.name=small", *overrides]), run / "params.yaml")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Sampling found done, summaries done in the last invocation, training failed, the rest not run."""
    run = tmp_path / "mine"
    study(run)
    frame = pd.DataFrame({"title": [ATTACK, IMAGE]})
    png = base64.b64encode(picture(tmp_path / "inside.png")).decode()
    outputs = (
        shown(text_html=frame.style.to_html(), text_plain="a Styler"),
        shown(text_html=frame._repr_html_(), text_plain="a frame"),
        shown(text_html=f"<iframe src='{LINK}'></iframe><a href='javascript:alert(1)'>x</a><p onclick='x()'>y</p>"),
        shown(text_html=ATTACK + " " * 300_000, text_plain="a large library"),
        shown(image_png=png, text_plain="Figure"),
        new_output("display_data", {"application/javascript": "document.title = 'run'", "text/plain": "a script"}),
        new_output("stream", name="stdout", text=ATTACK),
    )
    executed(run / "notebooks" / "01_data_sampling.ipynb", "19", 12.34, outputs, "views.paper_counts(run)")
    executed(run / "notebooks" / "02_summary_generation.ipynb", "21", 45.5)
    executed(run / "notebooks" / "03_training-small.ipynb", "21", 7.25, (failed(f"too few {ATTACK}"),))
    finish(run, "sampling", training=500, benchmark=240)
    finish(run, "summaries", commit="ba9876543210")
    picture(run / "figures" / "paper_counts.png")
    table = pd.DataFrame({"score": [1.5, 2.5]}, index=pd.Index([ATTACK, "a|b_c"], name="model"))
    write_table(table, run / "tables", "benchmark", better={"score": "lower"}, caption="Scores *here*")
    write_table(table, run / "tables", "scirepeval", better={"score": "higher"})
    (run / "tables" / "plain.csv").write_text(f'model,score\n"{ATTACK}",3.25\n')
    (run / "last.json").write_text('{"started": "2026-11-20T00:00:00Z", "finished": "2026-11-21T13:00:00+00:00"}')
    return run


def cells(page: BeautifulSoup, place: str) -> list[str]:
    """Texts of a row's cells."""
    row = page.find(id=place)
    assert isinstance(row, Tag)
    return [" ".join(cell.get_text().split()) for cell in row.find_all("td")]


def assert_offline(page: BeautifulSoup, links: set[str]) -> None:
    """Pictures are inside, styles fetch nothing, nothing can run; `links` are all that lead to the web."""
    assert {tag.name for tag in page.find_all()} & {"script", "link", "iframe", "object", "embed", "base"} == set()
    for tag in page.find_all():
        assert not [name for name in tag.attrs if name.startswith("on")], tag
        for name in ("src", "srcset", "poster", "data", "action", "background", "xlink:href"):
            assert tag.get(name, "data:image/png;base64,").startswith("data:image/png;base64,"), tag
    assert {a["href"] for a in page.find_all("a") if ":" in a.get("href", "")} == links
    assert not re.search(r"url\(|@import|expression", "".join(tag.get_text() for tag in page.find_all("style")))
    assert not [tag for tag in page.find_all(style=True) if not re.fullmatch(r"(text-align: ?\w+;?)?", tag["style"])]


def test_what_became_of_each_stage(run: Path) -> None:
    page = parsed(write_report(run))
    found = {
        stage: cells(page, f"stage-{stage}") for stage in ("sampling", "summaries", "training-small", "benchmarks")
    }
    assert found == {
        "sampling": ["01 data sampling", "done", "found done", "2026-11-19 12:00:00", "12.3 s", ""],
        "summaries": ["02 summary generation", "done", "executed", "2026-11-21 12:00:00", "45.5 s", ""],
        "training-small": ["03 training small", "failed", "executed", "2026-11-21 12:00:00", "7.2 s", ""],
        "benchmarks": ["04 benchmarks", "not run", "–", "–", "–", ""],
    }
    bars = [float(bar["width"]) for bar in page.select("#stages rect")]
    assert bars == pytest.approx([100 * s / 45.5 for s in (12.34, 45.5, 7.25)], abs=0.06)
    assert "2 of 7 stages done" in page.header.get_text()
    assert f"failed: ValueError: too few {ATTACK}" in " ".join(page.find(role="alert").get_text().split())
    (run / "last.json").unlink()
    page = parsed(write_report(run))
    assert cells(page, "stage-sampling")[2] == cells(page, "stage-training-small")[2] == "unknown"
    assert "is unknown" in page.find(id="stages").get_text()


def test_nothing_runs_and_nothing_is_fetched(run: Path) -> None:
    page = parsed(write_report(run))
    assert_offline(page, {LINK})
    inside = page.find(id="notebook-sampling").get_text()
    # Styler's, the frame's, stdout; the large output is its plain text.
    assert inside.count(ATTACK) == 3
    assert inside.count(IMAGE) == 1
    assert inside.count("[picture outside this file]") == 1
    assert "a large library" in inside
    assert "a script" in inside
    assert page.find(id="table-benchmark").td.get_text() == ATTACK
    assert page.find(id="table-plain").td.get_text() == ATTACK
    policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'; img-src data:;")


@pytest.mark.parametrize(
    "html",
    [
        "<svg onload=alert(1)><style><img src=x onerror=alert(1)></style></svg>",
        '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">',
        '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
        '<a href="data:text/html,<script>alert(1)</script>">d</a><a href=" java\nscript:alert(1)">j</a>',
        "<table title='<table onmouseover=alert(1) x=\"'><tr><td>t</td></tr></table><h1 id=stages>h</h1>",
        "<base href=https://a.org><link rel=stylesheet href=https://a.org/a.css><form action=https://a.org>",
        "<meta http-equiv=refresh content='0;url=https://a.org'><img srcset='https://a.org/a.png 1x'>",
        '<p style="background:url(https://a.org/a.png);position:fixed">s</p><sty<style>le>@import "a"</style>',
        "</div></details></main><iframe srcdoc='<script>alert(1)</script>'></iframe><template><script>1</script>",
    ],
)
def test_the_whitelist_holds_against_known_tricks(html: str) -> None:
    page = BeautifulSoup(f"<main>{clean(html)}<footer></footer></main>", "html.parser")
    assert_offline(page, set())
    assert page.main.find("footer", recursive=False)
    assert not page.find_all(["svg", "math", "form", "meta", "style", "template"])
    assert not page.find_all(id=True)


def test_tables_and_figures_as_they_were_written(run: Path) -> None:
    page = parsed(write_report(run))
    table = page.find(id="table-benchmark")
    assert table.h3.get_text() == "Scores *here*"
    assert [td.get_text() for td in table.find_all("td")] == [ATTACK, "1.50", "a|b_c", "2.50"]
    assert (table.strong.get_text(), table.u.get_text()) == ("1.50", "2.50")
    assert [a["href"] for a in table.find_all("a")] == [f"tables/benchmark.{kind}" for kind in ("csv", "tex", "md")]
    assert [td.get_text() for td in page.find(id="table-plain").find_all("td")] == [ATTACK, "3.25"]
    assert page.find(id="scirepeval").find(id="table-scirepeval")
    image = page.find(id="figure-paper_counts").img
    path = run / "figures" / "paper_counts.png"
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == path.read_bytes()
    assert image["alt"] == "Paper counts: Papers per source and field."
    assert page.find(id="notebook-sampling").img["alt"] == "Papers per source and field."


def test_parameters_and_environment(run: Path) -> None:
    page = parsed(write_report(run))
    rows = {
        row.td.get_text(): [td.get_text() for td in row.find_all("td")] for row in page.select("#parameters tr.differs")
    }
    assert rows["sampling.source"][:3] == ["sampling.source", "demo", "scirepeval"]
    assert rows["sampling.benchmark"][1:] == ["240", "6000", "papers of the semantic benchmark; 5.2"]
    assert "training.margin" not in rows
    assert "folder" not in rows
    everything = {row.td.get_text() for row in page.select("#parameters details tbody tr")}
    assert {"training.margin", "name", "folder", "seed"} <= everything
    environment = page.find(id="environment").get_text()
    assert "Stages differ in commit." in environment
    assert "0123456789ab sampling" in environment
    assert "ba9876543210 summaries" in environment


def test_links_count_from_where_the_report_lies(run: Path, tmp_path: Path) -> None:
    path = write_report(run, tmp_path / "else where" / "a.html")
    found = [a["href"] for a in parsed(path).find_all("a", href=True) if not a["href"].startswith(("#", "http"))]
    assert "../mine/tables/benchmark.csv" in found
    assert all((path.parent / link).exists() for link in found)


def test_what_is_missing_or_damaged_is_said(tmp_path: Path) -> None:
    run = tmp_path / "broken"
    (run / "done").mkdir(parents=True)
    page = parsed(write_report(run))
    assert "No notebook has been executed yet." in page.get_text()
    assert "the parameters are unknown" in page.get_text()
    study(run)
    notebooks = run / "notebooks"
    notebooks.mkdir()
    (notebooks / "01_data_sampling.ipynb").write_text("{")
    (notebooks / "04_benchmarks.ipynb").write_text('{"cells": [3], "metadata": [], "nbformat": 4}')
    (run / "done" / "sampling.json").write_text("[")
    executed(notebooks / "02_summary_generation.ipynb", "20", None)
    page = parsed(write_report(run))
    alerts = [" ".join(alert.get_text().split()) for alert in page.find_all(role="alert")]
    assert alerts == ["04 benchmarks failed: the executed notebook is damaged: it cannot be read"]
    assert cells(page, "stage-summaries")[1:3] == ["unfinished", "unknown"]
    assert "This notebook cannot be shown" in page.find(id="notebook-sampling").get_text()
    (run / "params.yaml").write_text("a: [")
    assert "the parameters are unknown" in parsed(write_report(run)).get_text()


def test_no_run_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a run's or sweep's folder"):
        write_report(tmp_path)
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert (done.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert "Try runs/demo" in done.output


def test_a_stage_brought_to_its_end_by_hand_is_done(tmp_path: Path) -> None:
    run = tmp_path / "run"
    study(run)
    executed(run / "notebooks" / "01_data_sampling.ipynb", "19", 5.0, (failed("no"),))
    finish(run, "sampling")
    later = 1_800_000_000
    os.utime(run / "done" / "sampling.json", (later, later))
    finish(run, "summaries")
    page = parsed(write_report(run))
    assert cells(page, "stage-sampling")[1] == "done"
    assert cells(page, "stage-summaries")[1:3] == ["done", "no executed notebook"]


def test_times_without_a_zone_are_utc(tmp_path: Path) -> None:
    (tmp_path / "last.json").write_text('{"started": "2026-11-20T00:00:00"}')
    last = last_invocation(tmp_path)
    assert last is not None
    assert (last.started.isoformat(), last.finished) == ("2026-11-20T00:00:00+00:00", None)
    assert read_execution(tmp_path / "none.ipynb").failure is not None


def test_texts_encoded_and_kept(tmp_path: Path) -> None:
    assert cached_texts(tmp_path, None) is None
    for encoder, shard, rows, day in (("a", "1", 3, 19), ("a", "2", 4, 21), ("b", "1", 5, 21)):
        path = tmp_path / encoder / f"shard-{shard}.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, np.zeros((rows, 2), dtype=np.float32))
        when = pd.Timestamp(f"2026-11-{day}", tz="UTC").timestamp()
        os.utime(path, (when, when))
    (tmp_path / "b" / "shard-9.npy").write_bytes(b"cut off")
    last = Invocation(pd.Timestamp("2026-11-20", tz="UTC").to_pydatetime(), None)
    assert cached_texts(tmp_path, last) == (2, 12, 9)
    assert cached_texts(tmp_path, None) == (2, 12, None)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A finished reference that borrows from a lender, and a member that failed in training."""
    sweep = tmp_path / "mine-sweep"
    lender = sweep / "shared" / "full"
    study(lender)
    (lender / "params").mkdir()
    executed(lender / "notebooks" / "01_data_sampling.ipynb", "19", 10.5)
    executed(lender / "notebooks" / "02_summary_generation.ipynb", "19", 20.5)
    finish(lender, "sampling")
    finish(lender, "summaries")
    for name, papers in (("full", "null"), ("few", "0.25")):
        member = sweep / "members" / f"{name}-seed0"
        study(member, f"name={name}-seed0", f"training.papers={papers}")
        for place, stage in (("papers", "sampling"), ("summaries", "summaries")):
            (lender / place).mkdir(exist_ok=True)
            (member / place).symlink_to(os.path.relpath(lender / place, member))
            finish(member, stage)
    full, few = sweep / "members" / "full-seed0", sweep / "members" / "few-seed0"
    executed(full / "notebooks" / "03_training-small.ipynb", "19", 30.0)
    executed(full / "notebooks" / "04_benchmarks.ipynb", "21", 40.25, (shown(text_plain="only in the member"),))
    finish(full, "training-small")
    finish(full, "benchmarks")
    executed(few / "notebooks" / "03_training-small.ipynb", "21", 3.5, (failed(f"4 papers {ATTACK}"),))
    rows = [("full", full, True, None), ("few", few, False, "03_training-small: ValueError: 4 papers")]
    noted = [{"ablation": a, "seed": 0, "folder": f"members/{f.name}", "done": d, "problem": p} for a, f, d, p in rows]
    (sweep / "sweep.json").write_text(json.dumps({"members": noted}))
    executed(sweep / "notebooks" / "08_ablations.ipynb", "21", 9.0, (shown(text_plain="the comparison"),))
    finish(sweep, "ablations")
    picture(sweep / "figures" / "ablation_ranking.png")
    write_table(pd.DataFrame({"score": [1.0]}), sweep / "tables", "ablations", caption="Ablations")
    (sweep / "last.json").write_text('{"started": "2026-11-20T00:00:00Z", "finished": "2026-11-21T13:00:00Z"}')
    return sweep


def table_rows(page: BeautifulSoup, section: str) -> dict[str, list[str]]:
    rows = [[" ".join(td.get_text().split()) for td in tr.find_all("td")] for tr in page.select(f"#{section} tbody tr")]
    return {row[0]: row[1:] for row in rows}


def test_a_sweep_with_a_failed_member(sweep: Path) -> None:
    path = write_report(sweep)
    page = parsed(path)
    assert_offline(page, {LINK})
    assert "1 of 2 members done" in page.header.get_text()
    assert table_rows(page, "members") == {
        "full": ["0", "done", ""],
        "few": ["0", f"failed 03 training small: ValueError: 4 papers {ATTACK}", "training.papers: 0.25"],
    }
    assert table_rows(page, "time") == {
        "shared/full": ["10.5 s earlier", "20.5 s earlier", "", "", "31.0 s", ""],
        "full-seed0": ["from full", "from full", "30.0 s earlier", "40.2 s", "1 min 10 s", ""],
        "few-seed0": ["from full", "from full", "failed, 3.5 s", "not run", "3.5 s", ""],
    }
    assert "something of 2 of 3 runs (full-seed0, few-seed0)" in " ".join(page.find(id="time").get_text().split())
    errors = page.find(id="errors")
    assert errors.pre.get_text() == f"line 3\n4 papers {ATTACK}"
    assert "the comparison" in page.find(id="notebook-ablations").get_text()
    assert "only in the member" not in page.get_text()
    assert page.find(id="figure-ablation_ranking")
    assert page.find(id="table-ablations")
    links = [a["href"] for a in page.find_all("a", href=True) if not a["href"].startswith(("#", "http"))]
    assert {"shared/full/notebooks", "members/few-seed0/notebooks/03_training-small.ipynb"} <= set(links)
    assert all((sweep / link).exists() for link in links)


def test_a_sweep_that_has_not_ended(sweep: Path) -> None:
    (sweep / "sweep.json").unlink()
    page = parsed(write_report(sweep))
    assert "has not come to its end yet" in page.header.get_text()
    assert set(table_rows(page, "members")) == {"full", "few"}


def test_a_member_alone_knows_its_sweep(sweep: Path) -> None:
    page = parsed(write_report(sweep / "members" / "full-seed0"))
    assert cells(page, "stage-sampling")[:3] == ["01 data sampling", "borrowed from full", "–"]
    assert cells(page, "stage-training-small")[2] == "found done"
    assert cells(page, "stage-benchmarks")[2] == "executed"


@pytest.mark.slow
def test_in_a_browser(run: Path, sweep: Path, tmp_path: Path) -> None:
    with headless_browser(tmp_path / "profile") as page:
        for folder in (run, sweep):
            path = write_report(folder)
            for width in (400, 1300):
                page.goto(path.resolve().as_uri(), "!!document.title", width, 900)
                assert page.evaluate("document.title") == f"{folder.name} · SemCSE report"
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
                assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        page.evaluate("location.hash = '#notebook-ablations'")
        page.settle()
        assert page.evaluate("document.querySelector('#notebook-ablations').closest('details').open")
        assert page.problems() == []
        assert all(url.startswith(("file://", "data:", "about:")) for url in page.requests())
