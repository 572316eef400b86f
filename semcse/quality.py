"""What summaries are like: length, copying, variety, nearness to the abstract, and what was rejected."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from semcse.cleaning import canonical
from semcse.files import atomic_path
from semcse.readers import DataError

Encode = Callable[[list[str]], "np.ndarray[Any, Any]"]
"""From N texts to an array (N, D)."""
Gram = tuple[str, ...]

ORDERS = (1, 2, 3, 4)
"""n of the n-gram precisions; of the distinct-n, all but the last."""
ALL = "all prompts"
"""Takes the place of a prompt's name where all summaries of a paper are meant."""
ACCEPTED = "accepted"


@dataclass(frozen=True)
class Quality:
    """Measures of a sample of papers, and the outcomes of all texts written.

    summaries: one row each, with what `summary_measures` and `similarities` add, and `title`.
    variety: from `variety`. outcomes: prompt, outcome ("accepted" or a reject reason), texts (how many).
    """

    summaries: pd.DataFrame
    variety: pd.DataFrame
    outcomes: pd.DataFrame

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write each table to `<folder>/<its name>.parquet`."""
        for field in fields(self):
            with atomic_path(Path(folder) / f"{field.name}.parquet") as temporary:
                getattr(self, field.name).to_parquet(temporary)


def load_quality(folder: str | os.PathLike[str]) -> Quality:
    """What `Quality.save` wrote."""
    paths = {field.name: Path(folder) / f"{field.name}.parquet" for field in fields(Quality)}
    if missing := [path for path in paths.values() if not path.is_file()]:
        raise DataError(f"{missing[0]}: no such file. Run notebook 02 (semcse run SPEC --only 02) first.")
    return Quality(**{name: pd.read_parquet(path) for name, path in paths.items()})


def assess(
    summaries: pd.DataFrame,
    rejects: pd.DataFrame,
    papers: Sequence[Mapping[str, Any]],
    encode: Encode | None = None,
    *,
    count: int = 60,
    seed: int = 0,
) -> Quality:
    """The measures of the summaries of `count` papers drawn by `seed`, without similarity when there is no encoder.

    summaries, rejects: from `load_summaries` and `load_rejects`. encode: for example `SentenceTransformer.encode`.
    """
    written = pd.unique(summaries["corpus_id"])
    drawn = np.random.default_rng(seed).permutation(len(written))[:count]
    wanted = set(written[np.sort(drawn)].tolist())
    sample = summaries[summaries["corpus_id"].isin(wanted)].reset_index(drop=True)
    known = [paper for paper in papers if paper["corpus_id"] in wanted]
    titles = {paper["corpus_id"]: paper["title"] for paper in known}
    measures = summary_measures(sample, known).assign(title=sample["corpus_id"].map(titles))
    if encode is None:
        return Quality(measures, variety(sample), outcome_counts(summaries, rejects))
    vectors = unit_vectors(encode, sample["text"].tolist())
    measures = measures.assign(similarity=similarities(sample, known, vectors, encode))
    return Quality(measures, variety(sample, vectors), outcome_counts(summaries, rejects))


def summary_measures(summaries: pd.DataFrame, papers: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """`summaries` with `words`, `precision_1` to `precision_4`, and `overlap`.

    precision_n: the share of a summary's n-grams that stand in its abstract, NaN for a summary of fewer than n words.
    overlap: precision_2, or for a summary of one word precision_1. Words of an n-gram are runs of letters and digits,
    case ignored; `words` are separated by white space.
    """
    abstracts = {paper["corpus_id"]: _gram_sets(paper["abstract"]) for paper in papers}
    shares = pd.DataFrame(
        [
            [_share(text, abstracts[corpus_id][n - 1], n) for n in ORDERS]
            for corpus_id, text in zip(summaries["corpus_id"].tolist(), summaries["text"], strict=True)
        ],
        columns=[f"precision_{n}" for n in ORDERS],
        index=summaries.index,
    )
    words = [len(text.split()) for text in summaries["text"]]
    overlap = shares["precision_2"].fillna(shares["precision_1"])
    return pd.concat([summaries.assign(words=words), shares.assign(overlap=overlap)], axis=1)


def _grams(text: str, n: int) -> list[Gram]:
    words = canonical(text).split()
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]


def _gram_sets(text: str) -> list[set[Gram]]:
    return [set(_grams(text, n)) for n in ORDERS]


def _share(text: str, known: set[Gram], n: int) -> float:
    grams = _grams(text, n)
    return sum(gram in known for gram in grams) / len(grams) if grams else float("nan")


def unit_vectors(encode: Encode, texts: list[str]) -> np.ndarray[Any, Any]:
    """Embeddings of the texts, (N, D) float64, each of length one."""
    vectors = np.asarray(encode(texts), dtype=np.float64)
    unit: np.ndarray[Any, Any] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def similarities(
    summaries: pd.DataFrame, papers: Iterable[Mapping[str, Any]], vectors: np.ndarray[Any, Any], encode: Encode
) -> np.ndarray[Any, Any]:
    """Cosine (N,) of each summary, whose unit vectors are `vectors` (N, D), to its abstract."""
    codes, wanted = pd.factorize(summaries["corpus_id"])
    abstracts = {paper["corpus_id"]: paper["abstract"] for paper in papers}
    against = unit_vectors(encode, [abstracts[corpus_id] for corpus_id in wanted.tolist()])
    cosine: np.ndarray[Any, Any] = (vectors * against[codes]).sum(axis=1)
    return cosine


def variety(summaries: pd.DataFrame, vectors: np.ndarray[Any, Any] | None = None) -> pd.DataFrame:
    """How different the summaries of a paper are: all of them, and those after each prompt that has several.

    Columns: corpus_id, prompt (ALL for all of them), texts (how many), distinct_1 to distinct_3 (different n-grams
    among all n-grams, 0 to 1; they do not cross from one summary to the next), and with unit `vectors` (N, D)
    diversity (one minus the mean cosine over all pairs). NaN where there are no n-grams or no pairs.
    """
    ids, texts = summaries["corpus_id"].to_numpy(), summaries["text"].to_numpy()
    places: dict[tuple[Any, str], list[int]] = {}
    for place, (corpus_id, prompt) in enumerate(zip(ids.tolist(), summaries["prompt"], strict=True)):
        for key in (ALL, prompt):
            places.setdefault((corpus_id, key), []).append(place)
    rows = [
        {"corpus_id": corpus_id, "prompt": prompt, "texts": len(chosen)}
        | {f"distinct_{n}": _distinct(texts[chosen], n) for n in ORDERS[:-1]}
        | ({} if vectors is None else {"diversity": _diversity(vectors[chosen])})
        for (corpus_id, prompt), chosen in places.items()
        if prompt == ALL or len(chosen) > 1
    ]
    return pd.DataFrame(rows)


def _distinct(texts: Iterable[str], n: int) -> float:
    grams = [gram for text in texts for gram in _grams(text, n)]
    return len(set(grams)) / len(grams) if grams else float("nan")


def _diversity(vectors: np.ndarray[Any, Any]) -> float:
    """From the length of the sum: |sum of n unit vectors|^2 is n plus twice the sum of the cosines of their pairs."""
    n = len(vectors)
    if n < 2:
        return float("nan")
    return float(1 - ((vectors.sum(axis=0) ** 2).sum() - n) / (n * (n - 1)))


def outcome_counts(summaries: pd.DataFrame, rejects: pd.DataFrame) -> pd.DataFrame:
    """How many texts were accepted and how many rejected for each reason: prompt, outcome, texts."""
    prompts = [*dict.fromkeys([*summaries["prompt"], *rejects["prompt"]])]
    accepted = summaries.assign(outcome=ACCEPTED)[["prompt", "outcome"]]
    outcomes = pd.concat([accepted, rejects[["prompt", "reject"]].rename(columns={"reject": "outcome"})])
    counts = pd.crosstab(outcomes["prompt"], outcomes["outcome"]).reindex(prompts)
    rows = [
        (prompt, outcome, int(number))
        for prompt, row in zip(counts.index, counts.to_numpy(), strict=True)
        for outcome, number in zip(counts.columns, row, strict=True)
    ]
    return pd.DataFrame(rows, columns=["prompt", "outcome", "texts"])


def prompt_report(quality: Quality) -> pd.DataFrame:
    """One row for each prompt: how many summaries there are, and means of the measures.

    Columns: summaries, rejected (a share of all texts written), words, tokens, overlap; similarity if there was an
    encoder; distinct_2 and diversity among a paper's summaries after this prompt, if there are several.
    """
    counts = quality.outcomes.pivot(index="prompt", columns="outcome", values="texts")
    names = [name for name in ("words", "tokens", "overlap", "similarity") if name in quality.summaries]
    measures = quality.summaries.groupby("prompt")[names].mean()
    report = pd.DataFrame({"summaries": counts[ACCEPTED], "rejected": 1 - counts[ACCEPTED] / counts.sum(axis=1)})
    several = quality.variety[quality.variety["prompt"] != ALL]
    kinds = [name for name in ("distinct_2", "diversity") if name in several and len(several)]
    report = report.join(measures).join(several.groupby("prompt")[kinds].mean())
    return report.reindex(list(dict.fromkeys(quality.outcomes["prompt"])))


def reject_report(outcomes: pd.DataFrame) -> pd.DataFrame:
    """How many texts were rejected: one row for each prompt, one column for each reason that occurred."""
    rejected = outcomes[outcomes["outcome"] != ACCEPTED]
    return rejected.pivot(index="prompt", columns="outcome", values="texts")


def examples(measures: pd.DataFrame, count: int = 3) -> pd.DataFrame:
    """The best and the worst summaries: the abstract's meaning in other words, and neither.

    Ordered by `worth`, similarity times (1 - overlap), best first; a measure to choose examples by, ours. Without
    similarity, `worth` is 1 - overlap.
    """
    similarity = measures.get("similarity", 1.0)
    ordered = measures.assign(worth=similarity * (1 - measures["overlap"])).sort_values(
        "worth", kind="stable", ascending=False
    )
    return pd.concat([ordered.head(count), ordered.tail(count)]).drop_duplicates(["corpus_id", "prompt", "draw"])
