"""t-SNE and geometry of as many papers as SciDocs MAG has (21,252 x 768), and t-SNE against scikit-learn's.

    python benchmarks/projection.py [--rows 21252] [--peer-rows 5000]

Both t-SNEs start from the same 50 principal components with the same perplexity and seed and use two threads;
trustworthiness (1 is best) says how well each keeps the neighbours.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from semcse import geometry
from semcse.projection import tsne


def embeddings(rows: int, dimensions: int = 768) -> np.ndarray:
    """19 overlapping clouds with falling variances, (rows, dimensions) float32."""
    random = np.random.default_rng(0)
    spread = (1 / np.sqrt(1 + np.arange(dimensions) / 10)).astype(np.float32)
    centres = 0.6 * random.standard_normal((19, dimensions), dtype=np.float32)
    noise = random.standard_normal((rows, dimensions), dtype=np.float32)
    return (centres[random.integers(0, 19, rows)] + noise) * spread


def timed(work: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def report(name: str, seconds: float, note: str = "") -> None:
    print(f"{name:<48} {seconds:8.1f} s   {note}", flush=True)


def against_sklearn(rows: int) -> None:
    X = embeddings(rows)
    ours, plane = timed(lambda: tsne(X))
    peer = TSNE(perplexity=30, init="pca", random_state=0, n_jobs=2)
    theirs, other = timed(lambda: peer.fit_transform(PCA(50, random_state=0).fit_transform(X)))
    sample = np.random.default_rng(0).choice(rows, min(rows, 3000), replace=False)
    for name, seconds, points in [("ours (openTSNE)", ours, plane), ("scikit-learn", theirs, other)]:
        kept = trustworthiness(X[sample], np.asarray(points)[sample], n_neighbors=15)
        report(f"t-SNE of {rows:,} x 768, {name}", seconds, f"trustworthiness {kept:.3f}")
    print(f"{'scikit-learn / ours':<48} {theirs / ours:8.1f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=21_252)
    parser.add_argument("--peer-rows", type=int, default=5_000, help="0 leaves the comparison out")
    options = parser.parse_args()
    X = embeddings(options.rows)
    seconds, first = timed(lambda: tsne(X))
    report(f"t-SNE of {options.rows:,} x 768", seconds)
    seconds, again = timed(lambda: tsne(X))
    report("the same again", seconds, f"same picture: {np.array_equal(np.asarray(first), np.asarray(again))}")
    for measure in (geometry.explained_variance, geometry.isoscore, geometry.mean_cosine, geometry.uniformity):
        seconds, _ = timed(lambda measure=measure: measure(X))  # type: ignore[misc]
        report(f"{measure.__name__} of {options.rows:,} x 768", seconds)
    if options.peer_rows:
        against_sklearn(options.peer_rows)


if __name__ == "__main__":
    main()
