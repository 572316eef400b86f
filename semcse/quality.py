"""What summaries are like: length, copying, variety, nearness to the abstract; and summaries made wrong on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from semcse.cleaning import canonical

Encode = Callable[[list[str]], "np.ndarray[Any, Any]"]
"""From N texts to an array (N, D)."""


def summary_measures(summaries: pd.DataFrame, papers: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """`summaries` with `words` and `overlap`: the share of a summary's word pairs that stand in its abstract.

    Words are runs of letters and digits, case ignored. A summary of one word has overlap 1 or 0 by that word.
    """
    abstracts = {paper["corpus_id"]: _grams(paper["abstract"]) for paper in papers}
    overlap = [
        _share(text, abstracts[corpus_id])
        for corpus_id, text in zip(summaries["corpus_id"].tolist(), summaries["text"], strict=True)
    ]
    return summaries.assign(words=[len(text.split()) for text in summaries["text"]], overlap=overlap)


def _share(text: str, abstract: tuple[set[str], set[tuple[str, str]]]) -> float:
    words = canonical(text).split()
    pairs = list(pairwise(words))
    if not pairs:
        return float(bool(words) and words[0] in abstract[0])
    return sum(pair in abstract[1] for pair in pairs) / len(pairs)


def _grams(text: str) -> tuple[set[str], set[tuple[str, str]]]:
    words = canonical(text).split()
    return set(words), set(pairwise(words))


def distinct_ngrams(summaries: pd.DataFrame, n: int = 2) -> pd.Series:
    """Distinct-n of each paper, by corpus_id: different n-grams among all n-grams of its summaries, 0 to 1.

    n-grams do not cross from one summary to the next. NaN for a paper whose summaries are all shorter than n words.
    """
    return (
        summaries.groupby("corpus_id", sort=False)["text"]
        .agg(lambda texts: _distinct(texts, n))
        .rename(f"distinct_{n}")
    )


def _distinct(texts: Iterable[str], n: int) -> float:
    grams = []
    for text in texts:
        words = canonical(text).split()
        grams += [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else float("nan")


def semantic_measures(
    summaries: pd.DataFrame, papers: Iterable[Mapping[str, Any]], encode: Encode
) -> tuple[pd.DataFrame, pd.Series]:
    """`summaries` with `similarity`, the cosine to the abstract; and the `diversity` of each paper by corpus_id.

    Diversity is one minus the mean cosine over all pairs of a paper's summaries; NaN for a paper with one summary.
    encode: for example `SentenceTransformer.encode`.
    """
    wanted = list(dict.fromkeys(summaries["corpus_id"].tolist()))
    abstracts = {paper["corpus_id"]: paper["abstract"] for paper in papers}
    abstract_vectors = dict(zip(wanted, _unit(encode([abstracts[corpus_id] for corpus_id in wanted])), strict=True))
    vectors = _unit(encode(summaries["text"].tolist()))
    against = np.stack([abstract_vectors[corpus_id] for corpus_id in summaries["corpus_id"].tolist()])
    places = summaries.groupby("corpus_id", sort=False).indices
    diversity = pd.Series({corpus_id: _diversity(vectors[places[corpus_id]]) for corpus_id in wanted}, name="diversity")
    return summaries.assign(similarity=(vectors * against).sum(axis=1)), diversity.rename_axis("corpus_id")


def _unit(vectors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    vectors = np.asarray(vectors, dtype=np.float64)
    unit: np.ndarray[Any, Any] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _diversity(vectors: np.ndarray[Any, Any]) -> float:
    """From the length of the sum: |sum of n unit vectors|^2 is n plus twice the sum of the cosines of their pairs."""
    n = len(vectors)
    if n < 2:
        return float("nan")
    return float(1 - ((vectors.sum(axis=0) ** 2).sum() - n) / (n * (n - 1)))


def prompt_report(measures: pd.DataFrame, rejects: pd.DataFrame) -> pd.DataFrame:
    """One row for each prompt: accepted and rejected texts, and the mean of each measure in `measures`.

    measures: from `summary_measures`, and `semantic_measures` if there is an encoder; rejects: from `load_rejects`.
    Columns: summaries, rejected (a share of all texts written), words, overlap, similarity if there, tokens.
    """
    names = [name for name in ("words", "overlap", "similarity", "tokens") if name in measures]
    groups = measures.groupby("prompt", sort=False)
    refused = rejects.groupby("prompt").size().reindex(groups.size().index, fill_value=0)
    report = pd.DataFrame({"summaries": groups.size(), "rejected": refused / (groups.size() + refused)})
    return report.join(groups[names].mean())


def reject_report(rejects: pd.DataFrame) -> pd.DataFrame:
    """How many texts were rejected: one row for each prompt, one column for each reason that occurred."""
    return pd.crosstab(rejects["prompt"], rejects["reject"])


def extremes(measures: pd.DataFrame, by: str, count: int = 3) -> pd.DataFrame:
    """The `count` rows with the lowest and the `count` with the highest value of `by`, lowest first."""
    ordered = measures.sort_values(by, kind="stable")
    return pd.concat([ordered.head(count), ordered.tail(count)]).drop_duplicates(["corpus_id", "prompt", "draw"])


def swap_summaries(summaries: pd.DataFrame, share: float, seed: int = 0) -> pd.DataFrame:
    """`summaries` in which a share of the texts belongs to another paper; the new column `swapped` says which.

    For the paper's open question on errors in summaries (Limitations). Texts change places with those after the same
    prompt, so that style and frequency stay what they were and only the content is wrong. Raises ValueError for a
    share outside 0 to 1, and when a prompt has too few papers for every chosen text to find another paper.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share should lie between 0 and 1, got {share}")
    random = np.random.default_rng(seed)
    texts = summaries["text"].to_numpy(dtype=object, copy=True)
    swapped = np.zeros(len(summaries), dtype=bool)
    for prompt, rows in summaries.groupby("prompt", sort=False).indices.items():
        chosen = random.permutation(rows)[: round(share * len(rows))]
        targets, sources = _exchange(summaries["corpus_id"].to_numpy()[chosen], chosen, str(prompt))
        texts[targets] = summaries["text"].to_numpy()[sources]
        swapped[targets] = True
    return summaries.assign(text=texts, swapped=swapped)


def _exchange(
    ids: np.ndarray[Any, Any], rows: np.ndarray[Any, Any], prompt: str
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Rows, and for each the row of another paper: all rows of a paper lie together and move on by the longest run."""
    codes = pd.factorize(ids)[0]
    ordered = rows[np.argsort(codes, kind="stable")]
    longest = int(np.bincount(codes).max(initial=0))
    if len(rows) < 2 * longest:
        raise ValueError(
            f"prompt {prompt!r}: {len(rows)} texts of too few papers to swap. Take more papers or a larger share."
        )
    return ordered, np.roll(ordered, longest)
