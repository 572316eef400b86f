"""SciRepEval as part of a study: all 22 tasks from a local copy, results, tables, the command, and notebook 05."""

import json
import zlib

import nbformat
import numpy as np
import pandas as pd
import pytest
from tiny import tiny_bert
from tiny_scirepeval import write_sets
from typer.testing import CliRunner

from semcse import published
from semcse.cli import app
from semcse.models import Embedder
from semcse.params import SciRepEval, load
from semcse.run import Engine, execute_study
from semcse.scirepeval import study
from semcse.scirepeval.aggregate import aggregate, paper_table, task_scores
from semcse.scirepeval.official import write_official
from semcse.scirepeval.results import keep_settings, result_path, scirepeval_outcomes, scirepeval_results
from semcse.scirepeval.s2and import DATASETS
from semcse.scirepeval.tasks import named_tasks
from semcse.views import scirepeval as views


class Words:
    """An encoder whose vectors are sums of random vectors of the words, and a little of the whole text."""

    separator, fingerprint = "[SEP]", "words"

    def __init__(self):
        self.calls = 0

    def encode(self, texts):
        self.calls += len(texts)
        return np.array([self.word(text) + sum(map(self.word, text.split())) for text in texts])

    def word(self, word):
        return np.random.default_rng(zlib.crc32(word.encode())).standard_normal(256)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_sets(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def scored(data, tmp_path_factory):
    """A folder with the results of one model in both modes; all tasks officially, two in the mode `modern`."""
    folder = tmp_path_factory.mktemp("scored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "named_tasks", with_fewer_draws)
        with pytest.warns(UserWarning, match="1 of 220 documents have no text"):
            score(folder, data)
    score(folder, data, mode="modern", tasks=["Search", "Max hIndex"])
    return folder


def with_fewer_draws(wanted):
    """The table's tasks, with two iterations in each few-shot setting."""
    shorter = [[{**entry, "iterations": 2} for entry in task.get("few_shot", ())] for task in named_tasks(wanted)]
    tasks = zip(named_tasks(wanted), shorter, strict=True)
    return [{**task, "few_shot": few} if few else task for task, few in tasks]


def score(folder, data, encoder=None, label="ours", **settings):
    model = Embedder(label, encoder or Words(), "cosine")
    return study.score_model(folder, label, [model], SciRepEval(data=str(data), **settings))


def grid(path, values):
    path.write_text("\n".join([",".join(["", *DATASETS]), ",".join(["union", *map(str, values)])]))
    return str(path)


def test_all_22_tasks_from_a_local_copy(scored):
    result = json.loads((scored / "results" / "scirepeval" / "ours.json").read_text())
    assert len(result) == 22
    assert [len(result["Fields of study"]["few_shot"]), set(result["Search"])] == [2, {"ndcg"}]
    assert set(result["Paper-Reviewer Matching"]) == {"hard_P_5", "hard_P_10", "soft_P_5", "soft_P_10"}
    assert result["MeSH"]["f1_macro"] > 60
    assert result["Publication Year"]["kendalltau"] > 50


def test_what_was_met_is_counted(scored):
    frame = scirepeval_outcomes(scored, SciRepEval()).set_index(["mode", "task"])
    assert len(frame) == 24
    assert set(frame["outcome"]) == {"scored"}
    assert frame.loc[("official", "MeSH"), ["papers", "without text", "without embedding"]].tolist() == [220, 1, 0]
    shown = views.outcomes(scored).markdown()
    assert "| ours | official | MeSH | 220 | 1 | 0 |" in shown


def test_scored_again_nothing_is_encoded_and_other_weights_start_anew(scored, data, tmp_path):
    idle = Words()
    before = json.loads((scored / "results" / "scirepeval" / "ours.json").read_text())
    assert score(scored, data, idle, tasks=["Search"]) == before
    assert idle.calls == 0
    score(tmp_path, data, tasks=["Search", "RELISH"])
    changed = Words()
    changed.fingerprint = "trained longer"
    assert set(score(tmp_path, data, changed, tasks=["Search"])) == {"Search"}
    assert changed.calls > 0
    assert scirepeval_outcomes(tmp_path, SciRepEval())["task"].tolist() == ["Search"]


def test_averages_with_and_without_s2and(scored, tmp_path):
    settings = SciRepEval(s2and={"ours": grid(tmp_path / "grid.csv", [0.9, 0.95, 0.91, 0.97, 0.93, 0.94])})
    without = views.scirepeval_table_without_s2and(scored).frame.loc["ours"]
    assert "ours lacks 1 of 23 tasks" in views.scirepeval_table(scored).markdown()
    with_it = aggregate(scirepeval_results(scored, settings)).loc["ours"]
    assert with_it["classification"] == without["classification"]
    assert with_it["proximity"] == pytest.approx((8 * without["proximity"] + 100 * 5.6 / 6) / 9, abs=0.001)
    assert with_it["average"] == pytest.approx((22 * without["average"] + 100 * 5.6 / 6) / 23, abs=0.001)
    with pytest.raises(ValueError, match="s2and names"):
        scirepeval_results(scored, SciRepEval(s2and={"nobody": settings.s2and["ours"]}))


def test_the_two_modes_never_share_a_table(scored, tmp_path):
    official = scirepeval_results(scored, SciRepEval())
    modern = scirepeval_results(scored, SciRepEval(), "modern")
    assert set(official["mode"]) == {"official"}
    assert set(official["model"]) == {*published.individual()["model"], "ours"}
    assert (set(modern["mode"]), set(modern["model"]), len(modern)) == ({"modern"}, {"ours"}, 2)
    mixed = [official[official["model"] == "SemCSE"], modern]
    for make in (aggregate, task_scores, lambda rows: paper_table(rows, 7), views._type_averages):
        with pytest.raises(ValueError, match="cannot share a table"):
            make(pd.concat(mixed))
    stray = result_path(tmp_path, "ours", "official")
    stray.parent.mkdir(parents=True)
    stray.write_bytes(result_path(scored, "ours", "modern").read_bytes())
    with pytest.raises(ValueError, match=r"holds results of the mode 'modern', expected 'official'"):
        scirepeval_results(tmp_path, SciRepEval())
    with pytest.raises(ValueError, match="holds results of the mode 'modern'"):
        scirepeval_results(scored, SciRepEval(official={"theirs": str(stray)}))


def test_the_table_of_the_modern_mode_says_what_it_is(scored, tmp_path):
    table = views.modern_table(scored)
    assert table.frame.index.tolist() == ["Max hIndex", "Search"]
    assert "mode modern" in table.markdown()
    assert "Not comparable" in table.latex()
    assert views.modern_table(tmp_path) is None
    assert views.outcomes(tmp_path) is None


def test_tables_4_to_7_in_three_formats(scored):
    for number, make in enumerate((views.table_4, views.table_5, views.table_6, views.table_7), start=4):
        table = make(scored)
        assert table.frame.index[-1] == "ours"
        assert table.frame.drop(index="ours").size == paper_table(published.individual(), number).size
        for suffix in ("md", "tex", "csv"):
            assert (scored / "tables" / f"scirepeval_table{number}.{suffix}").stat().st_size > 300
    assert views.table_4(scored).frame.loc["SemCSE", "Biomimicry F1 (fs-64)"] == 42.58
    assert "official protocol" in views.table_6(scored).markdown()


def test_our_model_of_the_paper_s_name_has_a_name_of_its_own(tmp_path):
    write_official(published.individual(), result_path(tmp_path, "SemCSE", "official"), model="SemCSE")
    rows = scirepeval_results(tmp_path, SciRepEval())
    assert aggregate(rows).loc["SemCSE (ours)"].equals(aggregate(rows).loc["SemCSE"])
    again = SciRepEval(official={"SemCSE": str(result_path(tmp_path, "SemCSE", "official"))})
    with pytest.raises(ValueError, match="results of 'SemCSE' already"):
        scirepeval_results(tmp_path, again)


def test_imported_failures_are_shown_and_not_averaged(tmp_path):
    rows = published.individual()
    path = write_official(rows[rows["model"] == "SPECTER"], tmp_path / "theirs.json")
    result = json.loads(path.read_text()) | {"Search": {"error": "no space left"}}
    path.write_text(json.dumps(result))
    keep_settings(tmp_path, SciRepEval(official={"theirs": str(path)}, compare=("theirs", "SPECTER")))
    assert "theirs lacks 1 of 23 tasks" in views.scirepeval_table(tmp_path).markdown()
    assert "failed: no space left" in views.outcomes(tmp_path).markdown()
    assert views.table_7(tmp_path).frame.loc["theirs"].isna().sum() == 1
    assert views.task_differences(tmp_path) is not None


def test_per_task_differences_use_the_averages_that_both_have(scored):
    pair = scirepeval_results(scored, SciRepEval())
    pair = pair[pair["model"].isin(["ours", "SemCSE"])]
    means = views._type_averages(pair)
    assert means.loc["SemCSE", "average"] == pytest.approx(64.517, abs=6e-4)
    assert views._type_averages(pair[pair["task"] != "Search"]) is None
    assert views._type_averages(pair[pair["model"] == "SemCSE"]).loc["SemCSE", "average"] == pytest.approx(
        65.765, abs=6e-3
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_bert(tmp_path_factory.mktemp("model") / "tiny")


def test_the_command_scores_a_model(tiny, data, tmp_path):
    base = ["scirepeval", str(tiny), "--data", str(data), "--out", str(tmp_path)]
    done = CliRunner().invoke(app, [*base, "--tasks", "adhoc_search,RELISH"])
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "results" / "scirepeval" / "tiny.json").read_text())
    assert list(result) == ["RELISH", "NFCorpus", "TREC-CoVID", "Search"]
    more = CliRunner().invoke(app, [*base, "--tasks", "Same Author Detection", "--mode", "modern"])
    assert more.exit_code == 0, more.output
    assert json.loads(result_path(tmp_path, "tiny", "modern").read_text())["_mode"] == "modern"
    mean = CliRunner().invoke(app, [*base, "--tasks", "RELISH", "--mean-with", str(tiny)])
    assert mean.exit_code == 0, mean.output
    assert json.loads(result_path(tmp_path, "tiny + tiny", "official").read_text())["RELISH"] == result["RELISH"]


def test_the_command_says_what_failed(tiny, data, tmp_path):
    base = ["scirepeval", str(tiny), "--data", str(data), "--out", str(tmp_path / "out")]
    unknown = CliRunner().invoke(app, [*base, "--tasks", "Serch"])
    assert unknown.exit_code == 1
    assert "did you mean 'Search'" in unknown.output
    assert "'official' or 'modern'" in CliRunner().invoke(app, [*base, "--mode", "fast"]).output
    assert "neither a folder nor a model" in CliRunner().invoke(app, ["scirepeval", "no-such-model"]).output
    away = [*base[:3], str(tmp_path / "nothing"), *base[4:], "--tasks", "Search"]
    failed = CliRunner().invoke(app, away)
    assert failed.exit_code == 1
    assert "tiny, Search: FileNotFoundError: no files of split 'evaluation'" in failed.output
    assert CliRunner().invoke(app, [*away, "--go-on"]).exit_code == 0
    assert "failed: FileNotFoundError" in views.outcomes(tmp_path / "out").markdown()


def test_the_command_writes_what_s2and_reads(tiny, tmp_path):
    for name in DATASETS:
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}_papers.json").write_text(json.dumps({"7": {"paper_id": 7, "title": "paper"}}))
    done = CliRunner().invoke(app, ["scirepeval", str(tiny), "--s2and", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.glob("*/*.pkl")) == [f"{name}_tiny.pkl" for name in DATASETS]


def run_study(folder, tiny, data):
    values = {"folder": folder, "name": "s", "scirepeval.evaluate": f"[{tiny}]", "scirepeval.data": data}
    values |= {"scirepeval.tasks": "[Search, RELISH]"}
    return load("demo", [f"{key}={value}" for key, value in values.items()])


@pytest.mark.slow
def test_notebook_05_with_our_own_results(tiny, data, tmp_path):
    folder = tmp_path / "run"
    execute_study(run_study(folder, tiny, data), only=["05"], engine=Engine(cores=2))
    book = nbformat.read(folder / "notebooks" / "05_scirepeval_aggregation.ipynb", as_version=4)
    shown = "\n".join(str(out) for cell in book.cells if cell.cell_type == "code" for out in cell.outputs)
    assert "tiny lacks 21 of 23 tasks" in shown
    assert "SciRepEval tasks scored here" in shown
    assert json.loads((folder / "done" / "scirepeval.json").read_text())["models"][-1] == "tiny"
