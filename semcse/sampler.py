"""Pairs for training: an anchor and a positive of every paper once an epoch (section 4.2)."""

import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from semcse.papers import paper_text
from semcse.sentences import split_sentences

KINDS = ("summary", "title", "sentence", "paper")
ANCHORS = {"summary": "summary", "sentence": "sentence", "both": "summary or sentence"}
"""What can be an anchor, and what a paper without one lacks."""
MIX = {"summary": 0.5, "title": 0.15, "sentence": 0.35}
Indices = NDArray[np.int64]
Record = Mapping[str, Any]
Pair = tuple[str, str, Hashable]


class Spans(NamedTuple):
    """For each paper the rows of the text table that hold one kind of text: start (N,) and number (N,)."""

    start: Indices
    number: Indices

    def pick(self, papers: Indices, share: NDArray[np.float64]) -> Indices:
        """One text of each paper, chosen by a number in [0, 1)."""
        return self.start[papers] + (share * self.number[papers]).astype(np.int64)


class PairSampler:
    """Batches of (anchor, positive, corpus_id); iterating once is one epoch.

    Every paper occurs once an epoch, hence at most once in a batch. Batches are full but for the last, which takes what
    remains; where that would be fewer than two pairs a rank, the batch before gives up some of its own. The order
    and the texts drawn depend on (seed, epoch) alone, so ranks agree without talking to each other: rank r of w takes
    the r-th part of each batch of `batch_size * world_size` pairs.

    The anchor is one of the paper's summaries; the positive another summary, the title, a sentence of the abstract, or
    the paper (title, separator, abstract), in the proportions of `mix`. Should a positive read exactly as the anchor,
    the pair is drawn again among the paper's other texts of these kinds. Under `same_input` the positive is the anchor
    itself.

    Args:
        records: mappings with corpus_id, title, abstract, summaries (a list of strings).
        mix: probability of each kind of positive; they sum to 1.
        batch_size: pairs in a batch, on each rank.
        seed: of all draws.
        same_input: anchor and positive are the same text (Table 3).
        anchors: "summary"; "sentence" for sentences of the abstract in place of all summaries, a control that needs no
            language model; "both" for sentences among the summaries.
        separator: what stands between title and abstract of a paper; the tokenizer's, as in the benchmark.
        rank, world_size: the share of this process.
    """

    def __init__(
        self,
        records: Sequence[Record],
        mix: Mapping[str, float] = MIX,
        batch_size: int = 32,
        seed: int = 0,
        same_input: bool = False,
        *,
        anchors: str = "summary",
        separator: str = "",
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        _check_mix(mix)
        _check_sizes(len(records), batch_size, rank, world_size)
        if anchors not in ANCHORS:
            raise ValueError(f"anchors must be one of {', '.join(ANCHORS)}, got {anchors!r}")
        self.batch_size = batch_size
        self.seed = seed
        self.same_input = same_input
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.ids: list[Hashable] = [record["corpus_id"] for record in records]
        _check_unique(self.ids)
        self._weights = np.array([mix.get(kind, 0.0) for kind in KINDS])
        drawn = {kind for kind in KINDS if mix.get(kind)}
        self.texts, self._spans = _text_table(records, anchors, separator, drawn)
        self._check_papers(anchors)
        self._resume = 0
        self._position = 0

    def __len__(self) -> int:
        """Batches in an epoch, on this and on every rank."""
        return len(self._cuts())

    def __iter__(self) -> Iterator[list[Pair]]:
        for anchors, positives, papers in self.indices():
            yield [
                (self.texts[a], self.texts[p], self.ids[k]) for a, p, k in zip(anchors, positives, papers, strict=True)
            ]

    def indices(self) -> Iterator[tuple[Indices, Indices, Indices]]:
        """The same batches as rows of `texts` for anchors and positives, and rows of `ids`, each (B,)."""
        start, self._resume = self._resume, 0
        order, anchors, positives = self.draw()
        for number, (low, high) in enumerate(self._cuts()):
            if number < start:
                continue
            self._position = number + 1
            edges = [low + (high - low) * rank // self.world_size for rank in (self.rank, self.rank + 1)]
            share = slice(*edges)
            yield anchors[share], positives[share], order[share]

    def draw(self) -> tuple[Indices, Indices, Indices]:
        """The whole epoch on all ranks: papers in their order, with the text rows of anchors and positives."""
        generator = np.random.default_rng([self.seed, self.epoch])
        papers = generator.permutation(len(self.ids))
        shares = generator.random((3, len(papers)))
        anchors = self._spans["summary"].pick(papers, shares[0])
        if self.same_input:
            return papers, anchors, anchors
        edges = np.cumsum(self._weights)[: np.flatnonzero(self._weights)[-1]]
        kinds = np.searchsorted(edges, shares[1], side="right")
        positives = self._other_summary(papers, anchors, shares[2])
        for number, kind in enumerate(KINDS[1:], start=1):
            chosen = np.flatnonzero(kinds == number)
            positives[chosen] = self._spans[kind].pick(papers[chosen], shares[2][chosen])
        self._redraw_equal(papers, kinds, anchors, positives, shares[2])
        return papers, anchors, positives

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives."""
        self.epoch = epoch
        self._resume = self._position = 0

    def state_dict(self) -> dict[str, int]:
        """Where an iteration stands: the epoch, and how many of its batches have been given."""
        return {"seed": self.seed, "epoch": self.epoch, "batch": self._position, "batches": len(self)}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue from `state`: the next iteration gives the rest of that epoch.

        Raises ValueError when the state was taken with another seed or another number of batches.
        """
        for key, here in (("seed", self.seed), ("batches", len(self))):
            if state[key] != here:
                raise ValueError(
                    f"the sampler's state has {key} {state[key]}, this sampler {here}: the papers, the batch size or "
                    "the seed have changed; start afresh"
                )
        self.epoch = state["epoch"]
        self._resume = self._position = state["batch"]

    def _cuts(self) -> list[tuple[int, int]]:
        size = self.batch_size * self.world_size
        edges = [*range(0, len(self.ids), size), len(self.ids)]
        least = 2 * self.world_size
        if edges[-1] - edges[-2] < least and len(edges) > 2:
            edges[-2] = edges[-1] - least
        return list(itertools.pairwise(edges))

    def _other_summary(self, papers: Indices, anchors: Indices, shares: NDArray[np.float64]) -> Indices:
        start, count = (rows[papers] for rows in self._spans["summary"])
        step = 1 + (shares * np.maximum(count - 1, 1)).astype(np.int64)
        return start + (anchors - start + step) % count

    def _redraw_equal(
        self, papers: Indices, kinds: Indices, anchors: Indices, positives: Indices, shares: NDArray[np.float64]
    ) -> None:
        """Replace pairs of identical texts in place by a pair of the same kind that differs."""
        for row in np.flatnonzero(kinds > 0):
            if self.texts[anchors[row]] == self.texts[positives[row]]:
                options = self._distinct_pairs(int(papers[row]), KINDS[kinds[row]])
                anchors[row], positives[row] = options[int(shares[row] * len(options))]

    def _distinct_pairs(self, paper: int, kind: str) -> list[tuple[int, int]]:
        """All (anchor, positive) rows of a paper with that kind of positive and different texts."""
        anchors, others = self._rows(paper, "summary"), self._rows(paper, kind)
        return [(a, b) for a in anchors for b in others if self.texts[a] != self.texts[b]]

    def _can_give(self, paper: int, kind: str) -> bool:
        """Whether some anchor differs from some positive; texts of one kind are distinct, so counting mostly tells."""
        anchors, others = len(self._rows(paper, "summary")), len(self._rows(paper, kind))
        return anchors * others > min(anchors, others) or bool(self._distinct_pairs(paper, kind))

    def _rows(self, paper: int, kind: str) -> range:
        span = self._spans[kind]
        return range(int(span.start[paper]), int(span.start[paper] + span.number[paper]))

    def _check_papers(self, anchors: str) -> None:
        """Raise unless each paper can give an anchor and every kind of positive that occurs."""
        kinds = [] if self.same_input else [kind for kind, w in zip(KINDS, self._weights, strict=True) if w > 0]
        for paper, corpus_id in enumerate(self.ids):
            own = len(self._rows(paper, "summary"))
            if own == 0:
                raise ValueError(f"paper {corpus_id!r} has no {ANCHORS[anchors]} to be an anchor; leave it out")
            for kind in kinds:
                if not self._can_give(paper, kind):
                    raise ValueError(
                        f"paper {corpus_id!r} has {own} distinct {ANCHORS[anchors]}{'' if own == 1 else 's'} and "
                        f"no {kind} that differs from its anchor; leave the paper out or set mix[{kind!r}] to 0"
                    )


def _text_table(
    records: Sequence[Record], anchors: str, separator: str, drawn: Set[str]
) -> tuple[list[str], dict[str, Spans]]:
    """All texts one after the other, and which rows of them are whose; texts of one paper and kind are distinct.

    Summaries, which are the anchors, and of the other kinds those that are drawn, since every text is tokenised.
    """
    texts: list[str] = []
    rows: dict[str, list[tuple[int, int]]] = {kind: [] for kind in KINDS}
    for record in records:
        sentences = split_sentences(record["abstract"])
        summaries = [] if anchors == "sentence" else record.get("summaries") or []
        own = {
            "summary": summaries if anchors == "summary" else [*summaries, *sentences],
            "title": [record["title"]],
            "sentence": sentences,
            "paper": [paper_text(record, separator)],
        }
        for kind, items in own.items():
            distinct = _distinct(items) if kind in {"summary", *drawn} else []
            rows[kind].append((len(texts), len(distinct)))
            texts.extend(distinct)
    spans = {kind: Spans(*np.array(pairs, dtype=np.int64).T) for kind, pairs in rows.items()}
    return texts, spans


def _distinct(texts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(stripped for text in texts if (stripped := text.strip())))


def _check_mix(mix: Mapping[str, float]) -> None:
    unknown = sorted(set(mix) - set(KINDS))
    if unknown:
        raise ValueError(f"mix knows {', '.join(KINDS)}, got {', '.join(unknown)}")
    if any(not 0 <= share <= 1 for share in mix.values()) or abs(sum(mix.values()) - 1) > 1e-6:
        raise ValueError(f"the shares in mix must lie in [0, 1] and sum to 1, got {dict(mix)}")


def _check_sizes(papers: int, batch_size: int, rank: int, world_size: int) -> None:
    if batch_size < 2:
        raise ValueError(f"batch_size must be at least 2, for a pair needs a negative; got {batch_size}")
    if not 0 <= rank < world_size:
        raise ValueError(f"rank must be in 0..world_size - 1, got rank {rank} of {world_size}")
    if papers < batch_size * world_size:
        across = f" on each of {world_size} ranks" if world_size > 1 else ""
        most = papers // world_size
        lower = f"lower training.batch_size to at most {most} or " if most > 1 else ""
        raise ValueError(
            f"{papers} papers are fewer than one batch of {batch_size} pairs{across}; {lower}bring more papers "
            "(those without two different summaries do not count: more prompts or draws give them)"
        )


def _check_unique(ids: Sequence[Hashable]) -> None:
    seen: set[Hashable] = set()
    for corpus_id in ids:
        if corpus_id in seen:
            raise ValueError(f"corpus_id {corpus_id!r} occurs twice; training needs each paper once")
        seen.add(corpus_id)
