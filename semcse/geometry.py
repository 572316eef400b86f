"""How an embedding space fills its dimensions (B.2) and what a linear map after training does to it.

Every function takes a matrix of embeddings (N, D), numpy or torch, computes in float64, works through the
rows in blocks, so that the extra memory is O(D^2) and never O(N^2), and raises a ValueError for anything that
is not a finite matrix.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Pairs = tuple[Floats, Floats]

BLOCK = 2048


def explained_variance(X: Floats, k: int = 50) -> NDArray[np.float64]:
    """Share of the variance explained by each of the first k principal components, after mean-centring (B.2).

    `X` is (N, D); the result is (k,), falling, between 0 and 1. N rows span at most min(N - 1, D) components;
    those beyond explain nothing and are 0, so the result has k entries for every N and D. Raises ValueError
    without variance.
    """
    if k < 1:
        raise ValueError(f"explained_variance needs k >= 1, got {k}")
    X = _matrix(X, rows=2)
    covariance = _covariance(X)[1]
    values = np.linalg.eigvalsh(covariance)[::-1].clip(min=0.0)
    shares = np.zeros(k)
    rank = min(k, len(X) - 1, len(values))
    shares[:rank] = values[:rank] / values.sum()
    return shares


def participation_ratio(X: Floats) -> float:
    """Effective number of dimensions of `X` (N, D): (sum l)^2 / sum l^2 over the variances l of the components.

    1 when all variance lies on one line, D when it is the same in every direction.
    """
    covariance = _covariance(_matrix(X, rows=2))[1]
    return float(np.trace(covariance) ** 2 / np.sum(covariance**2))


def isoscore(X: Floats) -> float:
    """IsoScore (Rudman et al. 2022, Algorithm 1) of `X` (N, D): 0 for a line, 1 for equal variances.

    Needs D >= 2. The algorithm's steps (variances of the principal components, scaled to norm sqrt(D),
    distance from the all-ones vector, isotropy defect, share of dimensions used, rescaling) reduce exactly to
    (P - 1) / (D - 1), with P the participation ratio; the tests hold this equal to the steps as published.
    """
    X = _matrix(X, rows=2)
    dimensions = X.shape[1]
    if dimensions < 2:
        raise ValueError("isoscore needs at least 2 dimensions, got 1")
    return (participation_ratio(X) - 1.0) / float(dimensions - 1)


def mean_cosine(X: Floats) -> float:
    """Mean cosine over all pairs of different rows of `X` (N, D), in O(N D); a zero row is an error.

    Near 0 for directions spread evenly, near 1 for the narrow cone that B.2 calls anisotropy.
    """
    X = _matrix(X, rows=2)
    total = np.zeros(X.shape[1])
    for block in _unit_blocks(X):
        total += block.sum(axis=0)
    n = len(X)
    return float((total @ total - n) / (n * (n - 1)))


def alignment(a: Floats, b: Floats, alpha: float = 2.0, normalize: bool = True) -> float:
    """Mean of |a_i - b_i|^alpha over positive pairs; smaller is better (Wang & Isola 2020, alpha = 2).

    `a` and `b` are (N, D), row i of one the positive of row i of the other. Rows are put on the unit sphere
    first, where the measure is defined; `normalize=False` leaves them in place (unconstrained Euclidean
    space, section 3.1).
    """
    a, b = _matrix(a), _matrix(b)
    if a.shape != b.shape:
        raise ValueError(f"alignment needs pairs, two matrices of one shape; got {a.shape} and {b.shape}")
    total = 0.0
    for x, y in zip(_blocks(a, normalize), _blocks(b, normalize), strict=True):
        total += float((np.linalg.norm(x - y, axis=1) ** alpha).sum())
    return total / len(a)


def uniformity(X: Floats, t: float = 2.0, normalize: bool = True) -> float:
    """Log of the mean of exp(-t |x - y|^2) over pairs of rows; smaller is better (Wang & Isola 2020, t = 2).

    `X` is (N, D), rows put on the unit sphere first (see `alignment`). 0 for a collapsed space, down to about
    -2t for points spread evenly over a sphere of many dimensions. Every pair counts: time is O(N^2 D), memory
    is not.
    """
    X = _matrix(X, rows=2)
    centre = np.zeros(X.shape[1]) if normalize else _mean(X)
    peak, total = -np.inf, 0.0
    for exponents in _pair_exponents(X, t, normalize, centre):
        if exponents.size:
            new_peak = max(peak, float(exponents.max()))
            total = total * np.exp(peak - new_peak) + float(np.exp(exponents - new_peak).sum())
            peak = new_peak
    return float(peak + np.log(total) - np.log(len(X) * (len(X) - 1) / 2))


@dataclass(frozen=True)
class LinearMap:
    """Subtracts `mean` (D,), then multiplies by `matrix` (D, K): (N, D) in, (N, K) out, in the input's type."""

    mean: NDArray[np.float64]
    matrix: NDArray[np.float64]

    def __call__(self, X: Floats) -> Floats:
        X = _matrix(X)
        if X.shape[1] != len(self.mean):
            raise ValueError(f"the map was fitted on {len(self.mean)} dimensions, the vectors have {X.shape[1]}")
        out = np.empty((len(X), self.matrix.shape[1]), dtype=np.result_type(X.dtype, np.float32))
        for start in range(0, len(X), BLOCK):
            out[start : start + BLOCK] = (X[start : start + BLOCK] - self.mean) @ self.matrix
        return out


