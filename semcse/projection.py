"""Two dimensions from many: t-SNE by openTSNE, whole or by landmarks, and the alignment of pictures (Figure 1)."""

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from openTSNE import TSNE
from tqdm.auto import tqdm

from semcse.display import bar_options

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]
Metric = Literal["euclidean", "cosine"]

METRICS = ("euclidean", "cosine")
LEAST = 5
"""Rows that a picture needs."""
CHUNK = 10_000
"""Rows that are placed among the landmarks at a time."""
PLACING_PERPLEXITY = 5.0
"""openTSNE's own for new points: a few nearest landmarks decide."""


def tsne(
    X: Floats,
    perplexity: float = 30.0,
    seed: int = 0,
    n_jobs: int = 2,
    metric: Metric = "euclidean",
    pca_dims: int | None = 50,
    early_exaggeration: float = 12.0,
    early_exaggeration_iter: int = 250,
    n_iter: int = 500,
    exaggeration: float | None = None,
    learning_rate: float | Literal["auto"] = "auto",
    neighbors: Literal["exact", "approx"] = "exact",
    landmarks: int | None = None,
    verbose: bool = False,
) -> Doubles:
    """The rows of `X` (N, D) on a plane, (N, 2): similar papers close together (Figure 1).

    More than `pca_dims` dimensions are first reduced to that many principal components (`None`: never); under
    "cosine" without centring, so that angles are those of `X`. The start is the first two components, so the
    picture depends on the data and `seed` alone. Neighbours are exact by default (scikit-learn, O(N^2));
    "approx" is Annoy. The other parameters are openTSNE's own.

    With more than `landmarks` rows, so many of them, drawn at random, are embedded as if they were all, and each other
    row is placed among them by openTSNE's `transform`: time N L and memory of a chunk beside `X`, which may be
    memory-mapped. Rows drawn at random have the density of all rows, and no label has a part in it.

    Few rows cannot have a perplexity of 30: it is lowered to (N - 1) / 3, with a warning. Raises ValueError
    for fewer than 5 rows or landmarks, NaN or infinite values, rows all equal, or a zero row under "cosine".
    """
    matrix = _matrix(X, metric)
    chosen = landmark_rows(len(matrix), landmarks, seed)
    data = _checked(matrix, chosen, metric)
    _check_spread(data)
    reduced = _reduction(data, pca_dims, centred=metric == "euclidean")
    embedding = TSNE(
        perplexity=_possible_perplexity(perplexity, len(chosen)),
        early_exaggeration=early_exaggeration,
        early_exaggeration_iter=early_exaggeration_iter,
        n_iter=n_iter,
        exaggeration=exaggeration,
        learning_rate=learning_rate,
        initialization="pca",
        metric=metric,
        neighbors=neighbors,
        n_jobs=n_jobs,
        random_state=seed,
        verbose=verbose,
    ).fit(reduced(data))
    if len(chosen) == len(matrix):
        return np.asarray(embedding, dtype=np.float64)
    return _placed(len(matrix), chosen, embedding, lambda rows: reduced(_checked(matrix, rows, metric)))


def landmark_rows(rows: int, landmarks: int | None, seed: int = 0) -> Rows:
    """The rows (L,) that are embedded together, in order: `landmarks` of them at random, or all of so few."""
    if landmarks is None or landmarks >= rows:
        return np.arange(rows)
    if landmarks < LEAST:
        raise ValueError(f"a picture needs at least {LEAST} landmarks, got {landmarks}")
    return np.sort(np.random.default_rng(seed).permutation(rows)[:landmarks])


