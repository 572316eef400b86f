"""The pictures of notebook 02: drawn from what was measured, and left out where there is nothing to show."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from semcse.quality import assess
from semcse.views import summaries as views

NAMES = [name for name in dir(views) if name.startswith("summary_")]
PAPERS = [
    {"corpus_id": k, "title": f"Title {k}", "abstract": f"Cells of kind {k} grow fast. Mice sleep."} for k in range(4)
]
ROWS = [(k, p, d, f"{p} of kind {k} is {d} fast", 5) for k in range(4) for p in ("findings", "concern") for d in (0, 1)]
SUMMARIES = pd.DataFrame(ROWS, columns=["corpus_id", "prompt", "draw", "text", "tokens"])
REJECTS = pd.DataFrame({"prompt": ["findings"], "reject": ["empty"]})


def encode(texts: list[str]) -> np.ndarray:
    return np.stack([np.random.default_rng(list(text.encode())).normal(size=6) for text in texts])


@pytest.mark.parametrize(
    ("rejects", "encoder", "absent"),
    [
        (REJECTS, encode, set()),
        (REJECTS.head(0), encode, {"summary_rejects"}),
        (REJECTS, None, {"summary_similarity", "summary_copying"}),
    ],
    ids=["all", "nothing rejected", "no encoder"],
)
def test_what_can_be_shown_is(tmp_path: Path, rejects: pd.DataFrame, encoder, absent: set[str]) -> None:
    assess(SUMMARIES, rejects, PAPERS, encoder).save(tmp_path / "quality")
    drawn = {name for name in NAMES if getattr(views, name)(tmp_path) is not None}
    assert drawn == set(NAMES) - absent
    assert {path.stem for path in (tmp_path / "figures").glob("*.png")} == drawn


def test_run_that_was_not_measured(tmp_path: Path) -> None:
    assert len(NAMES) == 7
    assert all(getattr(views, name)(tmp_path) is None for name in NAMES)