def centring(X: Floats) -> LinearMap:
    """The map that subtracts the mean of `X` (N, D)."""
    mean = _mean(_matrix(X))
    return LinearMap(mean, np.eye(len(mean)))


def whitening(X: Floats, k: int | None = None, tolerance: float = 1e-10) -> LinearMap:
    """The map that gives the first `k` principal components of `X` (N, D) unit variance and no correlation.

    Components whose variance is below `tolerance` times the largest are left out (they would blow up noise),
    so the output may have fewer than `k` dimensions. `k=None` takes all that are left.
    """
    X = _matrix(X, rows=2)
    mean, values, vectors = _components(X)
    keep = int((values > tolerance * values[0]).sum())
    if k is not None and not 1 <= k <= X.shape[1]:
        raise ValueError(f"whitening keeps between 1 and {X.shape[1]} components, got k={k}")
    keep = min(keep, k or keep)
    return LinearMap(mean, vectors[:, :keep] / np.sqrt(values[:keep]))


def partial_whitening(X: Floats, power: float = 0.5, floor: float = 0.01) -> LinearMap:
    """The map that evens out the variances l of the principal components of `X` (N, D), whose axes and mean it keeps.

    After centring each component is divided by (l + `floor` * l_1)^(`power` / 2), and all by one factor that leaves the
    total variance as it was: `power` 0 only centres, 1 is whitening but for components much below `floor` times the
    largest variance l_1, which stay small. Needs 0 <= power <= 1 and floor > 0. Ours, after Su et al. (2021), where
    power is 1 and floor 0.
    """
    X = _matrix(X, rows=2)
    if not 0 <= power <= 1 or floor <= 0:
        raise ValueError(f"partial_whitening needs 0 <= power <= 1 and floor > 0, got {power} and {floor}")
    mean, values, vectors = _components(X)
    scales = (values / values[0] + floor) ** (-power / 2)
    scales *= np.sqrt(values.sum() / (values * scales**2).sum())
    return LinearMap(mean, (vectors * scales) @ vectors.T)


def all_but_the_top(X: Floats, top: int | None = None) -> LinearMap:
    """The map that removes mean and `top` first components of `X` (N, D) (Mu & Viswanath 2018).

    `top=None` takes that paper's rule of thumb, D / 100 (at least one). The output keeps D dimensions.
    """
    X = _matrix(X, rows=2)
    mean, _, vectors = _components(X)
    top = max(1, round(X.shape[1] / 100)) if top is None else top
    if not 0 <= top < X.shape[1]:
        raise ValueError(f"all_but_the_top removes between 0 and {X.shape[1] - 1} components, got {top}")
    leading = vectors[:, :top]
    return LinearMap(mean, np.eye(X.shape[1]) - leading @ leading.T)


