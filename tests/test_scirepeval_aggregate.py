"""Tables 4-7 to Table 2, the wide views, and the original tool's result files."""

import json

import numpy as np
import pandas as pd
import pytest

from semcse import published
from semcse.scirepeval import aggregate
from semcse.scirepeval.aggregate import differences, paper_table, task_scores
from semcse.scirepeval.official import (
    failures,
    from_rows,
    read_official,
    to_rows,
    write_official,
    write_result,
)

# Proximity and average without S2AND, from the specification's section 6.
WITHOUT_S2AND = {
    "SciBERT": (62.902, 55.800),
    "SciDeBERTa": (59.069, 53.499),
    "SPECTER": (78.412, 62.964),
    "SciNCL": (79.503, 63.742),
    "SPECTER2 base": (79.615, 64.210),
    "SPECTER2 proximity": (79.989, 63.891),
    "jina-v2": (78.352, 62.308),
    "jina-v3": (78.218, 62.988),
    "RoBERTa SimCSE": (73.298, 60.682),
    "NvEmbed-V2": (79.660, 64.964),
    "SemCSE": (78.582, 64.517),
}


@pytest.fixture
def rows():
    return published.individual()


def test_table_2_in_all_55_cells(rows):
    ours = aggregate(rows)
    paper = published.table2().set_index("model").loc[ours.index, ours.columns]
    assert paper.size == 55
    assert np.abs(ours - paper).max(axis=None) <= 0.00501
    assert ours.index.name == "model"


def test_without_s2and(rows):
    ours = aggregate(rows, s2and=False)
    for model, (proximity, average) in WITHOUT_S2AND.items():
        assert ours.loc[model, "proximity"] == pytest.approx(proximity, abs=6e-4)
        assert ours.loc[model, "average"] == pytest.approx(average, abs=6e-4)
    pd.testing.assert_frame_equal(ours, aggregate(rows[rows.task != "S2AND"], s2and=False))


def test_row_order_does_not_matter(rows):
    shuffled = rows.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(aggregate(shuffled), aggregate(rows), check_exact=True)


def test_only_the_needed_columns(rows):
    slim = rows[["model", "task", "metric", "value"]]
    pd.testing.assert_frame_equal(aggregate(slim), aggregate(rows))


def test_missing_cells_are_all_listed(rows):
    gone = rows[
        ((rows.model == "SemCSE") & (rows.metric == "f1 (fs-16)"))
        | ((rows.model == "jina-v3") & (rows.task == "Search"))
    ]
    with pytest.raises(ValueError, match="2 missing cells") as error:
        aggregate(rows.drop(gone.index))
    assert "SemCSE: Biomimicry f1 (fs-16)" in str(error.value)
    assert "jina-v3: Search ndcg" in str(error.value)


def test_nan_counts_as_missing(rows):
    rows.loc[5, "value"] = np.nan
    with pytest.raises(ValueError, match="1 missing cells: SciBERT: DRSM f1_macro"):
        aggregate(rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: pd.concat([r, r.iloc[[7]]]), "1 doubled cells: SciBERT: Fields of study"),
        (lambda r: r.assign(task=r.task.replace("Search", "Serach")), "unknown cells: Serach ndcg"),
        (lambda r: r.drop(columns="metric"), "missing columns: metric"),
        (lambda r: r.assign(value=np.inf), "infinite values"),
        (lambda r: r.iloc[:0], "no rows"),
        (
            lambda r: r.assign(mode=np.where(r.model == "SemCSE", "modern", "official")),
            "cannot share a table",
        ),
    ],
)
def test_bad_input_is_refused(rows, change, message):
    with pytest.raises(ValueError, match=message):
        aggregate(change(rows))


def test_a_hand_computed_task_score(rows):
    scores = task_scores(rows)
    assert scores.loc["SciBERT", "Biomimicry"] == pytest.approx((73.37 + (37.27 + 16.00) / 2) / 2)
    assert scores.loc["SemCSE", "SciDocs Cite"] == pytest.approx((87.24 + 94.39) / 2)


