"""Comparisons of all vectors with all, as slow and plain as can be, for tests of the fast ways."""

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist


def brute_distances(
    queries: npt.NDArray[np.floating], candidates: npt.NDArray[np.floating], metric: str
) -> npt.NDArray[np.float64]:
    """Distances (N, M) in float64, under "cosine" between vectors of length one: ordered as 1 - cosine."""
    queries, candidates = queries.astype(np.float64), candidates.astype(np.float64)
    if metric == "cosine":
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        candidates = candidates / np.linalg.norm(candidates, axis=1, keepdims=True)
    return cdist(queries, candidates)