def geometry_table(embeddings: Mapping[str, Floats], pairs: Mapping[str, Pairs] | None = None) -> pd.DataFrame:
    """One row a model: dimensions, shares of the first and the first ten components, this module's measures.

    `embeddings` maps model to (N, D); `pairs` maps model to two matrices of positive pairs, for `alignment`.
    A model without pairs has NaN there.
    """
    rows = {model: _measures(X, (pairs or {}).get(model)) for model, X in embeddings.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def map_effects(
    fit_on: Floats,
    evaluate: Callable[[Callable[[Floats], Floats]], Mapping[str, float]],
    tops: Sequence[int] = (1, 3, 10),
    whitened: Sequence[int | None] = (None,),
) -> pd.DataFrame:
    """Scores after linear maps of the embeddings, a row a map: as they are, centred, without top components, whitened.

    `evaluate` gets a function from vectors (N, D) to vectors and returns scores by name; it applies the
    function to whatever its tasks embed. The maps are fitted on `fit_on` (M, D), which should not be the
    benchmark's papers: a map fitted on what it is tested on has seen the test. `tops` are numbers of
    components to remove, `whitened` numbers of components to keep (None: all with variance), beside
    `partial_whitening`, which keeps all.
    """
    maps: dict[str, Callable[[Floats], Floats]] = {"as they are": lambda X: X, "centred": centring(fit_on)}
    maps |= {f"without the first {top}": all_but_the_top(fit_on, top) for top in tops}
    maps["whitened half-way"] = partial_whitening(fit_on)
    maps |= {"whitened" if k is None else f"whitened, first {k}": whitening(fit_on, k) for k in whitened}
    rows = {name: dict(evaluate(linear_map)) for name, linear_map in maps.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("embeddings")


def _measures(X: Floats, pair: Pairs | None) -> dict[str, float]:
    X = _matrix(X, rows=2)
    shares = explained_variance(X, k=10)
    return {
        "dimensions": X.shape[1],
        "first_component": float(shares[0]),
        "first_ten": float(shares.sum()),
        "participation_ratio": participation_ratio(X),
        "isoscore": isoscore(X),
        "mean_cosine": mean_cosine(X),
        "alignment": alignment(*pair) if pair is not None else float("nan"),
        "uniformity": uniformity(X),
    }


def _matrix(vectors: Any, rows: int = 1) -> Floats:
    """`vectors` (an array, a tensor, or nested lists) as an array, if it is a finite matrix of `rows` rows or more."""
    X = vectors.detach().cpu().float().numpy() if hasattr(vectors, "detach") else np.asarray(vectors)
    if X.ndim != 2 or X.dtype.kind not in "fiu":
        raise ValueError(f"expected a matrix of numbers (N, D), got {X.dtype} of shape {X.shape}")
    if len(X) < rows or X.shape[1] < 1:
        raise ValueError(f"expected at least {rows} rows and 1 column, got shape {X.shape}")
    for start in range(0, len(X), BLOCK):
        finite = np.isfinite(X[start : start + BLOCK]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise ValueError(f"row {row} of {len(X)} holds NaN or infinite values; embed that text again")
    return np.asarray(X)


def _blocks(X: Floats, normalize: bool) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(X), BLOCK):
        block = X[start : start + BLOCK].astype(np.float64)
        yield _unit(block, start) if normalize else block


def _unit_blocks(X: Floats) -> Iterator[NDArray[np.float64]]:
    return _blocks(X, normalize=True)


def _unit(block: NDArray[np.float64], start: int) -> NDArray[np.float64]:
    # Scaled by the largest entry first: squares of entries below 1e-154 would vanish.
    largest = np.abs(block).max(axis=1, keepdims=True)
    if not largest.all():
        row = start + int(np.argmin(largest))
        raise ValueError(f"row {row} is the zero vector, which has no direction; embed that text again")
    scaled = block / largest
    return np.asarray(scaled / np.linalg.norm(scaled, axis=1, keepdims=True))


def _mean(X: Floats) -> NDArray[np.float64]:
    return np.asarray(sum(block.sum(axis=0) for block in _blocks(X, normalize=False)) / len(X))


def _covariance(X: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (D,) and covariance (D, D), the latter up to a factor."""
    return _scaled_covariance(X)[:2]


def _scaled_covariance(X: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Mean (D,), covariance (D, D) of the rows divided by a length, and that length (so nothing overflows)."""
    mean = _mean(X)
    # Rounding leaves a trace of "variance" in equal rows; centred values this small relative to the data are
    # none.
    spread = max(float(np.abs(block - mean).max()) for block in _blocks(X, normalize=False))
    size = max(float(np.abs(block).max()) for block in _blocks(X, normalize=False))
    if spread <= 1e-13 * size:
        raise ValueError(f"all {len(X)} rows are equal: there is no variance to explain (a collapsed model?)")
    covariance = np.zeros((len(mean), len(mean)))
    for block in _blocks(X, normalize=False):
        centred = (block - mean) / spread
        covariance += centred.T @ centred
    return mean, covariance / (len(X) - 1), spread


def _components(X: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean (D,), falling variances (D,), and principal directions as columns (D, D) with a fixed sign."""
    mean, covariance, spread = _scaled_covariance(X)
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1].clip(min=0.0), vectors[:, ::-1]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))])
    return mean, values * spread**2, vectors * signs


def _pair_exponents(X: Floats, t: float, normalize: bool, centre: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """-t |x - y|^2 for every pair of rows, each pair once, block of rows by block of rows."""
    for i, rows in enumerate(_blocks(X, normalize)):
        rows = rows - centre
        for j, others in enumerate(_blocks(X[: (i + 1) * BLOCK], normalize)):
            others = others - centre
            squared = (rows**2).sum(1)[:, None] + (others**2).sum(1) - 2 * rows @ others.T
            squared = squared.clip(min=0.0)
            yield -t * (squared[np.tril_indices(len(rows), -1)] if i == j else squared.ravel())
