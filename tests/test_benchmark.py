"""The benchmark's tasks with encoders whose ranks can be worked out by hand."""

import json

import numpy as np
import pandas as pd
import pytest

from semcse import benchmark, published, statistics, transfer
from semcse.benchmark import (
    abstract_segments,
    clustering,
    length_study,
    paper_text,
    papers_by_id,
    performance,
    placed_performance,
    query_matching,
    rank_scores,
    split_labelled,
    title_abstract,
)

SEP = "[SEP]"


def first_number(texts):
    """Each text at the first number in it, on a line: distances can be read off."""
    return np.array([[float(next(w for w in text.split() if w.lstrip("-").isdigit()))] for text in texts], np.float32)


def paper(number, title, first, second, field=None):
    return {
        "corpus_id": number,
        "title": title,
        "abstract": f"It has {first} cells. There are {second} too.",
        "field": field,
    }


PAPERS = [
    paper(10, "At 1 we look", 2, 30, "a"),  # title at 1, abstract at 2, second half at 30
    paper(11, "At 5 we look", 9, 9, "b"),
    paper(12, "At 7 we look", 6, 4, "a"),
]


def test_title_looks_for_its_abstract():
    result = title_abstract(first_number, PAPERS)
    # abstracts lie at 2, 9, 6: title 1 -> own first; 5 -> own third (6, 2, then 9); 7 -> own first
    assert result["ranks"] == [1, 3, 1]
    assert result["mean_rank"] == pytest.approx(5 / 3)
    assert (result["median_rank"], result["hit@1"], result["hit@10"]) == (1, pytest.approx(2 / 3), 1)
    assert result["mrr"] == pytest.approx((1 + 1 / 3 + 1) / 3)
    assert (result["n"], result["candidates"], result["corpus_ids"]) == (3, 3, [10, 11, 12])
    assert result["mean_rank_interval"][0] <= result["mean_rank"] <= result["mean_rank_interval"][1]
    json.dumps(result, allow_nan=False)


def test_first_half_looks_for_the_second_and_single_sentences_are_named():
    single = {"corpus_id": "x", "title": "At 1 we look", "abstract": "One sentence with 3 cells."}
    result = abstract_segments(first_number, [*PAPERS, single])
    # first halves at 2, 9, 6, second halves at 30, 9, 4: 2 -> third, 9 -> first, 6 -> first
    assert result["ranks"] == [3, 1, 1]
    assert result["left_out"] == {"abstract of one sentence": ["x"]}


def test_query_looks_for_its_paper_among_all_papers():
    result = query_matching(first_number, PAPERS, {10: "what is 6", 12: "what is 6"}, SEP)
    # papers lie at their titles: 1, 5, 7
    assert result["ranks"] == [3, 1.5]
    assert (result["n"], result["candidates"]) == (2, 3)
    assert result["left_out"] == {"no query (stays a candidate)": [11]}


def test_length_study_asks_three_pools():
    summaries = {10: ["says 1"], 11: ["says 5"], 12: ["says 6", "not used 100"]}
    results = length_study(first_number, PAPERS, summaries, SEP)
    assert {name: result["ranks"] for name, result in results.items()} == {
        "title_and_abstract": [1, 1, 1.5],  # at the titles 1, 5, 7
        "title": [1, 1, 1.5],
        "abstract": [1, 3, 1],  # at 2, 9, 6; from 5 the distances are 3, 4, 1
    }


