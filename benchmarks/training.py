"""Training speed against the sentence-transformers trainer: pairs a second, peak memory, share of matrix products.

    python benchmarks/training.py [--model minilm|deberta] [--steps 8] [--rounds 2]

Same encoder, same texts, same batch of 32 pairs, no evaluation, each arm in a process of its own, the arms in turn so
that a busy machine bothers all alike. The peer's loss is MultipleNegativesRankingLoss at our temperature. Speeds are
medians over steps after the first two; beside wall time stands processor time, which other processes disturb less.
"""

import argparse
import contextlib
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

BATCH = 32
SKIPPED = 2
ARMS = {
    "peer, float32": {"ours": False, "bf16": False, "batch": BATCH, "max_length": 128},
    "ours, float32": {"ours": True, "precision": "float32"},
    "peer, bfloat16": {"ours": False, "bf16": True, "batch": BATCH, "max_length": 128},
    "ours, bfloat16": {"ours": True, "precision": "bfloat16"},
    "peer, its defaults": {"ours": False, "bf16": False, "batch": 8, "max_length": None},
}


def records() -> list[dict[str, Any]]:
    """The bundled papers."""
    import gzip

    path = Path(__file__).parents[1] / "semcse" / "data" / "demo_corpus.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def encoder_folder(name: str, folder: Path) -> str:
    """all-MiniLM-L6-v2, or a DeBERTa-v2-base with random weights and the same tokenizer."""
    from semcse.models import resolve

    minilm = resolve("all-MiniLM-L6-v2")
    if name == "minilm":
        return minilm
    from shapes import deberta_v2_base
    from transformers import AutoTokenizer, DebertaV2Model

    torch.manual_seed(0)
    DebertaV2Model(deberta_v2_base()).save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm).save_pretrained(folder)
    return str(folder)


class Clock:
    """Wall and processor time at the end of each step, and the pairs of a step."""

    def __init__(self, pairs: int) -> None:
        self.pairs = pairs
        self.times: list[tuple[float, float]] = []

    def tick(self) -> None:
        """A step has ended."""
        self.times.append((time.perf_counter(), time.process_time()))

    def report(self) -> dict[str, float]:
        """Median pairs a second by both clocks, and the peak of resident memory in GiB."""
        steps = list(zip(self.times[SKIPPED - 1 :], self.times[SKIPPED:], strict=False))
        wall, processor = (statistics.median(b[k] - a[k] for a, b in steps) for k in (0, 1))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        return {"pairs_per_second": self.pairs / wall, "pairs_per_cpu_second": self.pairs / processor, "peak": peak}


def ours(base: str, steps: int, folder: Path, precision: str) -> dict[str, float]:
    """Our trainer without evaluations."""
    from semcse.schema import Study, Training
    from semcse.trainer import ContrastiveTrainer
    from semcse.training import train

    clock = Clock(BATCH)
    maybe = ContrastiveTrainer._maybe_log_save_evaluate

    def ticking(self: ContrastiveTrainer, *args: Any, **kwargs: Any) -> Any:
        result = maybe(self, *args, **kwargs)
        clock.tick()
        if self.state.global_step >= steps:
            raise Finished
        return result

    ContrastiveTrainer._maybe_log_save_evaluate = ticking  # type: ignore[method-assign]
    ContrastiveTrainer.evaluate = lambda *_, **__: {}  # type: ignore[method-assign, assignment]
    settings = Training(
        base=base, loss="infonce", batch_size=BATCH, precision=precision, max_steps=steps + 1, evaluate_every=10**6
    )
    papers = records()
    with contextlib.suppress(Finished):
        train(Study(folder=folder, training=settings), papers[:600], papers[600:700])
    return clock.report()


class Finished(Exception):
    """Enough steps have been seen."""


