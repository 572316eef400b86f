"""The linear models of the official protocol: dual coordinate descent without intercept (protocol section 4.1).

They follow sklearn-contrib-lightning, not scikit-learn: no intercept, early stopping at a loose tolerance, and a
regressor whose dual variables belong to positions instead of samples. All of this is part of the published numbers, so
it is kept. Features are read in their own precision and every product is computed in float64; float16 is widened first.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[Any]

TOLERANCE = 1e-3
_SMALL = 1e-12
_LOSSES = ("hinge", "squared_hinge")


class LinearSVC:
    """Linear classifier, one-vs-rest, loss `hinge` or `squared_hinge`.

    After `fit`: `classes_` (K,) sorted and `coef_` (1, D) for two classes, (K, D) for more; with a single class
    `coef_` is (1, D) zeros and that class is predicted.
    """

    def __init__(self, C: float = 1.0, loss: str = "squared_hinge", seed: int = 42, max_iter: int = 1000) -> None:
        if loss not in _LOSSES:
            raise ValueError(f"loss must be one of {_LOSSES}, got {loss!r}")
        self.C = _positive(C)
        self.loss = loss
        self.seed = seed
        self.max_iter = max_iter

    def fit(
        self, X: ArrayLike, y: ArrayLike, rows: NDArray[np.int64] | None = None, gram: Floats | None = None
    ) -> "LinearSVC":
        """Fit on X (N, D) and integer classes y (N,), or on the given rows of both (no copy of X is made).

        With `gram`, the products X Xᵀ (N, N) in float64, a step costs as much as there are rows instead of 2 D: several
        times faster for fewer rows than dimensions. The path is the same, sums are rounded in another order.
        """
        features, picked = _features(X, rows)
        products = None if gram is None else np.ascontiguousarray(gram[np.ix_(picked, picked)])
        labels = np.asarray(y)[picked]
        self.classes_ = np.unique(labels)
        if len(self.classes_) == 1:
            self.coef_ = np.zeros((1, features.shape[1]))
            return self
        positive = self.classes_[1:] if len(self.classes_) == 2 else self.classes_
        key, position = _generator(self.seed)
        self.coef_ = np.empty((len(positive), features.shape[1]))
        for row, label in enumerate(positive):
            sign = np.where(labels == label, 1.0, -1.0)
            if products is None:
                self.coef_[row] = self._descend(features, picked, sign, key, position, False)[0]
            else:
                alpha = self._descend(products, np.arange(len(picked)), sign, key, position, True)[1]
                self.coef_[row] = (alpha * sign) @ features[picked].astype(np.float64)
        return self

    def _descend(
        self,
        features: Floats,
        rows: NDArray[np.int64],
        sign: Floats,
        key: NDArray[np.uint32],
        position: Floats,
        products: bool,
    ) -> tuple[Floats, Floats]:
        """Weights and dual variables of one one-vs-rest problem from features, or products of features, of the rows."""
        norms = np.diag(features).copy() if products else _square_norms(features, rows)
        squared = self.loss == "squared_hinge"
        upper, diagonal = (np.inf, 0.5 / self.C) if squared else (self.C, 0.0)
        found: tuple[Floats, Floats] = _descend_svc(
            features, rows, norms, sign, upper, diagonal, self.max_iter, key, position, products
        )
        return found

    def decision_function(self, X: ArrayLike) -> Floats:
        """Scores (N,) for two classes, (N, K) for more, in float64."""
        scores = _scores(X, self.coef_)
        return scores[:, 0] if len(self.coef_) == 1 else scores

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Classes (N,): for two the second where its score is above 0, for more the first largest score."""
        if len(self.classes_) == 1:
            return np.full(len(np.asarray(X)), self.classes_[0])
        scores = self.decision_function(X)
        index = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return np.asarray(self.classes_[index])


