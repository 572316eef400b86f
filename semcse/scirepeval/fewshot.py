"""Which rows a few-shot iteration trains on (protocol section 4.3). Nothing here depends on the embeddings."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semcse.scirepeval.official_models import stratified

FIRST_SEED = 42


def single_label_draws(y: NDArray[Any], sample_size: int, iterations: int) -> Iterator[NDArray[np.int64]]:
    """Training rows of each iteration: the held-out folds of a stratified split into ceil(N / sample_size) folds.

    `sample_size` is about the number of rows in all, not per class. With fewer folds than `iterations`
    there are as many iterations as folds.
    """
    folds = math.ceil(len(y) / sample_size)
    for _, held_out in stratified(y, folds)[:iterations]:
        yield held_out


def multi_label_draws(Y: NDArray[Any], sample_size: int, iterations: int) -> Iterator[NDArray[np.int64]]:
    """Training rows of each iteration: the union of `sample_size` positives a label of Y (N, L), seed 42 + iteration.

    The rows come in the iteration order of a Python set, as in the original; the solver's result depends on it.
    """
    positives = [np.flatnonzero(Y[:, label] == 1) for label in range(Y.shape[1])]
    short = [label for label, rows in enumerate(positives) if len(rows) < sample_size]
    if short:
        raise ValueError(f"labels {short} have fewer than {sample_size} positive training rows")
    for iteration in range(iterations):
        generator = np.random.RandomState(FIRST_SEED + iteration)
        drawn: set[int] = set()
        for rows in positives:
            drawn.update(generator.choice(rows, size=sample_size, replace=False).tolist())
        yield np.array(list(drawn), dtype=np.int64)