def peer(base: str, steps: int, folder: Path, bf16: bool, batch: int, max_length: int | None) -> dict[str, float]:
    """The sentence-transformers trainer on the same pairs."""
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers import TrainerCallback

    from semcse.sampler import PairSampler

    clock = Clock(batch)

    class Ticking(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()

    pairs = [pair for chunk in PairSampler(records()[:600]) for pair in chunk]
    data = Dataset.from_dict({"anchor": [a for a, _, _ in pairs], "positive": [p for _, p, _ in pairs]})
    model = SentenceTransformer(base, device="cpu")
    if max_length is not None:
        model.max_seq_length = max_length
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=batch, bf16=bf16, use_cpu=True,
        save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip
    loss = MultipleNegativesRankingLoss(model, scale=1 / 0.07)
    trainer = SentenceTransformerTrainer(
        model=model, args=arguments, train_dataset=data, loss=loss, callbacks=[Ticking()]
    )
    trainer.train()
    return clock.report()


def matrix_share(base: str, steps: int, folder: Path, precision: str) -> dict[str, float]:
    """Share of our step's time inside matrix products, by torch's profiler."""
    from torch.profiler import ProfilerActivity, profile

    products = {"aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::mkldnn_linear"}
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        ours(base, steps, folder, precision)
    events = profiler.key_averages()
    inside = [event for event in events if event.key != "aten::item" and event.self_cpu_time_total > 0]
    total = sum(event.self_cpu_time_total for event in inside)
    return {"share": sum(event.self_cpu_time_total for event in inside if event.key in products) / total}


def _in_a_folder(
    work: Callable[..., dict[str, float]], arguments: tuple[Any, ...], options: dict[str, Any]
) -> dict[str, float]:
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        return work(*arguments, Path(folder) / "run", **options)


def apart(work: Callable[..., dict[str, float]], *arguments: Any, **options: Any) -> dict[str, float]:
    """Run in a process of its own, so that peaks of memory do not mix."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_in_a_folder, work, arguments, options).result()


def measure(name: str, steps: int, rounds: int) -> None:
    """Print the table of one encoder."""
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    with tempfile.TemporaryDirectory() as folder:
        base = encoder_folder(name, Path(folder))
        for _ in range(rounds):
            for arm, options in ARMS.items():
                rest = {key: value for key, value in options.items() if key != "ours"}
                found[arm].append(apart(ours if options["ours"] else peer, base, steps, **rest))
        shares = {precision: apart(matrix_share, base, 4, precision=precision) for precision in ("float32", "bfloat16")}
    print(f"\n{name}: pairs a second, median of {rounds} rounds of {steps - SKIPPED} steps")
    print("| | pairs/s | pairs/cpu s | peak GiB |\n|---|---:|---:|---:|")
    middle = {arm: {key: statistics.median(r[key] for r in rows) for key in rows[0]} for arm, rows in found.items()}
    for arm, row in middle.items():
        print(f"| {arm} | {row['pairs_per_second']:.1f} | {row['pairs_per_cpu_second']:.1f} | {row['peak']:.2f} |")
    for arm, against in (
        ("ours, float32", "peer, float32"),
        ("ours, bfloat16", "peer, bfloat16"),
        ("ours, bfloat16", "peer, its defaults"),
    ):
        ratios = [middle[arm][key] / middle[against][key] for key in ("pairs_per_second", "pairs_per_cpu_second")]
        print(f"{arm} / {against}: {ratios[0]:.2f}x wall, {ratios[1]:.2f}x processor")
    for precision, share in shares.items():
        print(f"share of matrix products in our step, {precision}: {share['share']:.0%}")


def main() -> None:
    """Measure one encoder or both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["minilm", "deberta"], help="default: both")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    if options.steps <= SKIPPED:
        parser.error(f"--steps must be more than the {SKIPPED} that are not counted, got {options.steps}")
    for name in [options.model] if options.model else ["minilm", "deberta"]:
        measure(name, options.steps, options.rounds)


if __name__ == "__main__":
    main()
