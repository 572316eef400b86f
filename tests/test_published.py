"""The paper's tables as shipped: shapes, some printed cells, agreement with the specification."""

import pandas as pd
import pytest

from semcse import published


def test_shapes_and_columns():
    assert published.table1().shape == (12, 7)
    assert published.table2().shape == (12, 7)
    assert list(published.table2().columns)[2:] == [
        "classification",
        "regression",
        "proximity",
        "search",
        "average",
    ]
    assert list(published.table3().columns)[:2] == ["variant", "dataset_size"]
    assert list(published.individual().columns) == ["table", "type", "task", "metric", "model", "value"]
    assert len(published.individual()) == 11 * 36


def test_printed_cells():
    table1 = published.table1().set_index("model")
    assert table1.loc["SemCSE", "title_abstract"] == 2.47
    assert published.table2().set_index("model").loc["SciBERT", "average"] == 57.42
    rows = published.individual()
    cell = rows[(rows.model == "SemCSE") & (rows.task == "S2AND")]
    assert cell["value"].tolist() == [93.23]


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("paper_table1", published.table1),
        ("paper_table2", published.table2),
        ("paper_table3", published.table3),
        ("paper_scirepeval_individual", published.individual),
    ],
)
def test_same_as_the_specification(shared, name, table):
    pd.testing.assert_frame_equal(table(), pd.read_csv(shared / "spec" / f"{name}.csv"))


def test_each_call_gives_its_own_frame():
    table = published.table1()
    table.loc[0, "model"] = "changed"
    assert published.table1().loc[0, "model"] == "SciBERT"
