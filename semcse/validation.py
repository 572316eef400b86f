"""The two matching scores by which a checkpoint is chosen (A.3)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from semcse.encoder import Encoder
from semcse.matching import match_ranks
from semcse.papers import paper_text

SCORES = ("summary_rank", "paper_rank", "score")


class Validation:
    """Held-out papers, two summaries of each, and the scores of an encoder on them.

    `summary_rank`: mean rank at which one summary finds the other one of its paper. `paper_rank`: mean rank at which
    the mean embedding of both finds title and abstract of the paper. `score`, which selects: their sum (the paper
    does not say; ours), or one of the two. 1 is best for a rank.

    Args:
        records: mappings with corpus_id, title, abstract, summaries.
        metric: "euclidean" or "cosine", the metric of the objective.
        selection: "sum", "summary" or "paper"; under "last" nothing is selected, and the score is the sum.
    """

    def __init__(self, records: Sequence[Mapping[str, Any]], metric: str, selection: str = "sum") -> None:
        if len(records) < 2:
            raise ValueError(f"validation needs at least 2 papers to rank, got {len(records)}")
        generator = np.random.default_rng(0)  # the same two summaries whatever a run's seed
        self.metric = metric
        self.selection = selection
        self._papers = list(records)
        pairs = [_two_summaries(record, generator) for record in records]
        self._first, self._second = [pair[0] for pair in pairs], [pair[1] for pair in pairs]

    def __len__(self) -> int:
        return len(self._papers)

    def scores(self, encoder: Encoder) -> dict[str, float]:
        """`summary_rank`, `paper_rank` and `score`."""
        papers = [paper_text(paper, encoder.separator) for paper in self._papers]
        embeddings = encoder.encode([*self._first, *self._second, *papers])
        first, second, whole = np.split(embeddings, 3)
        summary = float(match_ranks(first, second, metric=self.metric).mean())  # type: ignore[arg-type]
        paper = float(match_ranks((first + second) / 2, whole, metric=self.metric).mean())  # type: ignore[arg-type]
        score = {"summary": summary, "paper": paper}.get(self.selection, summary + paper)
        return {"summary_rank": summary, "paper_rank": paper, "score": score}


def _two_summaries(record: Mapping[str, Any], generator: np.random.Generator) -> tuple[str, str]:
    summaries = list(dict.fromkeys(record["summaries"]))
    if len(summaries) < 2:
        raise ValueError(
            f"validation paper {record['corpus_id']!r} has {len(summaries)} distinct summaries; "
            "the score needs two of each paper, so leave it out"
        )
    first, second = generator.choice(len(summaries), 2, replace=False)
    return summaries[first], summaries[second]
