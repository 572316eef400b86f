"""Measures of summaries against values computed by hand or by a double loop."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from semcse.quality import (
    distinct_ngrams,
    extremes,
    prompt_report,
    reject_report,
    semantic_measures,
    summary_measures,
    swap_summaries,
)

PAPERS = [
    {"corpus_id": 1, "abstract": "The cells grow fast. Mice sleep."},
    {"corpus_id": 2, "abstract": "Stars shine brightly at night."},
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


def test_length_and_overlap_by_hand() -> None:
    measures = summary_measures(SUMMARIES, PAPERS)
    assert measures["words"].tolist() == [4, 3, 4, 1]
    assert measures["overlap"].tolist() == pytest.approx([2 / 3, 1.0, 2 / 3, 1.0])


def test_distinct_by_hand() -> None:
    """Paper 1: the-cells cells-grow grow-slowly, cells-grow grow-fast; paper 2: stars-shine shine-stars stars-shine."""
    assert distinct_ngrams(SUMMARIES, 2).to_dict() == pytest.approx({1: 4 / 5, 2: 2 / 3})
    assert distinct_ngrams(SUMMARIES, 1).to_dict() == pytest.approx({1: 5 / 7, 2: 3 / 5})
    assert np.isnan(distinct_ngrams(SUMMARIES.tail(1), 2).iloc[0])


def encode(texts: list[str]) -> np.ndarray:
    return np.stack([np.random.default_rng(len(text)).normal(size=6) for text in texts])


def test_semantic_measures_against_a_double_loop() -> None:
    measures, diversity = semantic_measures(SUMMARIES, PAPERS, encode)

    def cosine(one: str, two: str) -> float:
        a, b = encode([one, two])
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))

    abstracts = {paper["corpus_id"]: paper["abstract"] for paper in PAPERS}
    for row in measures.to_dict("records"):
        assert row["similarity"] == pytest.approx(cosine(row["text"], abstracts[row["corpus_id"]]))
    more = pd.concat([SUMMARIES, SUMMARIES.head(1).assign(text="a third text of it", draw=1)], ignore_index=True)
    _, diversity = semantic_measures(more, PAPERS, encode)
    for corpus_id, texts in more.groupby("corpus_id")["text"]:
        pairs = [cosine(one, two) for one, two in combinations(texts, 2)]
        assert diversity[corpus_id] == pytest.approx(1 - np.mean(pairs))


def test_reports() -> None:
    rejects = pd.DataFrame(
        {"prompt": ["concern", "concern", "findings"], "reject": ["empty", "cut_off", "empty"], "text": ["", "a", ""]}
    )
    report = prompt_report(summary_measures(SUMMARIES, PAPERS), rejects)
    assert report.index.tolist() == ["findings", "concern"]
    assert report["summaries"].tolist() == [2, 2]
    assert report["rejected"].tolist() == pytest.approx([1 / 3, 1 / 2])
    assert report["words"].tolist() == [4.0, 2.0]
    assert reject_report(rejects).to_dict() == {
        "cut_off": {"concern": 1, "findings": 0},
        "empty": {"concern": 1, "findings": 1},
    }
    assert prompt_report(summary_measures(SUMMARIES, PAPERS), rejects.head(0))["rejected"].tolist() == [0.0, 0.0]


def test_extremes() -> None:
    measures = summary_measures(SUMMARIES, PAPERS)
    assert extremes(measures, "words", 1)["words"].tolist() == [1, 4]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_swapped_texts_belong_to_other_papers(share: float) -> None:
    rows = [(i, p, d, f"text {i} {p} {d}", 1) for i in range(20) for p in ("findings", "concern") for d in range(3)]
    summaries = pd.DataFrame(rows, columns=SUMMARIES.columns)
    result = swap_summaries(summaries, share, seed=4)
    changed = result["text"] != summaries["text"]
    assert result["swapped"].tolist() == changed.tolist()
    assert changed.sum() == share * len(summaries)
    owner = result["text"].str.split().str[1].astype(int)
    assert (owner[changed] != result["corpus_id"][changed]).all()
    assert (result["text"].str.split().str[2] == result["prompt"]).all()
    assert sorted(result["text"]) == sorted(summaries["text"])
    assert swap_summaries(summaries, share, seed=4).equals(result)


def test_swapping_what_cannot_be_swapped() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        swap_summaries(SUMMARIES, 1.2)
    with pytest.raises(ValueError, match="too few papers to swap"):
        swap_summaries(SUMMARIES.head(2), 1.0)
