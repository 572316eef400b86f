"""Supervised metrics by name, in percent with two decimals (protocol sections 4.2 and 4.4)."""

import math
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from scipy.stats import kendalltau, pearsonr
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

_COUNTED = {"f1": f1_score, "precision": precision_score, "recall": recall_score}


def classification(true: NDArray[Any], predicted: NDArray[Any], metrics: Sequence[str]) -> dict[str, float]:
    """`accuracy`, or `f1`, `precision`, `recall` of class 1, or with `_macro` and so on averaged over the classes."""
    found = {}
    for metric in metrics:
        if metric == "accuracy":
            value = accuracy_score(true, predicted)
        else:
            name, _, average = metric.partition("_")
            value = _COUNTED[name](true, predicted, average=average or "binary", zero_division=0)
        found[metric] = _percent(metric, value)
    return found


def regression(true: NDArray[Any], predicted: NDArray[Any], metrics: Sequence[str]) -> dict[str, float]:
    """`kendalltau` (tau-b) or `pearsonr`. Raises ValueError where a correlation is undefined (constant values)."""
    functions = {"kendalltau": kendalltau, "pearsonr": pearsonr}
    return {metric: _percent(metric, functions[metric](true, predicted)[0]) for metric in metrics}


def _percent(metric: str, value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{metric} is undefined ({value}): are the labels or the predictions constant?")
    return round(100 * float(value), 2)
