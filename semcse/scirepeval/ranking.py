"""Ranking measures with the tie rules of trec_eval, and the runs that embeddings give (protocol section 4.5).

A run and its judgements are nested mappings: query id to candidate id to score.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Judgements = Mapping[str, Mapping[str, int]]
Run = Mapping[str, Mapping[str, float]]


def ranked(scores: Mapping[str, float]) -> list[str]:
    """Candidates by descending float32 score; equal scores by id, in descending string order."""
    values = np.fromiter(scores.values(), dtype=np.float64, count=len(scores)).astype(np.float32)
    pairs = sorted(zip(values.tolist(), scores, strict=True), reverse=True)
    return [candidate for _, candidate in pairs]


def average_precision(order: Sequence[str], judged: Mapping[str, int]) -> float:
    """Average precision of a ranking; relevant is a score of 1 or more, also for candidates that are not ranked."""
    hits = np.array([judged.get(candidate, 0) >= 1 for candidate in order], dtype=np.float64)
    relevant = sum(score >= 1 for score in judged.values())
    if not relevant or not hits.any():
        return 0.0
    precision = hits.cumsum() / np.arange(1, len(hits) + 1)
    return float((precision * hits).sum() / relevant)


def ndcg(order: Sequence[str], judged: Mapping[str, int]) -> float:
    """Normalised discounted cumulative gain over the full list: the gain is the score, the discount log2(rank + 1)."""
    ideal = _discounted(sorted((max(score, 0) for score in judged.values()), reverse=True))
    gained = _discounted([max(judged.get(candidate, 0), 0) for candidate in order])
    return gained / ideal if ideal else 0.0


def precision_at(order: Sequence[str], judged: Mapping[str, int], k: int) -> float:
    """Share of relevant candidates among the first k; divided by k also where fewer are ranked."""
    return sum(judged.get(candidate, 0) >= 1 for candidate in order[:k]) / k


def measure(run: Run, judgements: Judgements, metrics: Sequence[str]) -> dict[str, float]:
    """Means over the queries of the run, in percent with two decimals. Metrics: `map`, `ndcg`, `P_<k>`."""
    queries = [query for query in run if query in judgements]
    if not queries:
        raise ValueError("no query of the run is judged")
    orders = {query: ranked(run[query]) for query in queries}
    found = {}
    for metric in metrics:
        function = _metric(metric)
        mean = np.mean([function(orders[query], judgements[query]) for query in queries])
        found[metric] = round(100 * float(mean), 2)
    return found


def similarity(query: NDArray[np.floating], candidates: NDArray[np.floating], metric: str) -> NDArray[np.floating]:
    """Run scores (N,) of candidates (N, D) for a query (D,): minus the Euclidean distance, or the cosine."""
    from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances

    if metric == "euclidean":
        return np.asarray(-euclidean_distances(query[None, :], candidates)[0])
    if metric == "cosine":
        return np.asarray(cosine_similarity(query[None, :], candidates)[0])
    raise ValueError(f"metric must be 'euclidean' or 'cosine', got {metric!r}")


def reviewer_score(paper: NDArray[np.floating], papers: NDArray[np.floating]) -> float:
    """Mean of the three largest cosine similarities between a submission (D,) and a reviewer's papers (N, D)."""
    return float(np.sort(similarity(paper, papers, "cosine"))[-3:].mean())


def _discounted(gains: Sequence[int]) -> float:
    return float((np.asarray(gains, dtype=np.float64) / np.log2(np.arange(2, len(gains) + 2))).sum())


def _metric(name: str) -> Callable[[Sequence[str], Mapping[str, int]], float]:
    if name == "map":
        return average_precision
    if name == "ndcg":
        return ndcg
    if name.startswith("P_") and name[2:].isdigit() and int(name[2:]):
        k = int(name[2:])
        return lambda order, judged: precision_at(order, judged, k)
    raise ValueError(f"unknown ranking metric {name!r}; expected map, ndcg or P_<k>")
