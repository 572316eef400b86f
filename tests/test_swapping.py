"""Summaries that change places belong to other papers afterwards."""

import pandas as pd
import pytest

from semcse.swapping import swap_summaries

COLUMNS = ["corpus_id", "prompt", "draw", "text", "tokens"]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_swapped_texts_belong_to_other_papers(share: float) -> None:
    rows = [(i, p, d, f"text {i} {p} {d}", 1) for i in range(20) for p in ("findings", "concern") for d in range(3)]
    summaries = pd.DataFrame(rows, columns=COLUMNS)
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
    two = pd.DataFrame([(1, "findings", 0, "a", 1), (1, "concern", 0, "b", 1)], columns=COLUMNS)
    with pytest.raises(ValueError, match="between 0 and 1"):
        swap_summaries(two, 1.2)
    with pytest.raises(ValueError, match="too few papers to swap"):
        swap_summaries(two, 1.0)