def test_clustering_counts_neighbours_with_the_same_label():
    train = [paper(i, f"At {at} we look", 0, 0, label) for i, (at, label) in enumerate([(0, "a"), (1, "a"), (9, "b")])]
    test = [paper(7, "At 0 we look", 0, 0, "a"), paper(8, "At 8 we look", 0, 0, "b"), paper(9, "At 1", 0, 0)]
    result = clustering(first_number, train, test, SEP, k=2)
    assert result["shares"] == [1.0, 0.5]
    assert result["purity"] == 0.75
    assert result["per_label"] == {"a": 1.0, "b": 0.5}
    assert result["confusion"] == {"labels": ["a", "b"], "counts": [[2, 0], [1, 1]]}
    assert result["left_out"] == {"no field": [9]}
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize("field", ["title", "abstract"])
def test_papers_without_text_are_named(field):
    result = title_abstract(first_number, [*PAPERS, {**PAPERS[0], "corpus_id": 99, field: " "}])
    assert result["left_out"] == {f"empty {field}": [99]}
    assert result["n"] == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: title_abstract(first_number, PAPERS[:1]), "at least two papers, got 1"),
        (lambda: query_matching(first_number, PAPERS, {"10": "what is 6"}, SEP), "no query"),
        (lambda: length_study(first_number, PAPERS, {}, SEP), "no summary: 3"),
        (lambda: title_abstract(lambda texts: np.zeros((1, 2)), PAPERS), "1 vectors for 3 texts"),
        (lambda: title_abstract(lambda texts: np.full((3, 2), np.nan), PAPERS), "NaN"),
        (lambda: split_labelled(PAPERS, 1.5), "between 0 and 1"),
        (lambda: split_labelled(PAPERS[:1]), "no label in 'field'"),
        (lambda: performance(pd.DataFrame({"query": [1.0]})), "lacks"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_paper_text_is_that_of_scirepeval():
    assert paper_text({"title": "A", "abstract": "B"}, SEP) == "A [SEP] B"
    assert paper_text({"title": "A", "abstract": None}, SEP) == "A"
    assert paper_text({"title": "", "abstract": "B"}, SEP) == "B"


def test_performance_gives_the_papers_column():
    table = published.table1().set_index("model")
    np.testing.assert_allclose(performance(table), table["perf"], atol=5.1e-4)
    assert list(performance(table).index) == list(table.index)


def test_new_models_are_placed_by_the_papers_best_and_median():
    table = published.table1().set_index("model")
    np.testing.assert_allclose(placed_performance(table), table["perf"], atol=5.1e-4)
    columns = list(benchmark.LOWER_IS_BETTER)
    new = pd.DataFrame([[1.0, 1.0, 1.0, 0.9], [4.93, 7.77, 1.375, 0.699], [99, 99, 99, 0.1]], columns=columns)
    np.testing.assert_allclose(placed_performance(new), [1, 0.5, 0], atol=1e-9)
    assert performance(new).tolist() == [1, 0.5, 0]
    two = performance(new.iloc[:2])
    assert two.tolist() == [1, 0]  # of two models the median lies halfway


def test_a_missing_score_is_missing_and_not_zero():
    table = published.table1().set_index("model")[list(benchmark.LOWER_IS_BETTER)]
    table.loc["not to be had"] = np.nan
    scores = performance(table)
    assert np.isnan(scores["not to be had"])
    np.testing.assert_allclose(scores.drop("not to be had"), published.table1()["perf"], atol=5.1e-4)
    alone = performance(table.loc[["SemCSE"]])
    assert alone.tolist() == [1.0]


def test_histogram_counts_every_rank_once():
    ranks = [1, 1, 1.5, 2, 3, 5, 10, 11, 60]
    histogram = rank_scores(ranks, 60)["histogram"]
    assert histogram["edges"] == [1, 2, 3, 4, 6, 11, 21, 51, 61]
    assert histogram["counts"] == [3, 1, 1, 1, 1, 1, 0, 1]


def test_labelled_split_keeps_proportions_and_loses_nothing():
    papers = [{"corpus_id": i, "field": "ab"[i % 2] if i < 60 else None} for i in range(70)]
    train, test = split_labelled(papers, 0.2, seed=3)
    assert sorted(p["corpus_id"] for p in train + test) == list(range(60))
    assert [sum(p["field"] == label for p in test) for label in "ab"] == [6, 6]
    assert split_labelled(papers, 0.2, seed=3) == (train, test)
    assert split_labelled(papers, 0.2, seed=4)[1] != test


def test_bootstrap_interval_covers_and_is_seeded():
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = statistics.bootstrap_interval(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)
    assert statistics.bootstrap_interval(values) == (low, high)
    assert statistics.bootstrap_interval(values, seed=1) != (low, high)


def test_paired_bootstrap_sees_a_difference_that_the_single_intervals_hide():
    random = np.random.default_rng(1)
    hard = random.lognormal(2, 1, 300)
    result = statistics.paired_bootstrap(hard + random.normal(0.3, 0.5, 300), hard)
    assert 0 < result["interval"][0] < 0.3 < result["interval"][1]
    assert result["p"] < 0.01
    ours, theirs = statistics.bootstrap_interval(hard + 0.3), statistics.bootstrap_interval(hard)
    assert ours[0] < theirs[1]  # unpaired, the two overlap
    same = statistics.paired_bootstrap(hard, hard)
    assert (same["difference"], same["p"], same["equal"]) == (0, 1, 1)


def test_statistics_errors():
    for values, message in (([], "one value a paper"), ([1.0, np.nan], "row 1 is not finite")):
        with pytest.raises(ValueError, match=message):
            statistics.bootstrap_interval(values)
    with pytest.raises(ValueError, match="level"):
        statistics.bootstrap_interval([1.0], level=95)
    with pytest.raises(ValueError, match="same papers"):
        statistics.paired_bootstrap([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="two seeds"):
        statistics.seed_spread([1.0])
    assert statistics.seed_spread([1.0, 3.0]) == {"mean": 2.0, "std": pytest.approx(2**0.5), "seeds": 2.0}


def test_results_are_compared_paper_by_paper():
    first = {"task": "t", "candidates": 9, "corpus_ids": [1, 2, 3], "ranks": [1, 5, 9]}
    second = {"task": "t", "candidates": 9, "corpus_ids": [3, 1, 2], "ranks": [8, 1, 3]}
    result = statistics.compare_results(first, second)
    assert (result["difference"], result["equal"], result["better"]) == (1.0, pytest.approx(1 / 3), 0.0)
    for change, message in (
        ({"task": "u"}, "differ in task"),
        ({"candidates": 8}, "differ in candidates"),
        ({"corpus_ids": [1, 2, 4]}, "2 papers are in one"),
    ):
        with pytest.raises(ValueError, match=message):
            statistics.compare_results({**first, **change}, second)
    shares = {"task": "c", "candidates": 9, "corpus_ids": [1, 2], "shares": [0.2, 0.4]}
    assert statistics.compare_results(shares, shares)["equal"] == 1


def test_a_benchmark_is_rebuilt_from_its_ids():
    assert [paper["corpus_id"] for paper in papers_by_id(PAPERS, [12, 10])] == [12, 10]
    with pytest.raises(ValueError, match=r"1 of 2 papers .*\[99\]"):
        papers_by_id(PAPERS, [12, 99])
    with pytest.raises(ValueError, match="twice"):
        papers_by_id(PAPERS, [12, 12])


def test_domains_compare_in_pools_of_one_size():
    sources = ["x"] * 6 + ["y"] * 4 + ["z"] * 2 + [None]
    papers = [{**paper(i, f"At {i} we look", i, i), "source": source} for i, source in enumerate(sources)]
    pools, left_out = transfer.equal_pools(papers, size=4, seed=1)
    assert {name: len(pool) for name, pool in pools.items()} == {"x": 4, "y": 4}
    assert left_out == {"z": 2, "none": 1}
    assert transfer.equal_pools(papers, size=4, seed=1)[0] == pools
    assert transfer.equal_pools(papers, size=4, seed=2)[0]["x"] != pools["x"]
    smallest, _ = transfer.equal_pools(papers)
    assert [len(pool) for pool in smallest.values()] == [2, 2, 2]
    results = transfer.across_domains(first_number, pools)
    table = transfer.domain_table({"line": results})
    assert list(table["mean_rank"]) == [1.0] * 4
    assert set(table["domain"]) == {"x", "y"}
    assert set(table["pool"]) == {4}
    with pytest.raises(ValueError, match="no pools of 9 papers by 'source'"):
        transfer.equal_pools(papers, size=9)
    with pytest.raises(ValueError, match="no pools"):
        transfer.equal_pools(papers, key="field")