def procrustes(reference: Floats, other: Floats) -> Doubles:
    """`other` (N, 2) moved, rotated or mirrored, and scaled as a whole, to lie as close as it can to `reference`.

    For panels that show the same N papers: a field then appears in the same region of each. Distances within
    `other` keep their ratios. Raises ValueError for different shapes or points that all coincide.
    """
    if reference.shape != other.shape or reference.ndim != 2:
        raise ValueError(f"procrustes needs the same points twice; got {reference.shape} and {other.shape}")
    centre = reference.mean(axis=0)
    fixed, moving = reference - centre, other - other.mean(axis=0)
    size = float((moving**2).sum())
    if not np.isfinite(size) or not np.isfinite(fixed).all() or size == 0.0:
        raise ValueError("procrustes needs finite points that do not all coincide")
    left, strengths, right = np.linalg.svd(moving.T @ fixed)
    return np.asarray(moving @ (left @ right) * (strengths.sum() / size) + centre, dtype=np.float64)


def _placed(rows: int, chosen: Rows, embedding: Any, prepared: Callable[[Rows], Doubles]) -> Doubles:
    """Places (N, 2) of all rows: the landmarks where they are, the others optimised among them, a chunk at a time."""
    places = np.empty((rows, 2))
    places[chosen] = embedding
    centre = (places[chosen].max(axis=0) + places[chosen].min(axis=0)) / 2  # `transform` moves it to the origin
    others = np.setdiff1d(np.arange(rows), chosen, assume_unique=True)
    perplexity = min(PLACING_PERPLEXITY, (len(chosen) - 1) / 3)
    starts = range(0, len(others), CHUNK)
    for start in tqdm(starts, desc="placing", **bar_options(len(starts) > 1)):
        some = others[start : start + CHUNK]
        places[some] = np.asarray(embedding.transform(prepared(some), perplexity=perplexity)) + centre
    return places


def _matrix(X: Any, metric: str) -> Floats:
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; choose one of {', '.join(METRICS)}")
    matrix: Floats = X.detach().cpu().float().numpy() if hasattr(X, "detach") else np.asanyarray(X)
    if matrix.ndim != 2 or len(matrix) < LEAST or matrix.shape[1] < 2:
        raise ValueError(f"tsne needs a matrix (N, D) with N >= {LEAST} and D >= 2, got shape {matrix.shape}")
    return matrix


def _checked(matrix: Floats, rows: Rows, metric: str) -> Doubles:
    """These rows (R, D) in float64, of unit length under "cosine"."""
    data = np.asarray(matrix[rows], dtype=np.float64)
    finite = np.isfinite(data).all(axis=1)
    if not finite.all():
        row = rows[np.argmin(finite)]
        raise ValueError(f"row {row} of {len(matrix)} holds NaN or infinite values; embed that text again")
    if metric == "euclidean":
        return data
    norms = np.linalg.norm(data, axis=1)
    if not norms.all():
        raise ValueError(f"row {rows[np.argmin(norms)]} is the zero vector, which has no cosine to others")
    return np.asarray(data / norms[:, None])


def _check_spread(data: Doubles) -> None:
    if np.ptp(data, axis=0).max() == 0.0:
        raise ValueError(f"all {len(data)} rows are equal, so there is nothing to draw (a collapsed model?)")


def _possible_perplexity(perplexity: float, rows: int) -> float:
    if not perplexity > 1:
        raise ValueError(f"perplexity must be above 1, got {perplexity}")
    largest = (rows - 1) / 3
    if perplexity <= largest:
        return perplexity
    message = f"perplexity {perplexity:g} asks for {3 * perplexity + 1:.0f} papers, got {rows}; {largest:.1f} is used"
    warnings.warn(message, UserWarning, stacklevel=3)
    return largest


def _reduction(data: Doubles, dims: int | None, centred: bool) -> Callable[[Doubles], Doubles]:
    """What takes rows to the `dims` first principal directions of `data`, or leaves them if they have no more."""
    if dims is None or data.shape[1] <= dims:
        return lambda rows: rows
    if dims < 2:
        raise ValueError(f"pca_dims must be at least 2, got {dims}")
    centre = data.mean(axis=0) if centred else np.zeros(data.shape[1])
    data = data - centre
    directions = np.linalg.eigh(data.T @ data)[1][:, ::-1][:, :dims]
    # An eigenvector's sign is arbitrary: fixed here, so that a picture is not mirrored from one machine to
    # another.
    directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(dims)])
    return lambda rows: np.asarray((rows - centre) @ directions)
