"""Two dimensions from many: t-SNE by openTSNE, and the alignment of pictures with each other (Figure 1)."""

import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from openTSNE import TSNE

Floats = NDArray[np.floating]
Metric = Literal["euclidean", "cosine"]

METRICS = ("euclidean", "cosine")


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
    verbose: bool = False,
) -> NDArray[np.float64]:
    """The rows of `X` (N, D) on a plane, (N, 2): similar papers close together (Figure 1).

    More than `pca_dims` dimensions are first reduced to that many principal components (`None`: never); under
    "cosine" without centring, so that angles are those of `X`. The start is the first two components, so the
    picture depends on the data and `seed` alone. Neighbours are exact by default (scikit-learn, O(N^2));
    beyond some 100,000 rows take "approx" (Annoy). The other parameters are openTSNE's own.

    Few rows cannot have a perplexity of 30: it is lowered to (N - 1) / 3, with a warning. Raises ValueError
    for fewer than 5 rows, NaN or infinite values, rows all equal, or a zero row under "cosine".
    """
    data = _reduced(_checked(X, metric), pca_dims, centred=metric == "euclidean")
    return np.asarray(
        TSNE(
            perplexity=_possible_perplexity(perplexity, len(X)),
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
        ).fit(data),
        dtype=np.float64,
    )


def procrustes(reference: Floats, other: Floats) -> NDArray[np.float64]:
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


def _checked(X: Any, metric: str) -> NDArray[np.float64]:
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; choose one of {', '.join(METRICS)}")
    X = X.detach().cpu().float().numpy() if hasattr(X, "detach") else np.asarray(X)
    if X.ndim != 2 or len(X) < 5 or X.shape[1] < 2:
        raise ValueError(f"tsne needs a matrix (N, D) with N >= 5 and D >= 2, got shape {X.shape}")
    if not np.isfinite(X).all():
        row = int(np.argmin(np.isfinite(X).all(axis=1)))
        raise ValueError(f"row {row} of {len(X)} holds NaN or infinite values; embed that text again")
    data = np.asarray(X, dtype=np.float64)
    if np.ptp(data, axis=0).max() == 0.0:
        raise ValueError(f"all {len(X)} rows are equal, so there is nothing to draw (a collapsed model?)")
    norms = np.linalg.norm(data, axis=1)
    if metric == "cosine" and not norms.all():
        raise ValueError(f"row {int(np.argmin(norms))} is the zero vector, which has no cosine to others")
    return data / norms[:, None] if metric == "cosine" else data


def _possible_perplexity(perplexity: float, rows: int) -> float:
    if not perplexity > 1:
        raise ValueError(f"perplexity must be above 1, got {perplexity}")
    largest = (rows - 1) / 3
    if perplexity <= largest:
        return perplexity
    message = f"perplexity {perplexity:g} asks for {3 * perplexity + 1:.0f} papers, got {rows}; {largest:.1f} is used"
    warnings.warn(message, UserWarning, stacklevel=3)
    return largest


def _reduced(data: NDArray[np.float64], dims: int | None, centred: bool) -> NDArray[np.float64]:
    """`data` on its `dims` first principal directions, or as it is if it has no more than that many."""
    if dims is None or data.shape[1] <= dims:
        return data
    if dims < 2:
        raise ValueError(f"pca_dims must be at least 2, got {dims}")
    if centred:
        data = data - data.mean(axis=0)
    directions = np.linalg.eigh(data.T @ data)[1][:, ::-1][:, :dims]
    # An eigenvector's sign is arbitrary: fixed here, so that a picture is not mirrored from one machine to
    # another.
    directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(dims)])
    return np.asarray(data @ directions)
