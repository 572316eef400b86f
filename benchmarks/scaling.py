"""Growth of every stage with the number of papers, and the scaling plan made of it.

    python benchmarks/scaling.py --out scaling.json                       # everything; --papers FILE for real abstracts
    python benchmarks/scaling.py --out scaling.json --parts exact,faiss --sizes 8000,16000,32000,64000
    python benchmarks/scaling.py --plan scaling.json                      # the plan's tables as Markdown
    python benchmarks/scaling.py --plan scaling.json --into docs/scaling.md --assume gpu_price=3.5

Parts are timed in this one process: the exponent is the slope of log seconds over log size, the range that of the
single repeats; memory is the peak above what the inputs take (Linux). Parts run again replace those in the file.
At most `--real` abstracts are encoded; larger sets of vectors are made of theirs (`Inputs.vectors`).
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scaling_parts import DEMO, PARTS, Inputs, Part, Work
from scaling_plan import assumptions, plan, write_into
from scaling_tables import TABLES

from semcse.files import write_atomic
from semcse.records import environment


def memory(kind: str) -> float:
    """MiB resident now (VmRSS) or at most since the last reset (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(kind))) / 1024


def once(work: Work) -> dict[str, Any]:
    """Seconds, processor seconds of all threads, MiB above those before, and what the work tells; its `seconds` win."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of preparing
    before = memory("VmRSS")
    started, cpu = time.perf_counter(), time.process_time()
    facts = work()
    times = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    return {**times, "mib": max(0.0, memory("VmHWM") - before), **facts}


def slope(sizes: list[int], seconds: list[float]) -> float:
    """Least-squares slope of log seconds over log size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]) if len(set(sizes)) > 1 else float("nan")


def grown(part: Part, inputs: Inputs, sizes: list[int]) -> dict[str, Any]:
    """A part at each size, each `repeats` times, and its exponent."""
    runs: list[list[dict[str, Any]]] = [[] for _ in range(part.repeats)]
    for size in sizes:
        work = part.prepare(inputs, size)
        for run in runs:
            run.append({"size": size, **once(work)})
            print("  " + line(run[-1]), flush=True)
    slopes = [slope(sizes, [row["seconds"] for row in run]) for run in runs]
    everything = [row for run in runs for row in run]
    exponent = slope([row["size"] for row in everything], [row["seconds"] for row in everything])
    print(f"  exponent {exponent:.2f} [{min(slopes):.2f}, {max(slopes):.2f}], expected {part.law}", flush=True)
    facts = {"what": part.what, "law": part.law, "exponent": exponent, "range": [min(slopes), max(slopes)]}
    return {**facts, "rows": everything}


def line(row: dict[str, Any]) -> str:
    """One row of a table as text."""
    return "  ".join(
        f"{key} {value:,.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
    )


def measure(names: list[str], inputs: Inputs, sizes: list[int] | None, out: Path | None) -> None:
    """Run parts and tables one after the other, the file brought up to date after each."""
    found = json.loads(out.read_text("utf-8")) if out is not None and out.is_file() else {}
    facts = environment()
    found |= {"versions": facts["versions"], "hardware": facts["hardware"], "source": inputs.source.name}
    found["threads"] = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    for name in names:
        print(name, flush=True)
        if name in PARTS:
            result: Any = grown(PARTS[name], inputs, sizes or list(PARTS[name].sizes))
        else:
            table, size = TABLES[name]
            result = table(inputs, max(sizes) if sizes else size)
            for row in result:
                print("  " + line(row), flush=True)
        found.setdefault("parts", {})[name] = result
        if out is not None:
            write_atomic(out, json.dumps(found, indent=1) + "\n")


def main() -> None:
    known = [*PARTS, *TABLES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--papers", type=Path, default=DEMO, help="JSONL.gz with title, abstract, field, source")
    parser.add_argument("--parts", default=",".join(known), help=f"some of {', '.join(known)}")
    parser.add_argument("--sizes", help="numbers of papers, in place of each part's own")
    parser.add_argument("--real", type=int, default=2000, help="abstracts that are encoded to make vectors of")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers; parts that it holds are replaced")
    parser.add_argument("--plan", type=Path, help="print the plan made of such a file, and measure nothing")
    parser.add_argument("--into", type=Path, help="with --plan: put it between the markers of this Markdown file")
    parser.add_argument("--assume", action="append", default=[], metavar="NAME=VALUE", help="with --plan")
    options = parser.parse_args()
    if options.plan:
        text = plan(json.loads(options.plan.read_text("utf-8")), assumptions(options.assume))
        print(text) if options.into is None else write_into(options.into, text)
        return
    names = options.parts.split(",")
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"unknown parts {', '.join(unknown)}; there are {', '.join(known)}")
    sizes = [int(size) for size in options.sizes.split(",")] if options.sizes else None
    with tempfile.TemporaryDirectory() as folder:
        measure(names, Inputs(options.papers, Path(folder), options.real), sizes, options.out)


if __name__ == "__main__":
    main()
