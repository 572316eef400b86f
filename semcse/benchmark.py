"""The semantic benchmark: the four tasks of section 5.2 and the length study of section 5.1.

A task gets the function that embeds texts, the papers, and the metric of the model. It returns one record with its
scores, which is plain JSON; further keyword arguments (`seed`, `resamples`) go to the bootstrap.

The paper does not say which side queries which: here the title looks for its abstract, the first half for the second,
the query and the summary for the paper.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from semcse.matching import Metric, label_codes, match_ranks
from semcse.neighbours import Index, find_neighbours
from semcse.papers import paper_text
from semcse.performance import LOWER_IS_BETTER, performance, placed_performance
from semcse.sentences import halves, split_sentences
from semcse.statistics import bootstrap_interval

__all__ = [
    "BENCHMARK_SETS",
    "LOWER_IS_BETTER",
    "Pairs",
    "abstract_segments",
    "clustering",
    "length_study",
    "paper_text",
    "papers_by_id",
    "performance",
    "placed_performance",
    "query_matching",
    "query_pairs",
    "rank_scores",
    "segment_pairs",
    "split_labelled",
    "title_abstract",
    "title_pairs",
]

Encode = Callable[[list[str]], npt.NDArray[np.float32]]
Paper = Mapping[str, Any]
Result = dict[str, Any]

BENCHMARK_SETS = (
    "relish",
    "high_influence_cite",
    "mesh_descriptors",
    "biomimicry",
    "drsm",
    "cite_prediction",
    "fos",
    "paper_reviewer_matching",
    "peer_review_score_hIndex",
    "same_author",
    "search",
    "tweet_mentions",
)
"""The SciRepEval sets that give 500 papers each to the paper's benchmark (A.1)."""
HISTOGRAM_EDGES = (1, 2, 3, 4, 6, 11, 21, 51, 101, 201, 501, 1001, 2001, 5001)


@dataclass(frozen=True)
class Pairs:
    """Texts that look for texts: query i should find candidate i; further candidates follow.

    `papers` are those of the candidates, in order. `left_out` holds the ids of the others by reason.
    """

    queries: list[str]
    candidates: list[str]
    papers: list[Paper]
    left_out: dict[str, list[Any]]

    @property
    def asked(self) -> list[Paper]:
        """The papers of the queries."""
        return self.papers[: len(self.queries)]


def title_pairs(papers: Sequence[Paper]) -> Pairs:
    """Each title and its abstract."""
    kept, left_out = _with_text(papers, ("title", "abstract"))
    return Pairs([str(paper["title"]) for paper in kept], [str(paper["abstract"]) for paper in kept], kept, left_out)


def segment_pairs(papers: Sequence[Paper]) -> Pairs:
    """The two halves of each abstract of more than one sentence."""
    complete, left_out = _with_text(papers, ("abstract",))
    counts = [len(split_sentences(str(paper["abstract"]))) for paper in complete]
    kept = [paper for paper, count in zip(complete, counts, strict=True) if count > 1]
    if len(kept) < len(complete):
        single = [paper["corpus_id"] for paper, count in zip(complete, counts, strict=True) if count < 2]
        left_out["abstract of one sentence"] = single
    parts = [halves(str(paper["abstract"])) for paper in kept]
    return Pairs([first for first, _ in parts], [second for _, second in parts], kept, left_out)


def query_pairs(papers: Sequence[Paper], queries: Mapping[Any, str], separator: str) -> Pairs:
    """Each query (by corpus_id) and its paper; papers without a query are further candidates."""
    complete, left_out = _with_text(papers, ("title", "abstract"))
    asked = [paper for paper in complete if str(queries.get(paper["corpus_id"]) or "").strip()]
    silent = [paper for paper in complete if not str(queries.get(paper["corpus_id"]) or "").strip()]
    if silent:
        left_out["no query (stays a candidate)"] = [paper["corpus_id"] for paper in silent]
    pool = [*asked, *silent]
    texts = [str(queries[paper["corpus_id"]]) for paper in asked]
    return Pairs(texts, [paper_text(paper, separator) for paper in pool], pool, left_out)


def title_abstract(encode: Encode, papers: Sequence[Paper], metric: Metric = "euclidean", **bootstrap: int) -> Result:
    """Each title looks for its abstract among all abstracts (Title-Abstract Matching)."""
    return _matched("title_abstract", "title -> abstract", encode, title_pairs(papers), metric, bootstrap)


def abstract_segments(
    encode: Encode, papers: Sequence[Paper], metric: Metric = "euclidean", **bootstrap: int
) -> Result:
    """The first half of each abstract looks for its second half (Abstract Segmentation Consistency).

    Halves by sentence count, as `sentences.halves`; abstracts of one sentence are left out and named.
    """
    direction = "first half -> second half"
    return _matched("abstract_segments", direction, encode, segment_pairs(papers), metric, bootstrap)


