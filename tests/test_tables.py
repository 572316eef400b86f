"""Tables: marks, rounding, missing values and escaping, against expectations written by hand."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from semcse.tables import Table, beside_paper, write_beside_paper, write_table


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {"rank": [2.471, 2.474, 3.0, np.nan], "clustering": [0.7, 0.739, 0.73, 0.1], "n": [10, 2000, 3, 4]},
        index=pd.Index(["a_b", "c|d", "e&f", "g"], name="model"),
    )


def cells(markdown: str) -> list[list[str]]:
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").replace("\\|", "¦").split("|")] for line in lines]


def test_markdown_by_hand() -> None:
    table = Table(frame(), better={"rank": "lower", "clustering": "higher"}, decimals={"clustering": 3})
    assert table.markdown() == (
        "| model | rank ↓ | clustering ↑ | n |\n"
        "| :-- | --: | --: | --: |\n"
        "| a\\_b | **2.47** | 0.700 | 10 |\n"
        "| c\\|d | **2.47** | **0.739** | 2,000 |\n"
        "| e&f | <u>3.00</u> | <u>0.730</u> | 3 |\n"
        "| g | – | 0.100 | 4 |\n"
        "\n"
        "– not available\n"
    )


def test_latex_by_hand() -> None:
    table = Table(frame(), better={"rank": "lower"}, decimals={"clustering": 3}, caption="50 % of #1")
    assert table.latex() == (
        "\\begin{table}\n\\centering\n\\caption{50 \\% of \\#1}\n"
        "\\begin{tabular}{lrrr}\n\\toprule\n"
        "model & rank $\\downarrow$ & clustering & n \\\\\n\\midrule\n"
        "a\\_b & \\textbf{2.47} & 0.700 & 10 \\\\\n"
        "c|d & \\textbf{2.47} & 0.739 & 2,000 \\\\\n"
        "e\\&f & \\underline{3.00} & 0.730 & 3 \\\\\n"
        "g & -- & 0.100 & 4 \\\\\n"
        "\\bottomrule\n\\end{tabular}\n\\par\\smallskip\\footnotesize -- not available\n\\end{table}\n"
    )


def test_csv_is_unrounded_and_missing_is_empty() -> None:
    again = pd.read_csv(io.StringIO(Table(frame()).csv()), index_col="model")
    pd.testing.assert_frame_equal(again, frame())
    assert "\ng,,0.1,4\n" in Table(frame()).csv()


def test_the_papers_table_1_is_marked_as_one_reads_it(root: Path) -> None:
    """First and second of each column, read off the printed table by eye."""
    paper = pd.read_csv(root / "semcse/published/paper_table1.csv", index_col="model")
    better = {"title_abstract": "lower", "abstract_segments": "lower", "query": "lower", "clustering": "higher"}
    rows = cells(Table(paper, better=better, decimals={"clustering": 3, "perf": 3}).markdown())  # type: ignore[arg-type]
    by_model = {row[0]: row for row in rows[2:]}
    assert by_model["SemCSE"][2:6] == ["**2.47**", "**2.68**", "1.23", "**0.739**"]
    assert by_model["jina-v3"][4] == "**1.01**"
    assert by_model["NvEmbed-V2"][3:5] == ["<u>3.84</u>", "<u>1.02</u>"]
    assert by_model["all-MiniLM-L6-v2"][2] == "<u>3.09</u>"
    assert sum(cell.startswith("**") for row in rows for cell in row) == 4


@pytest.mark.parametrize(
    ("values", "better", "expected"),
    [
        ([1.0, 2.0, 3.0], "lower", ["best", "second", ""]),
        ([1.0, 2.0, 3.0], "higher", ["", "second", "best"]),
        ([1.001, 1.002, 3.0], "lower", ["best", "best", "second"]),
        ([1.0, 2.001, 2.0], "lower", ["best", "second", "second"]),
        ([1.0, 1.0], "lower", ["best", "best"]),
        ([np.nan, 5.0, 4.0], "lower", ["", "second", "best"]),
        ([np.nan, np.nan], "lower", ["", ""]),
        ([-0.001, 0.0, 1.0], "lower", ["best", "best", "second"]),
    ],
)
def test_marks(values: list[float], better: str, expected: list[str]) -> None:
    text = cells(Table(pd.DataFrame({"x": values}), better={"x": better}).markdown())[2:]  # type: ignore[dict-item]
    kinds = {"**": "best", "<u": "second"}
    assert [kinds.get(row[1][:2], "") for row in text] == expected


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.126, "+0.13"), (-0.126, "−0.13"), (0.001, "0.00"), (-0.001, "0.00"), (1234.5, "+1,234.50"), (np.nan, "–")],
)
def test_signed_numbers(value: float, shown: str) -> None:
    assert cells(Table(pd.DataFrame({"x": [value]}), signed=["x"]).markdown())[2][1] == shown


def test_missing_values_are_dashes_with_a_footnote_and_never_zero() -> None:
    table = Table(pd.DataFrame({"x": [np.nan, 1.0], "licence": [None, "MIT"]}, index=["m", "n"]))
    assert cells(table.markdown())[2] == ["m", "–", "–"]
    assert table.markdown().endswith("– not available\n")
    assert "not available" not in Table(pd.DataFrame({"x": [1.0]})).markdown()


def test_intervals_stand_behind_their_value() -> None:
    data = pd.DataFrame({"rank": [2.5, 3.0], "low": [2.4, np.nan], "high": [2.61, np.nan]}, index=["m", "n"])
    table = Table(data, better={"rank": "lower"}, intervals={"rank": ("low", "high")})
    assert cells(table.markdown())[2] == ["m", "**2.50** \\[2.40, 2.61\\]"]
    assert cells(table.markdown())[3] == ["n", "<u>3.00</u>"]
    assert r"m & \textbf{2.50} {\scriptsize [2.40, 2.61]} \\" in table.latex()
    assert "low,high" in table.csv()


def test_every_special_character_is_escaped_in_latex() -> None:
    name = "\\&%$#_{}~^<>"
    line = Table(pd.DataFrame({"x": [1.0]}, index=[name])).latex().splitlines()[4]
    assert line == (
        r"\textbackslash{}\&\%\$\#\_\{\}\textasciitilde{}\textasciicircum{}\textless{}\textgreater{} & 1.00 \\"
    )


def test_a_script_in_a_name_is_inert_in_markdown() -> None:
    assert "\\<script\\>" in Table(pd.DataFrame({"x": [1.0]}, index=["<script>"])).markdown()


def test_ours_beside_the_paper() -> None:
    ours = pd.DataFrame({"query": [1.5, 2.0], "extra": [0, 0]}, index=pd.Index(["SemCSE", "new"], name="model"))
    paper = pd.DataFrame({"query": [1.23, 1.11]}, index=["SemCSE", "all-MiniLM"])
    table = beside_paper(ours, paper)
    assert list(table.columns) == ["query", "query (paper)", "query Δ"]
    assert list(table.index) == ["SemCSE", "new", "all-MiniLM"]
    np.testing.assert_allclose(table.to_numpy(), [[1.5, 1.23, 0.27], [2.0, np.nan, np.nan], [np.nan, 1.11, np.nan]])


def test_writing_ours_beside_the_paper(tmp_path: Path) -> None:
    ours = pd.DataFrame({"query": [1.5, 2.0]}, index=["SemCSE", "new"])
    paper = pd.DataFrame({"query": [1.23, 1.11]}, index=["SemCSE", "all-MiniLM"])
    write_beside_paper(ours, paper, tmp_path, "t", better={"query": "lower"}, decimals=3, labels={"query": "Query"})
    rows = cells((tmp_path / "t.md").read_text())
    assert rows[0] == ["", "Query ↓", "Query (paper) ↓", "Query Δ"]
    assert rows[2:] == [
        ["SemCSE", "**1.500**", "<u>1.230</u>", "+0.270"],
        ["new", "<u>2.000</u>", "–", "–"],
        ["all-MiniLM", "–", "**1.110**", "–"],
    ]


def test_three_files_are_written_and_the_table_shows_itself(tmp_path: Path) -> None:
    table = write_table(frame(), tmp_path / "tables", "one", caption="One", notes=["A note."])
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == ["one.csv", "one.md", "one.tex"]
    text = (tmp_path / "tables" / "one.md").read_text()
    assert text == table._repr_markdown_()
    assert text.startswith("**One**\n\n| model")
    assert text.endswith("\n\nA note.\n\n– not available\n")
    assert (tmp_path / "tables" / "one.tex").read_text() == table.latex()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"better": {"rnak": "lower"}}, r"\['rnak'\]"),
        ({"better": {"rank": "smaller"}}, "'lower' or 'higher'"),
        ({"signed": ["x"]}, r"\['x'\]"),
        ({"intervals": {"rank": ("low", "high")}}, r"\['high', 'low'\]"),
    ],
)
def test_wrong_options_are_errors_and_nothing_is_written(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        write_table(frame(), tmp_path, "t", **options)
    assert not list(tmp_path.iterdir())


def test_unusable_frames_are_errors() -> None:
    with pytest.raises(ValueError, match="no rows"):
        Table(frame().iloc[:0])
    with pytest.raises(ValueError, match="infinite"):
        Table(frame() * np.inf)
    with pytest.raises(ValueError, match="same name"):
        Table(pd.concat([frame(), frame()], axis=1))
    with pytest.raises(ValueError, match="appears twice"):
        beside_paper(pd.concat([frame(), frame()]), frame())
    with pytest.raises(ValueError, match=r"\['y'\] missing"):
        beside_paper(frame(), frame(), ["y"])
