"""Memory of the summary job for few and for many papers, with a writer that invents its texts at once.

    python benchmarks/job_memory.py --papers 1000 100000

Each size runs in a process of its own; printed is the largest resident size that the system saw, and the ratio.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any, overload

from semcse.summaries import generate_summaries
from semcse.writers import Continuation, Request, Writer


class Papers(Sequence[dict[str, Any]]):
    """Papers that exist only while they are looked at, as those of a memory-mapped data set."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[dict[str, Any]]: ...
    def __getitem__(self, index: Any) -> Any:
        if index >= self.count:
            raise IndexError(index)
        return {
            "corpus_id": index,
            "title": f"Title {index}",
            "abstract": f"Abstract {index}. " + "It has words. " * 80,
        }

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(self.count))


class Stub(Writer):
    """A sentence made of the request's seed."""

    model = "stub"

    def continuations(self, requests: Sequence[Request]) -> list[Continuation]:
        return [Continuation(f"the number {request.seed} was drawn.", 30, "sentence") for request in requests]


def child(papers: int, draws: int) -> None:
    """Run one job and print its largest resident size in MiB, its rows, and its seconds."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        report = generate_summaries(Papers(papers), Stub(), folder, draws=draws)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"{peak} {report.rows} {time.perf_counter() - begin}")


def main() -> None:
    """Run each size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--papers", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.papers[0], options.draws)
    first = 0.0
    print(f"{'papers':>9} {'rows':>10} {'seconds':>9} {'peak MiB':>9} {'ratio':>6}")
    for papers in options.papers:
        command = [sys.executable, __file__, "--child", "--papers", str(papers), "--draws", str(options.draws)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        peak, rows, seconds = map(float, output)
        first = first or peak
        print(f"{papers:9,} {int(rows):10,} {seconds:9.1f} {peak:9.1f} {peak / first:6.3f}")


if __name__ == "__main__":
    main()