def test_other_models_come_behind_the_papers(rows):
    own = rows[rows.model == "SciBERT"].assign(model="A new one")
    index = aggregate(pd.concat([own, rows])).index
    assert index[0] == "SciBERT"
    assert index[-1] == "A new one"


def test_wide_views_hold_every_cell(rows):
    shapes = {number: paper_table(rows, number).shape for number in (4, 5, 6, 7)}
    assert shapes == {4: (11, 12), 5: (11, 5), 6: (11, 16), 7: (11, 3)}
    table = paper_table(rows, 6, names=["SemCSE", "SPECTER"])
    assert list(table.index) == ["SemCSE", "SPECTER"]
    assert table.loc["SemCSE", ("Paper-Reviewer Matching", "P@10 h")] == 25.42
    assert paper_table(rows, 4).loc["SemCSE", ("Biomimicry", "F1 (fs-64)")] == 42.58
    with pytest.raises(ValueError, match="tables"):
        paper_table(rows, 3)


def test_wide_views_show_partial_results_as_gaps(rows):
    partial = rows[(rows.model == "SemCSE") & (rows.task == "Search")].assign(model="ours")
    table = paper_table(pd.concat([rows, partial]), 7)
    assert table.loc["ours"].isna().sum() == 2


def test_differences_by_task(rows):
    gain = differences(rows, "SemCSE", "SciBERT").set_index("task")
    assert len(gain) == 23
    assert gain.loc["Search", "difference"] == pytest.approx(73.32 - 71.49)
    total = aggregate(rows)["average"]
    assert gain["difference"].mean() == pytest.approx(total["SemCSE"] - total["SciBERT"])
    fewer = rows[~((rows.model == "SemCSE") & (rows.metric == "f1 (fs-64)"))]
    assert "Biomimicry" not in set(differences(fewer, "SemCSE", "SciBERT")["task"])
    with pytest.raises(ValueError, match="models without results: nobody"):
        differences(rows, "nobody", "SciBERT")


def test_official_file_round_trip(rows, tmp_path):
    own = rows[rows.model == "SemCSE"]
    path = write_official(rows, tmp_path / "result.json", model="SemCSE")
    result = json.loads(path.read_text())
    assert result["Biomimicry"]["few_shot"][0] == {"sample_size": 64, "results": {"f1": 42.58}}
    assert result["Max hIndex"] == {"kendalltau": 17.14}
    back = read_official(path, "SemCSE")
    key = ["task", "metric"]
    pd.testing.assert_frame_equal(
        back.drop(columns="mode").sort_values(key, ignore_index=True), own.sort_values(key, ignore_index=True)
    )
    pd.testing.assert_frame_equal(aggregate(back), aggregate(own))


def test_official_failures_are_not_lost(tmp_path):
    result = {"Search": {"ndcg": 70.0}, "NFCorpus": {"error": "no test set"}}
    path = write_result(result, tmp_path / "result.json")
    assert failures(result) == {"NFCorpus": "no test set"}
    with pytest.raises(ValueError, match=r"result\.json: 1 failed tasks: NFCorpus: no test set"):
        read_official(path, "m")
    assert read_official(path, "m", failed="skip")["task"].tolist() == ["Search"]


@pytest.mark.parametrize("entry", [{"ndcg": "70"}, {"ndcg": float("nan")}, {"ndcg": None}, {}, 3, {"ndcg": True}])
def test_official_values_must_be_numbers(entry):
    with pytest.raises(ValueError, match="Search"):
        to_rows({"Search": entry}, "m")


def test_modern_results_keep_their_label():
    result = {"_mode": "modern", "Search": {"ndcg": 70.0}}
    frame = to_rows(result, "m")
    assert frame["mode"].tolist() == ["modern"]
    assert from_rows(frame) == result


def test_not_a_result_file(tmp_path):
    (tmp_path / "x.json").write_text("Search: 70")
    with pytest.raises(ValueError, match="not a JSON result file"):
        read_official(tmp_path / "x.json", "m")