class LinearSVR:
    """Linear regression with the epsilon-insensitive loss at epsilon 0. After `fit`: `coef_` (1, D)."""

    def __init__(self, C: float = 1.0, seed: int = 42, max_iter: int = 1000) -> None:
        self.C = _positive(C)
        self.seed = seed
        self.max_iter = max_iter

    def fit(self, X: ArrayLike, y: ArrayLike, rows: NDArray[np.int64] | None = None) -> "LinearSVR":
        """Fit on X (N, D) and targets y (N,), or on the given rows of both (no copy of X is made)."""
        features, picked = _features(X, rows)
        targets = np.asarray(y, dtype=np.float64)[picked]
        key, position = _generator(self.seed)
        weights = _descend_svr(features, picked, targets, self.C, self.max_iter, key, position)
        self.coef_ = weights[None, :]
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """Predicted values (N,), float64."""
        return _scores(X, self.coef_)[:, 0]


def compact(X: ArrayLike) -> Floats:
    """X as the C-contiguous float32 or float64 matrix that the solvers read; float16 widens exactly to float32."""
    matrix = np.asarray(X)
    kind = np.float32 if matrix.dtype in (np.float16, np.float32) else np.float64
    return np.ascontiguousarray(matrix, dtype=kind)


def _features(X: ArrayLike, rows: NDArray[np.int64] | None) -> tuple[Floats, NDArray[np.int64]]:
    features = compact(X)
    if features.ndim != 2 or not features.size:
        raise ValueError(f"expected a feature matrix (N, D), got shape {features.shape}")
    picked = np.arange(len(features)) if rows is None else np.ascontiguousarray(rows, dtype=np.int64)
    if not len(picked):
        raise ValueError("no rows to fit on")
    return features, picked


def _positive(C: float) -> float:
    if not C > 0:
        raise ValueError(f"C must be above 0, got {C!r}")
    return float(C)


def _scores(X: ArrayLike, coef: Floats, block: int = 16384) -> Floats:
    """X @ coef.T (N, K) in float64, block by block so that X is never widened as a whole."""
    matrix = np.asarray(X)
    scores = np.empty((len(matrix), len(coef)))
    for start in range(0, len(matrix), block):
        scores[start : start + block] = matrix[start : start + block].astype(np.float64) @ coef.T
    return scores