def query_matching(
    encode: Encode,
    papers: Sequence[Paper],
    queries: Mapping[Any, str],
    separator: str,
    metric: Metric = "euclidean",
    **bootstrap: int,
) -> Result:
    """Each query (by corpus_id) looks for its paper, title and abstract, among all papers (Query Matching).

    Papers without a query stay in the pool as candidates and are named.
    """
    pairs = query_pairs(papers, queries, separator)
    return _matched("query_matching", "query -> title and abstract", encode, pairs, metric, bootstrap)


def length_study(
    encode: Encode,
    papers: Sequence[Paper],
    summaries: Mapping[Any, Sequence[str]],
    separator: str,
    metric: Metric = "euclidean",
    **bootstrap: int,
) -> dict[str, Result]:
    """The first summary of each paper looks for title and abstract, the title alone, the abstract alone (section 5.1).

    The paper's pool is its 900 validation papers, with mean ranks 1.542, 3.0 and 1.801. Papers without a summary are
    left out and named. Keys: `title_and_abstract`, `title`, `abstract`.
    """
    complete, left_out = _with_text(papers, ("title", "abstract"))
    kept = [paper for paper in complete if summaries.get(paper["corpus_id"])]
    missing = [paper["corpus_id"] for paper in complete if not summaries.get(paper["corpus_id"])]
    if missing:
        left_out["no summary"] = missing
    _enough(kept, left_out)
    queries = _encoded(encode, [str(summaries[paper["corpus_id"]][0]) for paper in kept])
    targets = {
        "title_and_abstract": [paper_text(paper, separator) for paper in kept],
        "title": [str(paper["title"]) for paper in kept],
        "abstract": [str(paper["abstract"]) for paper in kept],
    }
    return {
        name: _record(
            f"length_study/{name}",
            f"summary -> {name.replace('_', ' ')}",
            match_ranks(queries, _encoded(encode, texts), metric),
            kept,
            len(kept),
            left_out,
            metric,
            bootstrap,
        )
        for name, texts in targets.items()
    }


def clustering(
    encode: Encode,
    train: Sequence[Paper],
    test: Sequence[Paper],
    separator: str,
    metric: Metric = "euclidean",
    k: int = 5,
    label: str = "field",
    index: Index = "exact",
    **bootstrap: int,
) -> Result:
    """Share of the k nearest training papers with the label of the test paper (Semantic Clustering).

    The record holds the `purity` with its interval, the purity per label, and the confusion: how many neighbours of
    the test papers of one label (row) bear each label (column). Papers without a label or text are left out and named.
    `index` says how neighbours are searched, as in `neighbours.find_neighbours`; the record's `search` holds what is
    to be known of it, for faiss the recall.
    """
    known, left_out = _labelled(train, label)
    asked, left_out_test = _labelled(test, label)
    for reason, ids in left_out_test.items():
        left_out.setdefault(reason, []).extend(ids)
    _enough(asked, left_out)
    stored = _encoded(encode, [paper_text(paper, separator) for paper in known])
    embedded = _encoded(encode, [paper_text(paper, separator) for paper in asked])
    codes, wanted = label_codes([p[label] for p in known], [p[label] for p in asked], len(known), len(asked))
    names = list(dict.fromkeys(p[label] for p in [*known, *asked]))
    found = find_neighbours(embedded, stored, k, metric, index=index, seed=bootstrap.get("seed", 0))
    neighbours = found.indices
    shares = np.mean(codes[neighbours] == wanted[:, None], axis=1)
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, (np.repeat(wanted, k), codes[neighbours].ravel()), 1)
    return {
        "task": "clustering",
        "metric": metric,
        "k": k,
        "n": len(asked),
        "candidates": len(known),
        "search": found.how,
        "purity": float(shares.mean()),
        "purity_interval": list(bootstrap_interval(shares, **bootstrap)),
        "per_label": {str(name): _mean_or_none(shares[wanted == i]) for i, name in enumerate(names)},
        "confusion": {"labels": [str(name) for name in names], "counts": counts.tolist()},
        "left_out": left_out,
        "corpus_ids": [paper["corpus_id"] for paper in asked],
        "shares": shares.tolist(),
    }


def papers_by_id(papers: Iterable[Paper], ids: Sequence[Any]) -> list[Paper]:
    """The papers of a recorded list of ids, in its order, so that a benchmark can be rebuilt from ids alone.

    Raises ValueError with the first ids that `papers` lacks, or that stand in the list twice.
    """
    if len(set(ids)) < len(ids):
        raise ValueError(f"{len(ids) - len(set(ids))} ids stand in the list twice")
    known = {paper["corpus_id"]: paper for paper in papers}
    if missing := [paper_id for paper_id in ids if paper_id not in known]:
        raise ValueError(f"{len(missing)} of {len(ids)} papers are not in this corpus, e.g. {missing[:3]}")
    return [known[paper_id] for paper_id in ids]


