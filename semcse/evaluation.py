"""The models of a run measured by the semantic benchmark, and what the later notebooks need of them stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from semcse import benchmark
from semcse.arrays import write_array
from semcse.embeddings import cached
from semcse.encoder import Encoder
from semcse.files import atomic_path
from semcse.matching import Metric
from semcse.models import Embedder, ModelUnavailable, open_model
from semcse.neighbours import check_index
from semcse.papers import paper_text
from semcse.precision import inner_precision
from semcse.records import display_name, write_record
from semcse.schema import Benchmarks
from semcse.splits import Splits
from semcse.stored import HEADLINE, Run, array_path, space_papers
from semcse.transfer import across_domains

Task = Callable[..., dict[str, Any]]


def open_models(
    trained: Sequence[Mapping[str, Any]], settings: Benchmarks, corpus: Sequence[str]
) -> tuple[dict[str, Embedder], dict[str, str]]:
    """Base, trained and compared models by name, in this order, and why the others cannot be had.

    A base appears once, with the pooling and, since it has none of its own, the metric of the first model trained
    from it. `corpus` is what TF-IDF is fitted on.
    """
    precision = inner_precision(settings.precision)
    opener = partial(open_model, precision=precision, max_length=settings.max_length)
    opened: dict[str, Embedder] = {}
    for model in trained:
        if model["base"] not in opened:
            base = opener(model["base_path"], pooling=model["pooling"], metric=model["metric"])
            opened[model["base"]] = _named(base, model["base"])
    for model in trained:
        opened[model["name"]] = _named(opener(model["folder"], metric=model["metric"]), model["name"])
    missing: dict[str, str] = {}
    for name in settings.models:
        label = display_name(name)
        try:
            opened.setdefault(label, _named(open_model(name, corpus, precision=precision), label))
        except ModelUnavailable as error:
            missing[label] = str(error)
    return opened, missing


def all_texts(splits: Splits, queries: Mapping[Any, str], summaries: Mapping[Any, Sequence[str]]) -> list[str]:
    """Every distinct text that the benchmark compares, in the order of sets; what TF-IDF is fitted on."""
    texts: dict[str, None] = {}
    for papers in splits.sets().values():
        for paper in papers:
            texts |= dict.fromkeys([paper["title"], paper["abstract"] or ""])
    texts |= dict.fromkeys(queries.values())
    texts |= dict.fromkeys(text for several in summaries.values() for text in several)
    return [text for text in texts if text]


def evaluate_model(
    run: Run,
    model: Embedder,
    splits: Splits,
    queries: Mapping[Any, str],
    summaries: Mapping[Any, Sequence[str]],
    settings: Benchmarks,
    seed: int,
    domains: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> dict[str, float]:
    """Measure one model by every task that has data, write a record a task, and return the headline scores.

    Scores are under the model's own metric; the record's `also` holds the headline under the other one. `domains` are
    pools of papers to be compared (`transfer.domain_pools`). Each distinct text is encoded once and kept under
    `embeddings/cache/`, beside the arrays that notebooks 06 and 07 read.
    """
    check_index(settings.neighbour_index)
    options = {"batch_tokens": settings.batch_tokens} if isinstance(model.encoder, Encoder) else {}
    encode = cached(model, Path(run) / "embeddings" / "cache", **options)
    other: Metric = "cosine" if model.metric == "euclidean" else "euclidean"
    scores: dict[str, float] = {}
    for name, task in _tasks(encode, model, splits, queries, settings).items():
        started = time.monotonic()
        result = task(metric=model.metric, resamples=settings.bootstrap, seed=seed)
        seconds = time.monotonic() - started
        also = {other: task(metric=other, resamples=1, seed=seed)[HEADLINE[name]]}
        write_record(run, model.name, name, result, n=result["n"], seed=seed, seconds=seconds, also=also)
        scores[name] = result[HEADLINE[name]]
    _length_study(run, encode, model, splits, summaries, settings, seed)
    _domains(run, encode, model, domains or {}, settings, seed)
    _store_arrays(run, encode, model, splits)
    return scores


def _named(model: Embedder, name: str) -> Embedder:
    return Embedder(name, model.encoder, model.metric, model.prefix)


def _tasks(
    encode: benchmark.Encode, model: Embedder, splits: Splits, queries: Mapping[Any, str], settings: Benchmarks
) -> dict[str, Task]:
    papers, train, test = (list(s) for s in (splits.benchmark, splits.clustering_train, splits.clustering_test))
    tasks: dict[str, Task] = {}
    if papers:
        tasks["title_abstract"] = partial(benchmark.title_abstract, encode, papers)
        tasks["abstract_segments"] = partial(benchmark.abstract_segments, encode, papers)
    if queries:
        tasks["query_matching"] = partial(benchmark.query_matching, encode, papers, queries, model.separator)
    if train:
        search: dict[str, Any] = {"k": settings.neighbours, "index": settings.neighbour_index}
        tasks["clustering"] = partial(benchmark.clustering, encode, train, test, model.separator, **search)
    return tasks


def _length_study(
    run: Run,
    encode: benchmark.Encode,
    model: Embedder,
    splits: Splits,
    summaries: Mapping[Any, Sequence[str]],
    settings: Benchmarks,
    seed: int,
) -> None:
    started = time.monotonic()
    study = partial(benchmark.length_study, encode, list(splits.validation), summaries, model.separator)
    results = study(metric=model.metric, resamples=settings.bootstrap, seed=seed)
    seconds = (time.monotonic() - started) / len(results)
    for name, result in results.items():
        write_record(run, model.name, f"length_{name}", result, n=result["n"], seed=seed, seconds=seconds)


def _domains(
    run: Run,
    encode: benchmark.Encode,
    model: Embedder,
    domains: Mapping[str, Sequence[Mapping[str, Any]]],
    settings: Benchmarks,
    seed: int,
) -> None:
    if not domains:
        return
    started = time.monotonic()
    found = across_domains(encode, domains, model.metric, resamples=settings.bootstrap, seed=seed)
    kept = ("mean_rank", "mean_rank_interval", "candidates", "corpus_ids")
    scores = {
        domain: {task: {key: result[key] for key in kept} for task, result in tasks.items()}
        for domain, tasks in found.items()
    }
    papers = sum(map(len, domains.values()))
    write_record(run, model.name, "domains", scores, n=papers, seed=seed, seconds=time.monotonic() - started)


def _store_arrays(run: Run, encode: benchmark.Encode, model: Embedder, splits: Splits) -> None:
    arrays = {
        "space": [paper_text(paper, model.separator) for paper in space_papers(splits)],
        "titles": list(splits.benchmark["title"]),
        "abstracts": list(splits.benchmark["abstract"]),
    }
    for name, texts in arrays.items():
        with atomic_path(array_path(run, model.name, name)) as temporary:
            write_array(temporary, encode(texts))
