"""Model selection of the `official` mode: the solvers of section 4.1 under the protocol's cross-validated grids.

Independent fits run on `workers` threads; the result does not depend on their number. The original multi-label
classifier is unseeded; ours uses seed 42 for each label, so that a run can be repeated.
"""

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, StratifiedKFold

from semcse.scirepeval.solvers import LinearSVC, LinearSVR

CLASSIFIER_GRID = (0.01, 0.1, 1.0, 10.0, 100.0)
REGRESSOR_GRID = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)
FOLDS = 3
SEED = 42

Array = NDArray[Any]
Rows = NDArray[np.int64]
Splits = list[tuple[Rows, Rows]]
Item = TypeVar("Item")
Result = TypeVar("Result")


class Constant:
    """Predicts one value, for a label that is the same in all training rows."""

    def __init__(self, value: int) -> None:
        self.value = value

    def predict(self, X: Array) -> Array:
        """That value for every row (N,)."""
        return np.full(len(X), self.value)


class MultiLabel:
    """One binary model a label; predicts 0/1 (N, L)."""

    def __init__(self, models: Sequence[LinearSVC | Constant]) -> None:
        self.models = models

    def predict(self, X: Array) -> Array:
        """0/1 decisions (N, L)."""
        return np.stack([model.predict(X) for model in self.models], axis=1)


def classifier(X: Array, y: Array, rows: Rows, workers: int = 1) -> LinearSVC:
    """Single-label classifier: squared hinge, C by stratified 3-fold accuracy, refit on all rows."""
    splits = stratified(y[rows], FOLDS)
    fit = _svc_fitter(X, y, "squared_hinge", 1000)
    scores = _run(lambda job: _accuracy(fit, job, splits, X, y, rows), _jobs(CLASSIFIER_GRID), workers)
    return fit(_best(CLASSIFIER_GRID, scores), rows)


def multilabel(X: Array, Y: Array, rows: Rows, workers: int = 1) -> MultiLabel:
    """One hinge classifier a column of Y (N, L), each with its own C by 3-fold accuracy on that label."""
    gram = None
    if len(rows) < X.shape[1]:  # a few-shot draw, for which hundreds of fits share the products
        X, Y, rows = X[rows], Y[rows], np.arange(len(rows))
        gram = X.astype(np.float64) @ X.T.astype(np.float64)
    varied = [label for label in range(Y.shape[1]) if np.ptp(Y[:, label][rows])]
    fits = {label: _svc_fitter(X, Y[:, label], "hinge", 10000, gram) for label in varied}
    splits = {label: stratified(Y[rows, label], FOLDS) for label in varied}
    jobs = [(label, job) for job in _jobs(CLASSIFIER_GRID) for label in varied]
    scores = _run(lambda job: _accuracy(fits[job[0]], job[1], splits[job[0]], X, Y[:, job[0]], rows), jobs, workers)
    chosen = {}
    for label in varied:
        own = [score for (name, _), score in zip(jobs, scores, strict=True) if name == label]
        chosen[label] = _best(CLASSIFIER_GRID, own)
    refit = dict(zip(varied, _run(lambda label: fits[label](chosen[label], rows), varied, workers), strict=True))
    return MultiLabel([refit.get(label) or Constant(int(Y[rows[0], label])) for label in range(Y.shape[1])])


def few_shot_classifier(X: Array, y: Array, rows: Rows) -> LinearSVC:
    """Single-label classifier of a few-shot iteration: squared hinge with C = 1, no grid."""
    return LinearSVC(1.0, "squared_hinge", SEED).fit(X, y, rows=rows)


def regressor(X: Array, y: Array, rows: Rows, workers: int = 1) -> LinearSVR:
    """Regressor with C by the R² of an unshuffled 3-fold cross-validation, refit on all rows."""
    splits = list(KFold(FOLDS).split(rows))

    def score(job: tuple[int, int]) -> float:
        train, held_out = splits[job[1]]
        model = LinearSVR(REGRESSOR_GRID[job[0]], SEED).fit(X, y, rows=rows[train])
        return float(r2_score(y[rows[held_out]], model.predict(X[rows[held_out]])))

    chosen = _best(REGRESSOR_GRID, _run(score, _jobs(REGRESSOR_GRID), workers))
    return LinearSVR(chosen, SEED).fit(X, y, rows=rows)


def stratified(y: Array, folds: int) -> Splits:
    """Stratified folds without shuffling; classes smaller than the number of folds are allowed, as in the original."""
    if folds < 2:
        raise ValueError(f"{len(y)} training rows give {folds} fold, at least 2 are needed")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        return list(StratifiedKFold(folds).split(np.zeros(len(y)), y))


def _svc_fitter(
    X: Array, y: Array, loss: str, max_iter: int, gram: Array | None = None
) -> Callable[[float, Rows], LinearSVC]:
    return lambda C, picked: LinearSVC(C, loss, SEED, max_iter).fit(X, y, rows=picked, gram=gram)


def _accuracy(
    fit: Callable[[float, Rows], LinearSVC], job: tuple[int, int], splits: Splits, X: Array, y: Array, rows: Rows
) -> float:
    train, held_out = splits[job[1]]
    model = fit(CLASSIFIER_GRID[job[0]], rows[train])
    hits = sum(int((model.predict(X[part]) == y[part]).sum()) for part in _blocks(rows[held_out]))
    return hits / len(held_out)


def _blocks(rows: Rows, size: int = 8192) -> list[Rows]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _jobs(grid: Sequence[float]) -> list[tuple[int, int]]:
    """(index in the grid, fold), the slow fits with large C first."""
    return [(index, fold) for index in reversed(range(len(grid))) for fold in range(FOLDS)]


def _best(grid: Sequence[float], scores: Sequence[float]) -> float:
    """The C with the best mean score, the smallest of equals. Scores in the order of `_jobs`."""
    means = np.average(np.reshape(scores, (len(grid), FOLDS))[::-1], axis=1)
    return grid[int(means.argmax())]


def _run(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> list[Result]:
    if workers <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, items))
