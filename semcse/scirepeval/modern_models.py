"""Model selection of the `modern` mode: scikit-learn's linear models with intercept in place of the official ones.

Same grids, folds and few-shot draws as the official mode; other solvers, so other numbers. Never mixed in one table.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.svm import LinearSVC, LinearSVR

from semcse.scirepeval.official_models import CLASSIFIER_GRID, FOLDS, REGRESSOR_GRID, SEED, Constant, MultiLabel

Array = NDArray[Any]
Rows = NDArray[np.int64]


def classifier(X: Array, y: Array, rows: Rows, workers: int = 1) -> Any:
    """Single-label classifier with intercept, C by stratified 3-fold accuracy."""
    return _search(_svc(1.0), CLASSIFIER_GRID, StratifiedKFold(FOLDS), "accuracy", workers, X[rows], y[rows])


def multilabel(X: Array, Y: Array, rows: Rows, workers: int = 1) -> MultiLabel:
    """One classifier with intercept a column of Y (N, L), each with its own C."""
    models = [
        classifier(X, Y[:, label], rows, workers) if np.ptp(Y[rows, label]) else Constant(int(Y[rows[0], label]))
        for label in range(Y.shape[1])
    ]
    return MultiLabel(models)


def few_shot_classifier(X: Array, y: Array, rows: Rows) -> Any:
    """Single-label classifier with intercept, C = 1; a fold with one class predicts that class."""
    if not np.ptp(y[rows]):
        return Constant(int(y[rows[0]]))
    return _svc(1.0).fit(X[rows], y[rows])


def regressor(X: Array, y: Array, rows: Rows, workers: int = 1) -> Any:
    """Linear regressor with intercept (squared epsilon-insensitive loss at epsilon 0), C by 3-fold R²."""
    model = LinearSVR(loss="squared_epsilon_insensitive", dual="auto", random_state=SEED, max_iter=10000)
    return _search(model, REGRESSOR_GRID, KFold(FOLDS), "r2", workers, X[rows], y[rows])


def _svc(C: float) -> LinearSVC:
    return LinearSVC(C=C, dual="auto", random_state=SEED, max_iter=10000)


def _search(
    model: Any, grid: tuple[float, ...], folds: Any, scoring: str, workers: int, features: Array, y: Array
) -> Any:
    search = GridSearchCV(model, {"C": list(grid)}, scoring=scoring, cv=folds, n_jobs=workers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        return search.fit(np.asarray(features, dtype=np.float64), y)
