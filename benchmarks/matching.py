"""Ranks and neighbours: time and memory against a full-matrix argsort and scikit-learn's brute force.

    python benchmarks/matching.py [--million]

Each line is measured in a process of its own within this run; memory is the peak above the process with its
inputs (Linux only).
`--million` adds 1,000 queries against one million candidates (3 GB of input, only ours).
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

RANKS, TRAIN, TEST, DIMENSIONS = 6000, 17_000, 4252, 768


def matching_pairs(n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Queries (n, D) near their candidates (m, D), as a good model gives them."""
    random = np.random.default_rng(0)
    candidates = random.standard_normal((m, DIMENSIONS), dtype=np.float32)
    return candidates[:n] + random.standard_normal((n, DIMENSIONS), dtype=np.float32), candidates


def labelled() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """As many papers as SciDocs MAG, in 19 overlapping clouds."""
    random = np.random.default_rng(1)
    labels = random.integers(0, 19, TRAIN + TEST)
    centres = 0.3 * random.standard_normal((19, DIMENSIONS), dtype=np.float32)
    points = centres[labels] + random.standard_normal((len(labels), DIMENSIONS), dtype=np.float32)
    return points[:TRAIN], labels[:TRAIN], points[TRAIN:], labels[TRAIN:]


def ours_ranks() -> Callable[[], float]:
    from semcse.matching import match_ranks

    queries, candidates = matching_pairs(RANKS, RANKS)
    return lambda: float(match_ranks(queries, candidates).mean())


def argsort_ranks() -> Callable[[], float]:
    queries, candidates = matching_pairs(RANKS, RANKS)

    def full() -> float:
        squares = (queries**2).sum(1)[:, None] + (candidates**2).sum(1) - 2 * queries @ candidates.T
        order = np.argsort(squares, axis=1)
        return float(1 + np.nonzero(order == np.arange(len(queries))[:, None])[1].mean())

    return full


def sklearn_ranks() -> Callable[[], float]:
    from sklearn.neighbors import NearestNeighbors

    queries, candidates = matching_pairs(RANKS, RANKS)

    def brute() -> float:
        index = NearestNeighbors(n_neighbors=len(candidates), algorithm="brute").fit(candidates)
        order = index.kneighbors(queries, return_distance=False)
        return float(1 + np.nonzero(order == np.arange(len(queries))[:, None])[1].mean())

    return brute


def ours_purity() -> Callable[[], float]:
    from semcse.matching import neighbour_purity

    train, train_labels, test, test_labels = labelled()
    return lambda: neighbour_purity(train, train_labels.tolist(), test, test_labels.tolist())


def argsort_purity() -> Callable[[], float]:
    train, train_labels, test, test_labels = labelled()

    def full() -> float:
        squares = (test**2).sum(1)[:, None] + (train**2).sum(1) - 2 * test @ train.T
        return float(np.mean(train_labels[np.argsort(squares, axis=1)[:, :5]] == test_labels[:, None]))

    return full


def sklearn_purity() -> Callable[[], float]:
    from sklearn.neighbors import NearestNeighbors

    train, train_labels, test, test_labels = labelled()

    def brute() -> float:
        index = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(train)
        return float(np.mean(train_labels[index.kneighbors(test, return_distance=False)] == test_labels[:, None]))

    return brute


def ours_million() -> Callable[[], float]:
    from semcse.matching import match_ranks

    queries, candidates = matching_pairs(1000, 1_000_000)
    return lambda: float(match_ranks(queries, candidates).mean())


TASKS = {
    f"ranks, {RANKS:,} x {RANKS:,} x {DIMENSIONS}": [ours_ranks, argsort_ranks, sklearn_ranks],
    f"purity, {TEST:,} x {TRAIN:,} x {DIMENSIONS}": [ours_purity, argsort_purity, sklearn_purity],
}
MILLION = {f"ranks, 1,000 x 1,000,000 x {DIMENSIONS}": [ours_million]}


def measure(name: str) -> dict[str, float]:
    """Result, seconds and MiB above the inputs of one contender, called once in this process."""
    run = globals()[name]()
    np.ones((512, 512)) @ np.ones((512, 512))  # starts the threads of the linear algebra library
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of making the inputs
    before = memory("VmRSS")
    started = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - started
    return {"result": result, "s": seconds, "MiB": memory("VmHWM") - before}


def memory(kind: str) -> float:
    """MiB resident now (VmRSS) or at most (VmHWM), as Linux says."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(kind))) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--million", action="store_true", help="also one million candidates")
    parser.add_argument("--one", help="measure one contender and print JSON (used by this script)")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    print(f"{'task and method':44s} {'result':>9s} {'s':>8s} {'time':>7s} {'MiB':>8s} {'memory':>7s}")
    for task, contenders in {**TASKS, **(MILLION if arguments.million else {})}.items():
        print(task)
        base: dict[str, float] = {}
        for contender in contenders:
            command = [sys.executable, __file__, "--one", contender.__name__]
            got = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            base = base or got
            print(
                f"  {contender.__name__:42s} {got['result']:9.4f} {got['s']:8.2f} {got['s'] / base['s']:6.1f}x "
                f"{got['MiB']:8.0f} {got['MiB'] / max(base['MiB'], 1):6.1f}x"
            )


if __name__ == "__main__":
    main()
