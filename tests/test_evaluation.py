"""Models measured in a run: records, stored arrays, what is missing, and that the seed decides the numbers."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from tiny import tiny_demo_bert

from semcse import neighbours
from semcse.benchmark import papers_by_id
from semcse.evaluation import all_texts, evaluate_model, open_models
from semcse.files import write_atomic
from semcse.geometry import all_but_the_top
from semcse.maps import effects, own_metrics
from semcse.matching import match_ranks
from semcse.papers import load_papers, paper_text
from semcse.params import load
from semcse.queries import generate_queries
from semcse.readers import DataError
from semcse.records import mark_done, read_records, write_record
from semcse.schema import Benchmarks
from semcse.splits import load_splits, sample
from semcse.stored import (
    alignment_pairs,
    measured_models,
    missing_models,
    shown_papers,
    space_embeddings,
    stored_models,
    stored_queries,
    trained_models,
    write_index,
)
from semcse.summaries import generate_summaries, load_summaries, training_records
from semcse.training import train
from semcse.transfer import domain_pools
from semcse.views import benchmarks as views
from semcse.views import pca
from semcse.writers.choice import make_query_writer, make_summary_writer


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_demo_bert(tmp_path_factory.mktemp("base") / "tiny-bert")


def study(folder, base, seed=0):
    small = {"training": 24, "validation": 10, "benchmark": 20, "clustering": 30}
    sizes = [f"sampling.{name}={size}" for name, size in small.items()]
    steps = ["training.batch_size=8", "training.max_steps=4", "training.warmup_steps=1", "training.evaluate_every=2"]
    return load("demo", [*sizes, *steps, f"training.base={base}", f"folder={folder}", f"seed={seed}"])


def finished(folder, base, seed=0):
    """A run as the notebooks make it, without notebooks."""
    settings = study(folder, base, seed)
    splits = sample(settings.sampling, seed)
    splits.save(folder / "papers", seed)
    papers = [*splits.training, *splits.validation]
    generate_summaries(papers, make_summary_writer(settings.summaries, papers), folder / "summaries", draws=1)
    generate_queries(splits.benchmark, make_query_writer(settings.summaries, papers), folder / "queries")
    summaries = load_summaries(folder / "summaries")
    mark_done(folder, "summaries", {"queries": len(splits.benchmark)})
    records, _ = training_records(papers, summaries)
    model = train(settings, records[:24], records[24:])
    facts = {"folder": str(model), "base": "tiny", "base_path": str(base), "pooling": "cls", "metric": "cosine"}
    mark_done(folder, "training-SemCSE_cosine", {"name": "SemCSE_cosine", **facts})
    asked = Benchmarks(models=["TF-IDF", "SPECTER2 proximity"], bootstrap=50)
    by_paper = summaries.groupby("corpus_id")["text"].agg(list).to_dict()
    queries = stored_queries(folder)
    models, missing = open_models(trained_models(folder), asked, all_texts(splits, queries, by_paper))
    pools = domain_pools(splits, asked.model_copy(update={"domain_papers": 3}), seed)
    for embedder in models.values():
        evaluate_model(folder, embedder, splits, queries, by_paper, asked, seed, pools)
    write_index(folder, ["tiny", "SemCSE_cosine"], models, missing)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory, base):
    return finished(tmp_path_factory.mktemp("run"), base)


def scores(run):
    return {(r["model"], r["task"]): r["scores"] for r in read_records(run)}


def test_every_model_has_every_task(run):
    tasks = {"title_abstract", "abstract_segments", "query_matching", "clustering"}
    tasks |= {"domains"} | {f"length_{part}" for part in ("title_and_abstract", "title", "abstract")}
    assert set(scores(run)) == {(model, task) for model in ("tiny", "SemCSE_cosine", "TF-IDF") for task in tasks}
    assert (measured_models(run), stored_models(run)) == (
        ["tiny", "SemCSE_cosine", "TF-IDF"],
        ["tiny", "SemCSE_cosine"],
    )
    assert missing_models(run) == ["SPECTER2 proximity"]


def test_training_changed_the_model(run):
    before, after = (scores(run)[model, "abstract_segments"]["ranks"] for model in ("tiny", "SemCSE_cosine"))
    assert before != after


def test_stored_arrays_give_the_recorded_scores(run):
    papers = shown_papers(run)
    X = space_embeddings(run, "SemCSE_cosine")
    assert len(papers) == len(X) == 30
    X = X.astype(np.float64)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    similarity = unit[18:] @ unit[:18].T
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :5]
    fields = papers["field"].to_numpy()
    purity = np.mean(fields[:18][nearest] == fields[18:, None])
    assert purity == pytest.approx(scores(run)["SemCSE_cosine", "clustering"]["purity"])
    titles, abstracts = alignment_pairs(run, "SemCSE_cosine")
    distances = np.linalg.norm(
        titles[:, None] / np.linalg.norm(titles, axis=1)[:, None, None]
        - (abstracts / np.linalg.norm(abstracts, axis=1, keepdims=True))[None],
        axis=2,
    )
    own = np.diag(distances)[:, None]
    ranks = (distances < own - 1e-6).sum(1) + 1
    assert np.abs(ranks - scores(run)["SemCSE_cosine", "title_abstract"]["ranks"]).max() <= 1


def test_domains_are_ranked_each_in_its_own_pool(run):
    found = scores(run)["tiny", "domains"]
    pools = {record["candidates"] for tasks in found.values() for record in tasks.values()}
    assert len(found) >= 2
    assert len(pools) == 1
    X, Y = alignment_pairs(run, "tiny")
    ids = scores(run)["tiny", "title_abstract"]["corpus_ids"]
    for tasks in found.values():
        rows = [ids.index(paper) for paper in tasks["title_abstract"]["corpus_ids"]]
        assert match_ranks(X[rows], Y[rows], "cosine").mean() == tasks["title_abstract"]["mean_rank"]
    table = views.domains_table(run).frame
    assert list(table.index) == [*found, "all domains"]
    assert views.domain_comparison(run) is not None


def test_a_transfer_corpus_is_a_domain_without_the_papers_of_training(base, tmp_path):
    splits = sample(study(tmp_path, base).sampling, 0)
    other = [{"title": f"Poem {i}", "abstract": f"Roses {i} are red. Violets are blue."} for i in range(9)]
    known = [{"title": paper["title"], "abstract": paper["abstract"]} for paper in splits.training]
    lines = [json.dumps({**paper, "corpus_id": f"p{i}"}) for i, paper in enumerate(other + known)]
    path = write_atomic(tmp_path / "poems.jsonl", "\n".join(lines))
    pools = domain_pools(splits, Benchmarks(domains="source", transfer=str(path), domain_papers=9), 0)
    assert set(pools) == {"demo", "poems"}
    assert {paper["title"] for paper in pools["poems"]} == {paper["title"] for paper in other}
    assert domain_pools(splits, Benchmarks(domains="source"), 0) == {}


def test_linear_maps_are_those_of_the_stored_arrays(run):
    after = effects(run, "tiny", own_metrics(run)["tiny"], k=5)
    own = scores(run)["tiny", "title_abstract"]["mean_rank"], scores(run)["tiny", "clustering"]["purity"]
    assert tuple(after.loc["as they are"]) == pytest.approx(own)
    titles, abstracts = alignment_pairs(run, "tiny")
    linear = all_but_the_top(space_embeddings(run, "tiny")[:18], 3)
    by_hand = match_ranks(linear(titles), linear(abstracts), "cosine").mean()
    assert after.loc["without the first 3", "title_abstract"] == by_hand
    write_record(run, "tiny", "maps", after.to_dict("index"), n=30, seed=0, seconds=0)
    assert list(pca.map_effects(run).frame["map"]) == list(after.index)
    (run / "results" / "maps--tiny.json").unlink()


def test_neighbours_by_faiss_are_told_with_their_recall(run, base, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    asked = Benchmarks(neighbour_index="faiss", bootstrap=50)
    splits = load_splits(folder / "papers")
    models, _ = open_models(trained_models(folder), asked, [])
    summaries = {paper["corpus_id"]: [paper["title"]] for paper in splits.validation}
    evaluate_model(folder, models["tiny"], splits, {}, summaries, asked, 0)
    found, exact = (scores(each)["tiny", "clustering"] for each in (folder, run))
    assert exact["search"] == {"index": "exact"}
    assert found["search"] == {"index": "faiss", "lists": 1, "probes": 1, "recall": 1.0, "recall_queries": 12}
    assert found["shares"] == exact["shares"]  # one list is the exact search
    notes = [views.benchmark_table(each).notes for each in (folder, run)]
    assert ["tiny 1.000" in " ".join(each) for each in notes] == [True, False]
    pd.testing.assert_frame_equal(effects(folder, "tiny", "cosine"), effects(run, "tiny", "cosine"))


def test_faiss_is_asked_for_before_anything_is_encoded(run, base, tmp_path, monkeypatch):
    monkeypatch.setattr(neighbours, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="faiss-cpu"):
        evaluate_model(tmp_path, None, None, {}, {}, Benchmarks(neighbour_index="faiss"), 0)


def test_variants_stand_above_the_papers_and_perf_is_on_two_scales(run):
    variants = views.variants_table(run).frame
    assert list(variants["source"].value_counts()) == [10, 1]
    assert variants.index[0] == "SemCSE_cosine"
    placed = views.placed_table(run).frame
    assert placed.iloc[:, 0].max() > placed.iloc[:, 1].min() >= 0


def test_a_list_of_ids_rebuilds_the_benchmark(run):
    ids = json.loads((run / "papers" / "ids.json").read_text())
    corpus = load_papers("demo")
    splits = load_splits(run / "papers")
    for name, papers in splits.sets().items():
        assert papers_by_id(corpus, ids[name]) == list(papers)


def test_the_same_seed_gives_the_same_scores_and_another_does_not(run, base, tmp_path):
    assert scores(finished(tmp_path / "again", base)) == scores(run)
    other = scores(finished(tmp_path / "other", base, seed=1))
    assert other["SemCSE_cosine", "title_abstract"]["ranks"] != scores(run)["SemCSE_cosine", "title_abstract"]["ranks"]


def test_a_sample_of_the_clustering_papers_keeps_their_places(run):
    everything, some = shown_papers(run), shown_papers(run, most=12, seed=3)
    assert len(some) == 12
    assert some.equals(everything.loc[some.index])


def test_what_is_missing_is_said_with_the_notebook_to_run(tmp_path):
    for ask, number in ((trained_models, "03"), (stored_models, "04"), (stored_queries, "02")):
        with pytest.raises(DataError, match=f"Run notebook {number}"):
            ask(tmp_path)


def test_a_run_without_queries_or_clustering_papers_has_no_such_task(base, tmp_path):
    settings = study(tmp_path, base)
    splits = sample(settings.sampling.model_copy(update={"clustering": 0}), 0)
    facts = [
        {"name": "m", "folder": str(base), "base": "b", "base_path": str(base), "pooling": "cls", "metric": "cosine"}
    ]
    models, _ = open_models(facts, Benchmarks(bootstrap=10), ["one text", "two texts"])
    summaries = {paper["corpus_id"]: ["a summary of it"] for paper in splits.validation}
    found = evaluate_model(tmp_path, models["m"], splits, {}, summaries, Benchmarks(bootstrap=10), seed=0)
    assert set(found) == {"title_abstract", "abstract_segments"}
    assert json.loads(next((tmp_path / "results").glob("title*")).read_text())["also"]["euclidean"] >= 1


def test_texts_are_listed_once_and_none_is_empty(base, tmp_path):
    splits = sample(study(tmp_path, base).sampling, 0)
    texts = all_texts(splits, {1: "a query"}, {1: ["a summary", "a query"]})
    assert len(texts) == len(set(texts))
    assert {"a query", "a summary"} <= set(texts)
    assert paper_text({"title": "T", "abstract": "A"}, "[SEP]") == "T [SEP] A"