def split_labelled(
    papers: Sequence[Paper], test_share: float = 0.2, seed: int = 0, label: str = "field"
) -> tuple[list[Paper], list[Paper]]:
    """Training and test part of a corpus that has no split of its own, each label divided in the same proportion.

    Papers without a label are in neither part. Raises ValueError where no label has two papers.
    """
    if not 0 < test_share < 1:
        raise ValueError(f"expected a test share between 0 and 1, got {test_share}")
    random = np.random.default_rng(seed)
    train: list[Paper] = []
    test: list[Paper] = []
    known = [paper for paper in papers if paper.get(label) is not None]
    for name in dict.fromkeys(paper[label] for paper in known):
        members = [paper for paper in known if paper[label] == name]
        cut = min(round(test_share * len(members)), len(members) - 1)
        order = random.permutation(len(members))
        test.extend(members[i] for i in sorted(order[:cut]))
        train.extend(members[i] for i in sorted(order[cut:]))
    if not test:
        raise ValueError(f"no label in {label!r} has enough papers to hold {test_share:.0%} of them back for the test")
    return train, test


def rank_scores(ranks: npt.ArrayLike, candidates: int, **bootstrap: int) -> Result:
    """Scores of the ranks (N,) in a pool of `candidates`: means, hits, intervals, and counts between rank edges."""
    values = np.asarray(ranks, dtype=np.float64)
    edges = [edge for edge in HISTOGRAM_EDGES if edge <= candidates] + [candidates + 1]
    return {
        "n": len(values),
        "candidates": candidates,
        "mean_rank": float(values.mean()),
        "mean_rank_interval": list(bootstrap_interval(values, **bootstrap)),
        "median_rank": float(np.median(values)),
        "hit@1": float(np.mean(values <= 1)),
        "hit@10": float(np.mean(values <= 10)),
        "mrr": float(np.mean(1 / values)),
        "histogram": {"edges": edges, "counts": np.histogram(values, edges)[0].tolist()},
    }


def _matched(
    task: str, direction: str, encode: Encode, pairs: Pairs, metric: Metric, bootstrap: Mapping[str, int]
) -> Result:
    """The record of the queries' ranks."""
    _enough(pairs.asked, pairs.left_out)
    ranks = match_ranks(_encoded(encode, pairs.queries), _encoded(encode, pairs.candidates), metric)
    count = len(pairs.candidates)
    return _record(task, direction, ranks, pairs.asked, count, pairs.left_out, metric, bootstrap)


def _record(
    task: str,
    direction: str,
    ranks: npt.NDArray[np.float64],
    papers: Sequence[Paper],
    candidates: int,
    left_out: dict[str, list[Any]],
    metric: Metric,
    bootstrap: Mapping[str, int],
) -> Result:
    return {
        "task": task,
        "direction": direction,
        "metric": metric,
        **rank_scores(ranks, candidates, **bootstrap),
        "left_out": left_out,
        "corpus_ids": [paper["corpus_id"] for paper in papers],
        "ranks": ranks.tolist(),
    }


def _with_text(papers: Sequence[Paper], fields: tuple[str, ...]) -> tuple[list[Paper], dict[str, list[Any]]]:
    """Papers in which all fields hold text, and the ids of the others by reason."""
    kept: list[Paper] = []
    left_out: dict[str, list[Any]] = {}
    for paper in papers:
        empty = [field for field in fields if not str(paper.get(field) or "").strip()]
        if empty:
            left_out.setdefault(f"empty {empty[0]}", []).append(paper["corpus_id"])
        else:
            kept.append(paper)
    return kept, left_out


def _labelled(papers: Sequence[Paper], label: str) -> tuple[list[Paper], dict[str, list[Any]]]:
    kept, left_out = [], dict[str, list[Any]]()
    for paper in papers:
        if pd.isna(paper.get(label)):
            left_out.setdefault(f"no {label}", []).append(paper["corpus_id"])
        elif not paper_text(paper, ""):
            left_out.setdefault("no text", []).append(paper["corpus_id"])
        else:
            kept.append(paper)
    return kept, left_out


def _enough(kept: Sequence[Paper], left_out: Mapping[str, Sequence[Any]]) -> None:
    if len(kept) < 2:
        reasons = ", ".join(f"{reason}: {len(ids)}" for reason, ids in left_out.items()) or "none left out"
        raise ValueError(f"the task needs at least two papers, got {len(kept)} ({reasons})")


def _encoded(encode: Encode, texts: list[str]) -> npt.NDArray[np.float32]:
    vectors = encode(texts)
    if len(vectors) != len(texts):
        raise ValueError(f"the encoder gave {len(vectors)} vectors for {len(texts)} texts")
    return vectors


def _mean_or_none(values: npt.NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None
