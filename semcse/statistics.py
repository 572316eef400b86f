"""Bootstrap intervals of means and of paired differences."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
DRAWS_AT_ONCE = 4_000_000


def bootstrap_interval(
    values: npt.ArrayLike, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean of `values` (N,), papers drawn with replacement; the same seed, the same bounds.

    The paper gives no intervals; these are ours. Raises ValueError for no values, NaN, or a level outside (0, 1).
    """
    sample = _sample("values", values)
    if not 0 < level < 1:
        raise ValueError(f"expected a level between 0 and 1, got {level}")
    means = _resampled_means(sample, resamples, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_bootstrap(
    first: npt.ArrayLike, second: npt.ArrayLike, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Any]:
    """Difference of the means of two models over the same papers (N,), first minus second.

    `interval` is the percentile interval of the difference, `p` the two-sided bootstrap level at which it leaves
    zero (never below 1 / resamples), `better` the share of papers where the first value is smaller, `equal` where
    both are. Raises ValueError where the two do not pair up.
    """
    ours, theirs = _sample("first", first), _sample("second", second)
    if len(ours) != len(theirs):
        raise ValueError(f"expected values of the same papers, got {len(ours)} and {len(theirs)}")
    difference = ours - theirs
    means = _resampled_means(difference, resamples, seed)
    tail = min(float(np.mean(means <= 0)), float(np.mean(means >= 0)))
    return {
        "difference": float(difference.mean()),
        "interval": list(bootstrap_interval(difference, level, resamples, seed)),
        "p": min(1.0, max(2 * tail, 1 / resamples)),
        "better": float(np.mean(difference < 0)),
        "equal": float(np.mean(difference == 0)),
        "n": len(difference),
    }


def compare_results(
    first: Mapping[str, Any], second: Mapping[str, Any], level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Any]:
    """`paired_bootstrap` of two records of the same benchmark task, matched by corpus_id.

    Ranks (lower is better) or, for clustering, shares of neighbours (then `better` counts papers where the first is
    lower, that is worse). Raises ValueError where the tasks, the papers or the pools of candidates differ.
    """
    for key in ("task", "candidates"):
        if first[key] != second[key]:
            raise ValueError(f"the records differ in {key}: {first[key]} and {second[key]}")
    kind = "shares" if "shares" in first else "ranks"
    ours = dict(zip(first["corpus_ids"], first[kind], strict=True))
    theirs = dict(zip(second["corpus_ids"], second[kind], strict=True))
    if ours.keys() != theirs.keys():
        raise ValueError(f"{len(ours.keys() ^ theirs.keys())} papers are in one of the two records only")
    return paired_bootstrap(list(ours.values()), [theirs[paper] for paper in ours], level, resamples, seed)


def seed_spread(scores: npt.ArrayLike) -> dict[str, float]:
    """Mean, sample standard deviation and count of one score over training seeds (S,); ValueError below two seeds."""
    sample = _sample("scores", scores)
    if len(sample) < 2:
        raise ValueError("a spread needs the scores of at least two seeds")
    return {"mean": float(sample.mean()), "std": float(sample.std(ddof=1)), "seeds": float(len(sample))}


def _sample(name: str, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not len(sample):
        raise ValueError(f"{name}: expected one value a paper, got shape {sample.shape}")
    if not np.isfinite(sample).all():
        raise ValueError(f"{name}: row {np.flatnonzero(~np.isfinite(sample))[0]} is not finite")
    return sample


def _resampled_means(sample: npt.NDArray[np.float64], resamples: int, seed: int) -> npt.NDArray[np.float64]:
    random = np.random.default_rng(seed)
    step = max(1, DRAWS_AT_ONCE // len(sample))
    parts = [min(step, resamples - start) for start in range(0, resamples, step)]
    return np.concatenate([sample[random.integers(len(sample), size=(n, len(sample)))].mean(axis=1) for n in parts])
