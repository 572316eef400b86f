"""The four tasks of the semantic benchmark as tasks of mteb (the extra `mteb`), from the papers of a run.

Each is a retrieval task of its own class: title to abstract, first to second half of an abstract, query to paper, and,
for the clustering, a paper to all training papers of its field, where precision at 5 is the share of the five nearest
with the same field. Models of sentence-transformers, as a run's model folder is one, are evaluated as they are:

    import mteb
    from sentence_transformers import SentenceTransformer

    result = mteb.evaluate(SentenceTransformer("runs/demo/model"), run_tasks("runs/demo"), cache=None)

mteb rounds scores to five digits, and looks at the 1,000 nearest candidates, so mean ranks are not among its scores. It
compares in float32, candidates at equal distance in any order, where our ranks are exact and share the mean: scores of
models whose vectors hardly differ can differ in the third digit.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from semcse.benchmark import Pairs, query_pairs, segment_pairs, title_pairs
from semcse.papers import paper_text
from semcse.splits import load_splits
from semcse.stored import stored_queries

Paper = Mapping[str, Any]
CITATION = "https://arxiv.org/abs/2507.13105"


@dataclass(frozen=True)
class Matching:
    """Texts that look for texts: queries and candidates by id, and which candidates each query should find."""

    name: str
    description: str
    queries: dict[str, str]
    candidates: dict[str, str]
    relevant: dict[str, list[str]]
    score: str = "mrr_at_1000"


def run_tasks(run: str | os.PathLike[str], separator: str = "[SEP]") -> list[Any]:
    """The mteb tasks of a run's benchmark; without queries or clustering papers the others.

    `separator` is that of the models' tokenizer, put between title and abstract. Raises DataError for a folder without
    papers, ModuleNotFoundError where mteb is missing.
    """
    splits = load_splits(Path(run) / "papers")
    benchmark = list(splits.benchmark)
    matchings = []
    if benchmark:
        matchings += [title_abstract(benchmark), abstract_segments(benchmark)]
        if queries := stored_queries(run):
            matchings.append(query_matching(benchmark, queries, separator))
    if len(splits.clustering_test):
        matchings.append(clustering(list(splits.clustering_train), list(splits.clustering_test), separator))
    return [mteb_task(matching) for matching in matchings]


def title_abstract(papers: Sequence[Paper]) -> Matching:
    """Each title looks for its abstract, as `benchmark.title_abstract`."""
    return _matching("SemCSETitleAbstract", "Find the abstract of a title.", title_pairs(papers))


def abstract_segments(papers: Sequence[Paper]) -> Matching:
    """Each first half looks for its second half, as `benchmark.abstract_segments`."""
    found = segment_pairs(papers)
    return _matching("SemCSEAbstractSegments", "Find the second half of an abstract by its first.", found)


def query_matching(papers: Sequence[Paper], queries: Mapping[Any, str], separator: str = "[SEP]") -> Matching:
    """Each query looks for its paper among all, as `benchmark.query_matching`."""
    found = query_pairs(papers, queries, separator)
    return _matching("SemCSEQueryMatching", "Find the paper that a query asks for.", found)


def clustering(
    train: Sequence[Paper], test: Sequence[Paper], separator: str = "[SEP]", label: str = "field"
) -> Matching:
    """Each test paper looks for the training papers of its field; precision at 5 is the purity.

    Test papers of a field that no training paper has are left out, since mteb wants something to be found; in
    `benchmark.clustering` they count as 0.
    """
    known = [paper for paper in train if paper.get(label) is not None]
    groups: dict[Any, list[str]] = {}
    for paper in known:
        groups.setdefault(paper[label], []).append(f"train {paper['corpus_id']}")
    asked = [paper for paper in test if paper.get(label) in groups]
    return Matching(
        "SemCSEClustering",
        "Find papers of the same field.",
        {f"test {paper['corpus_id']}": paper_text(paper, separator) for paper in asked},
        {f"train {paper['corpus_id']}": paper_text(paper, separator) for paper in known},
        {f"test {paper['corpus_id']}": groups[paper[label]] for paper in asked},
        score="precision_at_5",
    )


def mteb_task(matching: Matching) -> Any:
    """An mteb retrieval task, of a class of its own, that holds the data already: nothing is fetched.

    Its dataset's revision is a digest of the texts, so that mteb's cache of results keeps runs apart.
    """
    if find_spec("mteb") is None:
        raise ModuleNotFoundError("the package mteb is not installed: pip install 'semcse[mteb]'")
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    content = json.dumps([matching.queries, matching.candidates, matching.relevant]).encode()
    metadata = TaskMetadata(
        name=matching.name,
        description=matching.description,
        dataset={"path": "semcse/run", "revision": hashlib.sha256(content).hexdigest()},
        reference=CITATION,
        type="Retrieval",
        category="t2t",
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score=matching.score,
        domains=["Academic"],
    )
    task = type(matching.name, (AbsTaskRetrieval,), {"metadata": metadata})()
    tables = {
        name: Dataset.from_dict({"id": list(texts), "text": list(texts.values())})
        for name, texts in (("queries", matching.queries), ("corpus", matching.candidates))
    }
    relevant = {query: dict.fromkeys(found, 1) for query, found in matching.relevant.items()}
    task.dataset = {"default": {"test": {**tables, "relevant_docs": relevant, "top_ranked": None}}}
    task.data_loaded = True
    return task


def _matching(name: str, description: str, pairs: Pairs) -> Matching:
    ids = [str(paper["corpus_id"]) for paper in pairs.papers]
    queries = dict(zip(ids, pairs.queries, strict=False))
    candidates = dict(zip(ids, pairs.candidates, strict=True))
    return Matching(name, description, queries, candidates, {key: [key] for key in queries})
