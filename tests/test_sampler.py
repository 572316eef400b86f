"""The sampler: what a pair is, how often, in which order, on which rank, and where it continues."""

from collections import Counter
from collections.abc import Hashable
from typing import Any

import pytest
from scipy.stats import chisquare

from semcse.sampler import PairSampler
from semcse.sentences import split_sentences

Batch = list[tuple[str, str, Hashable]]


def paper(number: int, **changes: Any) -> dict[str, Any]:
    """A paper whose every text is unmistakable."""
    record: dict[str, Any] = {
        "corpus_id": number,
        "title": f"Title {number}",
        "abstract": " ".join(f"Sentence {k} of paper {number} says little." for k in range(4)),
        "summaries": [f"summary {k} of paper {number}" for k in range(5)],
    }
    return record | changes


def papers(count: int) -> list[dict[str, Any]]:
    """So many papers."""
    return [paper(number) for number in range(count)]


def kind_of(record: dict[str, Any], text: str) -> str:
    """Which of a paper's texts this is."""
    if text == record["title"]:
        return "title"
    return "summary" if text in record["summaries"] else "sentence"


def pairs_of(sampler: PairSampler, epochs: int) -> Batch:
    """All pairs of so many epochs."""
    pairs = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        pairs += [pair for batch in sampler for pair in batch]
    return pairs


def test_kinds_and_texts_come_as_often_as_asked() -> None:
    """Chi-square, each at the level 0.001 with a fixed seed."""
    records = papers(400)
    pairs = pairs_of(PairSampler(records, seed=4), 25)
    kinds = Counter(kind_of(records[k], positive) for _, positive, k in pairs)  # type: ignore[index]
    observed = [kinds[kind] for kind in ("summary", "title", "sentence")]
    assert chisquare(observed, [5000, 1500, 3500]).pvalue > 0.001
    anchors = Counter(anchor.split()[1] for anchor, _, _ in pairs)
    assert len(anchors) == 5
    assert chisquare(list(anchors.values())).pvalue > 0.001
    couples = Counter((a.split()[1], p.split()[1]) for a, p, _ in pairs if p.startswith("summary"))
    assert len(couples) == 20
    assert chisquare(list(couples.values())).pvalue > 0.001
    sentences = Counter(positive.split()[1] for _, positive, _ in pairs if positive.startswith("Sentence"))
    assert len(sentences) == 4
    assert chisquare(list(sentences.values())).pvalue > 0.001


def test_the_chi_square_can_fail() -> None:
    records = papers(400)
    pairs = pairs_of(PairSampler(records, mix={"summary": 0.55, "title": 0.15, "sentence": 0.30}), 25)
    kinds = Counter(kind_of(records[k], positive) for _, positive, k in pairs)  # type: ignore[index]
    observed = [kinds[kind] for kind in ("summary", "title", "sentence")]
    assert chisquare(observed, [5000, 1500, 3500]).pvalue < 0.001