def _generator(seed: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """State of the Mersenne Twister that numpy's RandomState(seed) starts with."""
    state: Any = np.random.RandomState(seed).get_state()
    return state[1].astype(np.uint32), np.array([state[2]], dtype=np.int64)


@njit(cache=True, nogil=True)
def _next_word(key, position):  # type: ignore[no-untyped-def]
    """Next 32-bit output of MT19937."""
    if position[0] == 624:
        for k in range(624):
            mixed = (key[k] & np.uint32(0x80000000)) | (key[(k + 1) % 624] & np.uint32(0x7FFFFFFF))
            twist = np.uint32(0x9908B0DF) if mixed & np.uint32(1) else np.uint32(0)
            key[k] = key[(k + 397) % 624] ^ (mixed >> np.uint32(1)) ^ twist
        position[0] = 0
    word = key[position[0]]
    position[0] += 1
    word ^= word >> np.uint32(11)
    word ^= (word << np.uint32(7)) & np.uint32(0x9D2C5680)
    word ^= (word << np.uint32(15)) & np.uint32(0xEFC60000)
    return np.uint32(word ^ (word >> np.uint32(18)))


@njit(cache=True, nogil=True)
def shuffle(values, count, key, position):  # type: ignore[no-untyped-def]
    """Shuffle values[:count] in place exactly as numpy's RandomState.shuffle does."""
    mask = np.uint32(0)
    for i in range(count - 1, 0, -1):
        mask = np.uint32(i)
        for shift in (1, 2, 4, 8, 16):
            mask |= mask >> np.uint32(shift)
        j = _next_word(key, position) & mask
        while j > i:
            j = _next_word(key, position) & mask
        values[i], values[j] = values[j], values[i]


# Reordering the sums lets the compiler use vector instructions; the results differ in the last bits only.
@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"}, inline="never")
def _dot(row, weights):  # type: ignore[no-untyped-def]
    total = 0.0
    for d in range(weights.size):
        total += np.float64(row[d]) * weights[d]
    return total


@njit(cache=True, nogil=True, fastmath={"contract"})
def _add(weights, step, row):  # type: ignore[no-untyped-def]
    for d in range(weights.size):
        weights[d] += step * np.float64(row[d])


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _square_norms(features, rows):  # type: ignore[no-untyped-def]
    norms = np.zeros(rows.size)
    for i in range(rows.size):
        total = 0.0
        for d in range(features.shape[1]):
            value = np.float64(features[rows[i], d])
            total += value * value
        norms[i] = total
    return norms


@njit(cache=True, nogil=True, error_model="numpy")
def _descend_svc(features, rows, norms, sign, upper, diagonal, max_iter, key, position, products):  # type: ignore[no-untyped-def]
    """One one-vs-rest problem: dual coordinate descent with shrinking; returns weights (D,) and dual variables (N,).

    With `products`, `features` holds X Xᵀ instead of X, and `weights` the score of each row instead of the weights.
    """
    n = rows.size
    weights = np.zeros(features.shape[1])
    alpha = np.zeros(n)
    curvature = norms + diagonal
    active = np.arange(n)
    size = n
    highest, lowest = np.inf, -np.inf
    for _ in range(max_iter):
        shuffle(active, size, key, position)
        top, bottom = -np.inf, np.inf
        s = 0
        while s < size:
            i = active[s]
            row = features[rows[i]]
            score = weights[i] if products else _dot(row, weights)
            gradient = sign[i] * score - 1.0 + diagonal * alpha[i]
            at_zero, at_upper = alpha[i] == 0.0, alpha[i] == upper
            if (at_zero and gradient >= 0.0 and gradient > highest) or (
                at_upper and gradient <= 0.0 and gradient < lowest
            ):
                size -= 1
                active[s], active[size] = active[size], active[s]
                continue
            projected = min(gradient, 0.0) if at_zero else max(gradient, 0.0) if at_upper else gradient
            top, bottom = max(top, projected), min(bottom, projected)
            if abs(projected) > _SMALL:
                moved = min(max(alpha[i] - gradient / curvature[i], 0.0), upper)
                _add(weights, (moved - alpha[i]) * sign[i], row)
                alpha[i] = moved
            s += 1
        if top - bottom <= TOLERANCE:
            if size == n:
                break
            size = n
            highest, lowest = np.inf, -np.inf
        else:
            highest = top if top > 0.0 else np.inf
            lowest = bottom if bottom < 0.0 else -np.inf
    return weights, alpha


@njit(cache=True, nogil=True, error_model="numpy")
def _descend_svr(features, rows, targets, upper, max_iter, key, position):  # type: ignore[no-untyped-def]
    """Coordinate descent over 2n dual variables that are tied to positions of the shuffled order; weights (D,)."""
    n = rows.size
    weights = np.zeros(features.shape[1])
    beta = np.zeros(2 * n)
    curvature = _square_norms(features, rows)
    order = np.arange(n)
    first = 0.0
    for epoch in range(max_iter):
        shuffle(order, n, key, position)
        violation = 0.0
        for s in range(2 * n):
            i = order[s % n]
            row = features[rows[i]]
            side = 1.0 if s % 2 == 0 else -1.0
            gradient = side * (_dot(row, weights) - targets[i])
            at_zero, at_upper = beta[s] == 0.0, beta[s] == upper
            projected = min(gradient, 0.0) if at_zero else max(gradient, 0.0) if at_upper else gradient
            violation += abs(projected)
            if abs(projected) > _SMALL:
                moved = min(max(beta[s] - gradient / curvature[i], 0.0), upper)
                _add(weights, side * (moved - beta[s]), row)
                beta[s] = moved
        if epoch == 0:
            first = violation
        if violation <= 0.0 or violation / first < TOLERANCE:
            break
    return weights
