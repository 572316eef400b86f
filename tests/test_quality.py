"""Measures of summaries against values computed by hand or by a double loop."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from semcse.quality import (
    ALL,
    assess,
    examples,
    load_quality,
    outcome_counts,
    prompt_report,
    reject_report,
    similarities,
    summary_measures,
    unit_vectors,
    variety,
)
from semcse.readers import DataError

PAPERS = [
    {"corpus_id": 1, "title": "Cells", "abstract": "The cells grow fast. Mice sleep."},
    {"corpus_id": 2, "title": "Stars", "abstract": "Stars shine brightly at night."},
]
SUMMARIES = pd.DataFrame(
    [
        (1, "findings", 0, "the cells grow slowly", 5),
        (1, "concern", 0, "Cells grow fast", 4),
        (2, "findings", 0, "stars shine, stars shine", 6),
        (2, "concern", 0, "night", 1),
    ],
    columns=["corpus_id", "prompt", "draw", "text", "tokens"],
)
REJECTS = pd.DataFrame(
    {"prompt": ["concern", "concern", "findings"], "reject": ["empty", "cut_off", "empty"], "text": ["", "a", ""]}
)
MORE = pd.concat([SUMMARIES, SUMMARIES.head(1).assign(text="a third text of it", draw=1)], ignore_index=True)


def test_length_and_overlap_by_hand() -> None:
    measures = summary_measures(SUMMARIES, PAPERS)
    assert measures["words"].tolist() == [4, 3, 4, 1]
    assert measures["overlap"].tolist() == pytest.approx([2 / 3, 1.0, 2 / 3, 1.0])
    assert measures["precision_1"].tolist() == pytest.approx([3 / 4, 1.0, 1.0, 1.0])
    assert measures["precision_3"].tolist() == pytest.approx([1 / 2, 1.0, 0.0, np.nan], nan_ok=True)
    assert measures["precision_4"].tolist() == pytest.approx([0.0, np.nan, 0.0, np.nan], nan_ok=True)


def test_distinct_by_hand() -> None:
    """Paper 1: the-cells cells-grow grow-slowly, cells-grow grow-fast; paper 2: stars-shine shine-stars stars-shine."""
    found = variety(SUMMARIES).set_index("corpus_id")
    assert found["prompt"].tolist() == [ALL, ALL]
    assert found["distinct_2"].to_dict() == pytest.approx({1: 4 / 5, 2: 2 / 3})
    assert found["distinct_1"].to_dict() == pytest.approx({1: 5 / 7, 2: 3 / 5})
    assert np.isnan(variety(SUMMARIES.tail(1))["distinct_2"].iloc[0])


def test_variety_after_a_prompt_with_several_draws() -> None:
    found = variety(MORE).set_index(["corpus_id", "prompt"])
    assert found["texts"].to_dict() == {(1, ALL): 3, (1, "findings"): 2, (2, ALL): 2}
    assert found.loc[(1, "findings"), "distinct_2"] == 1.0


def encode(texts: list[str]) -> np.ndarray:
    return np.stack([np.random.default_rng(len(text)).normal(size=6) for text in texts])


def test_similarity_and_diversity_against_a_double_loop() -> None:
    def cosine(one: str, two: str) -> float:
        a, b = encode([one, two])
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))

    abstracts = {paper["corpus_id"]: paper["abstract"] for paper in PAPERS}
    vectors = unit_vectors(encode, MORE["text"].tolist())
    expected = [cosine(row["text"], abstracts[row["corpus_id"]]) for row in MORE.to_dict("records")]
    assert similarities(MORE, PAPERS, vectors, encode) == pytest.approx(expected)
    found = variety(MORE, vectors).set_index(["corpus_id", "prompt"])["diversity"]
    for corpus_id, rows in MORE.groupby("corpus_id"):
        pairs = [cosine(one, two) for one, two in combinations(rows["text"], 2)]
        assert found[corpus_id, ALL] == pytest.approx(1 - np.mean(pairs))
    assert found[1, "findings"] == pytest.approx(1 - cosine("the cells grow slowly", "a third text of it"))


def test_outcomes_are_counted() -> None:
    outcomes = outcome_counts(SUMMARIES, REJECTS)
    found = outcomes.set_index(["prompt", "outcome"])["texts"].to_dict()
    assert found == {
        ("findings", "accepted"): 2, ("findings", "cut_off"): 0, ("findings", "empty"): 1,
        ("concern", "accepted"): 2, ("concern", "cut_off"): 1, ("concern", "empty"): 1,
    }  # fmt: skip
    assert reject_report(outcomes).to_dict() == {
        "cut_off": {"concern": 1, "findings": 0},
        "empty": {"concern": 1, "findings": 1},
    }
    assert reject_report(outcome_counts(SUMMARIES, REJECTS.head(0))).empty


def test_report_by_prompt() -> None:
    report = prompt_report(assess(SUMMARIES, REJECTS, PAPERS))
    assert report.index.tolist() == ["findings", "concern"]
    assert report.columns.tolist() == ["summaries", "rejected", "words", "tokens", "overlap"]
    assert report["summaries"].tolist() == [2, 2]
    assert report["rejected"].tolist() == pytest.approx([1 / 3, 1 / 2])
    assert report["words"].tolist() == [4.0, 2.0]
    several = prompt_report(assess(MORE, REJECTS.head(0), PAPERS, encode))
    assert several["rejected"].tolist() == [0.0, 0.0]
    assert several["distinct_2"].tolist() == pytest.approx([1.0, np.nan], nan_ok=True)
    assert several[["similarity", "diversity"]].notna().loc["findings"].all()


def test_sample_of_papers(tmp_path: Path) -> None:
    quality = assess(SUMMARIES, REJECTS, PAPERS, encode, count=1, seed=3)
    chosen = quality.summaries["corpus_id"].unique()
    assert len(chosen) == 1
    assert set(quality.summaries["title"]) == {{1: "Cells", 2: "Stars"}[int(chosen[0])]}
    assert quality.outcomes["texts"].sum() == len(SUMMARIES) + len(REJECTS)
    drawn = {int(assess(SUMMARIES, REJECTS, PAPERS, count=1, seed=s).summaries["corpus_id"].iloc[0]) for s in range(9)}
    assert drawn == {1, 2}
    whole = assess(SUMMARIES, REJECTS, PAPERS, encode).summaries.set_index(["corpus_id", "prompt"])
    one = quality.summaries.set_index(["corpus_id", "prompt"])
    pd.testing.assert_frame_equal(one, whole.loc[one.index])
    with pytest.raises(DataError, match="Run notebook 02"):
        load_quality(tmp_path)
    quality.save(tmp_path)
    for name in ("summaries", "variety", "outcomes"):
        pd.testing.assert_frame_equal(getattr(load_quality(tmp_path), name), getattr(quality, name))


def test_examples_are_near_in_meaning_and_far_in_words() -> None:
    frame = SUMMARIES.assign(overlap=[0.9, 0.1, 0.5, 0.2], similarity=[0.9, 0.8, 0.9, 0.1])
    assert examples(frame, 1)["worth"].tolist() == pytest.approx([0.72, 0.08])
    assert examples(frame.drop(columns="similarity"), 1)["worth"].tolist() == pytest.approx([0.9, 0.1])
    assert len(examples(frame, 5)) == 4