@pytest.mark.parametrize("count", [32, 33, 34, 63, 64, 65, 100])
def test_every_paper_once_an_epoch(count: int) -> None:
    sampler = PairSampler(papers(count), batch_size=32)
    batches = list(sampler)
    assert len(batches) == len(sampler) == -(-count // 32)
    assert sorted(k for batch in batches for _, _, k in batch) == list(range(count))  # type: ignore[type-var]
    assert all(2 <= len(batch) <= 32 for batch in batches)
    assert all(len(batch) == 32 for batch in batches[:-2])


def test_anchors_are_summaries_of_the_paper_and_differ_from_positives() -> None:
    records = papers(50)
    for anchor, positive, k in pairs_of(PairSampler(records, batch_size=10), 20):
        record = records[k]  # type: ignore[index]
        assert anchor in record["summaries"]
        assert positive != anchor
        assert positive in [record["title"], *record["summaries"], *split_sentences(record["abstract"])]


def test_texts_that_repeat_each_other_are_drawn_again() -> None:
    record = paper(0, title="The same words.", abstract="The same words. Other words.")
    record["summaries"] = ["The same words.", "A summary.", "A summary.", " A summary. "]
    records = [record, paper(1)]
    pairs = [pair for pair in pairs_of(PairSampler(records, batch_size=2), 300) if pair[2] == 0]
    assert all(anchor != positive for anchor, positive, _ in pairs)
    assert {anchor for anchor, _, _ in pairs} == {"The same words.", "A summary."}
    kinds = Counter(positive for _, positive, _ in pairs)
    assert kinds["Other words."] > 20  # as a sentence
    assert kinds["The same words."] > 60  # as title, sentence and other summary


def test_same_seed_and_epoch_same_order() -> None:
    one, other = PairSampler(papers(70), seed=3), PairSampler(papers(70), seed=3)
    one.set_epoch(5)
    list(other)
    other.set_epoch(5)
    assert list(one) == list(other) == list(one)
    first = list(one)
    one.set_epoch(6)
    assert list(one) != first
    assert list(PairSampler(papers(70), seed=4)) != list(PairSampler(papers(70), seed=3))


def test_same_input_gives_the_anchor_back() -> None:
    pairs = pairs_of(PairSampler(papers(32), same_input=True), 3)
    assert all(anchor == positive and anchor.startswith("summary") for anchor, positive, _ in pairs)


def test_crops_need_no_summaries() -> None:
    records = [paper(k, summaries=[]) for k in range(32)]
    pairs = pairs_of(PairSampler(records, anchors="sentence"), 30)
    assert all(anchor.startswith("Sentence") and anchor != positive for anchor, positive, _ in pairs)
    assert Counter(p.startswith("Title") for _, p, _ in pairs)[True] == pytest.approx(0.15 * len(pairs), rel=0.25)


def test_a_positive_may_be_the_paper() -> None:
    records = papers(320)
    pairs = pairs_of(PairSampler(records, mix={"summary": 0.6, "paper": 0.4}, separator="[SEP]"), 10)
    whole = {record["corpus_id"]: f"{record['title']} [SEP] {record['abstract']}" for record in records}
    found = Counter("paper" if positive == whole[k] else kind_of(records[k], positive) for _, positive, k in pairs)  # type: ignore[index]
    assert set(found) == {"paper", "summary"}
    assert chisquare([found["paper"], found["summary"]], [0.4 * len(pairs), 0.6 * len(pairs)]).pvalue > 0.001
    assert all(anchor.startswith("summary") for anchor, _, _ in pairs)


def test_anchors_may_be_summaries_and_sentences() -> None:
    pairs = pairs_of(PairSampler(papers(320), mix={"summary": 1.0}, anchors="both"), 10)
    assert all(anchor != positive for anchor, positive, _ in pairs)
    for side in (0, 1):
        sentences = sum(pair[side].startswith("Sentence") for pair in pairs)  # 4 of a paper's 9 texts
        assert chisquare([sentences, len(pairs) - sentences], [4 / 9 * len(pairs), 5 / 9 * len(pairs)]).pvalue > 0.001


def test_texts_that_are_never_drawn_are_not_kept() -> None:
    records = papers(4)
    own = [text for record in records for text in record["summaries"]]
    assert PairSampler(records, mix={"summary": 1.0}, batch_size=2).texts == own
    titled = PairSampler(records, mix={"summary": 0.5, "title": 0.5}, batch_size=2).texts
    assert sorted(titled) == sorted([*own, *(record["title"] for record in records)])


@pytest.mark.parametrize("weights", [{"summary": 0.5, "title": 0.15, "sentence": 0.35}, {"title": 1.0}])
def test_a_kind_without_weight_never_comes(weights: dict[str, float]) -> None:
    records = papers(640)
    kinds = {kind_of(records[k], positive) for _, positive, k in pairs_of(PairSampler(records, mix=weights), 30)}  # type: ignore[index]
    assert kinds == set(weights)


@pytest.mark.parametrize("count", [64, 65, 67, 100])
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_an_epoch_without_overlap_or_omission(count: int, ranks: int) -> None:
    shards = [list(PairSampler(papers(count), batch_size=12, rank=rank, world_size=ranks)) for rank in range(ranks)]
    whole = list(PairSampler(papers(count), batch_size=12 * ranks)) if count % (12 * ranks) >= 2 * ranks else None
    assert len({len(shard) for shard in shards}) == 1
    merged = [[pair for batch in batches for pair in batch] for batches in zip(*shards, strict=True)]
    assert sorted(k for batch in merged for _, _, k in batch) == list(range(count))  # type: ignore[type-var]
    assert all(len(batch) >= 2 for shard in shards for batch in shard)
    assert whole is None or merged == whole


def test_continues_in_the_middle_of_an_epoch() -> None:
    sampler = PairSampler(papers(100), batch_size=10, seed=1)
    sampler.set_epoch(2)
    batches = []
    state = {}
    for number, batch in enumerate(sampler):
        batches.append(batch)
        if number == 3:
            state = sampler.state_dict()
    other = PairSampler(papers(100), batch_size=10, seed=1)
    other.load_state_dict(state)
    assert list(other) == batches[4:]
    assert other.epoch == 2
    assert list(other) == batches
    finished = sampler.state_dict()
    other.load_state_dict(finished)
    assert list(other) == []


def test_a_state_of_other_pairs_is_refused() -> None:
    state = PairSampler(papers(100), seed=1).state_dict()
    with pytest.raises(ValueError, match="seed 1, this sampler 2"):
        PairSampler(papers(100), seed=2).load_state_dict(state)
    with pytest.raises(ValueError, match="batches 4, this sampler 2"):
        PairSampler(papers(50), seed=1).load_state_dict(state)


@pytest.mark.parametrize(
    ("records", "options", "words"),
    [
        (papers(31), {}, "31 papers are fewer than one batch of 32 pairs; lower training.batch_size to at most 31 or"),
        ([], {}, "0 papers are fewer than one batch of 32 pairs; bring more papers"),
        (papers(32), {"world_size": 2}, "on each of 2 ranks"),
        (papers(4), {"batch_size": 1}, "at least 2"),
        (papers(4), {"batch_size": 2, "rank": 2, "world_size": 2}, "rank 2 of 2"),
        (papers(4), {"batch_size": 2, "anchors": "title"}, "anchors"),
        (papers(4), {"batch_size": 2, "mix": {"summary": 0.5}}, "sum to 1"),
        (papers(4), {"batch_size": 2, "mix": {"summaries": 1.0}}, "summaries"),
        ([paper(7, summaries=["one", "one "]), paper(8)], {"batch_size": 2}, "paper 7 has 1 distinct summary"),
        ([paper(7, summaries=[]), paper(8)], {"batch_size": 2, "same_input": True}, "paper 7 has no summary"),
        ([paper(7, abstract=""), paper(8)], {"batch_size": 2}, "paper 7 .* no sentence"),
        ([paper(7, abstract="One."), paper(8)], {"batch_size": 2, "anchors": "sentence"}, "paper 7 .* sentence"),
        (
            [paper(7, summaries=[], abstract=""), paper(8)],
            {"batch_size": 2, "anchors": "both"},
            "no summary or sentence",
        ),
        ([paper(7), paper(7)], {"batch_size": 2}, "7 occurs twice"),
    ],
)
def test_bad_input_is_named(records: list[dict[str, Any]], options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PairSampler(records, **options)
