"""Training recipes over several seeds on the papers of a run: what the ablations of Table 3 do to the benchmark.

    python benchmarks/recipes.py runs/abstracts [--seeds 0 1 2] [--steps 120] [--papers 1000] [--share 0/2]

Every member (recipe, loss, seed) starts from the run's base and trains for the same number of steps on the run's
training papers; the best of four checkpoints by the validation scores of A.3 is measured. Members that are done are
skipped; `--share i/n` takes every n-th member, for several processes at once. The table is printed at the end.
"""

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from semcse import benchmark
from semcse.files import write_atomic
from semcse.models import Embedder, open_model
from semcse.params import Study, read
from semcse.schema import Training
from semcse.splits import Splits, load_splits
from semcse.stored import stored_queries, stored_summaries
from semcse.summaries import training_records
from semcse.training import metric_of, train

RECIPES = {
    "full": {},
    "just summaries": {"mix": {"summary": 1.0}},
    "same input": {"same_input": True},
    "crops": {"anchors": "sentence", "mix": {"sentence": 1.0}},
}
LOSSES = {
    "cosine": {"loss": "infonce", "learning_rate": 1e-4},
    "triplet": {"loss": "triplet", "learning_rate": 3e-5},
}
TASKS = ["title-abstract", "segments", "query", "clustering"]


class OnceEncoded:
    """A model that encodes each distinct text once."""

    def __init__(self, model: Embedder) -> None:
        self.model = model
        self.known: dict[str, Any] = {}

    def __call__(self, texts: list[str]) -> Any:
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        if new:
            self.known |= dict(zip(new, self.model.encode(new), strict=True))
        return np.stack([self.known[text] for text in texts])


def scores(model: Embedder, splits: Splits, queries: dict[Any, str], papers: int) -> dict[str, float]:
    """The four headline scores on `papers` benchmark papers, those with queries first, and as many clustering ones."""
    encode, metric, separator = OnceEncoded(model), model.metric, model.separator
    pool = sorted(splits.benchmark, key=lambda paper: paper["corpus_id"] not in queries)[:papers]
    train_part, test_part = (
        list(splits.clustering_train)[: 2 * papers // 3],
        list(splits.clustering_test)[: papers // 3],
    )
    options: dict[str, Any] = {"metric": metric, "resamples": 1}
    results = [
        benchmark.title_abstract(encode, pool, **options)["mean_rank"],
        benchmark.abstract_segments(encode, pool, **options)["mean_rank"],
        benchmark.query_matching(encode, pool, queries, separator, **options)["mean_rank"],
        benchmark.clustering(encode, train_part, test_part, separator, k=5, **options)["purity"],
    ]
    return dict(zip(TASKS, map(float, results), strict=True))


def members(base: Training, seeds: Sequence[int], steps: int) -> Iterator[tuple[str, str, int, Training]]:
    """Recipe, loss, seed and settings."""
    for seed, recipe, loss in itertools.product(seeds, RECIPES, LOSSES):
        changes = {"max_steps": steps, "evaluate_every": steps // 4, "checkpoint_every": steps, "warmup_steps": 20}
        settings = base.model_dump() | changes | LOSSES[loss] | RECIPES[recipe]
        yield recipe, loss, seed, Training.model_validate(settings)


def run_member(study: Study, data: tuple[Any, ...], papers: int) -> None:
    """Train and measure one member unless its scores are there."""
    records, validation, splits, queries = data
    if (study.folder / "scores.json").is_file():
        return
    folder = train(study, records, validation)
    model = open_model(str(folder), precision="bfloat16", metric=metric_of(study.training))
    write_atomic(study.folder / "scores.json", json.dumps(scores(model, splits, queries, papers)))
    for weights in (*study.folder.glob("checkpoints/**/*.safetensors"), *study.folder.glob("checkpoints/**/*.pt")):
        weights.unlink()


def base_scores(out: Path, base: str, data: tuple[Any, ...], papers: int) -> None:
    """The untrained base under both metrics."""
    for loss, metric in (("cosine", "cosine"), ("triplet", "euclidean")):
        path = out / f"base--{loss}.json"
        if not path.is_file():
            model = open_model(base, pooling="cls", precision="bfloat16", metric=metric)
            write_atomic(path, json.dumps(scores(model, data[2], data[3], papers)))


def table(out: Path, seeds: Sequence[int]) -> pd.DataFrame:
    """Mean and standard deviation over seeds, one row a loss and recipe."""
    rows = {}
    for loss in LOSSES:
        rows[loss, "base"] = [json.loads((out / f"base--{loss}.json").read_text())]
        for recipe in RECIPES:
            paths = [out / f"{recipe}--{loss}--{seed}".replace(" ", "-") / "scores.json" for seed in seeds]
            rows[loss, recipe] = [json.loads(path.read_text()) for path in paths if path.is_file()]
    shown = {}
    for key, found in rows.items():
        frame = pd.DataFrame(found, columns=TASKS)
        spread = frame.std(ddof=1).fillna(0)
        shown[key] = {task: f"{frame[task].mean():.3f} ± {spread[task]:.3f}" for task in TASKS} | {"seeds": len(found)}
    return pd.DataFrame(shown).T


def main() -> None:
    """Run the members of this share and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run whose notebooks 01 and 02 are done")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--papers", type=int, default=1000, help="of the benchmark")
    parser.add_argument("--share", default="0/1", help="i/n: every n-th member from i on")
    parser.add_argument("--out", type=Path, help="default: RUN/recipes")
    options = parser.parse_args()
    out = options.out or options.run / "recipes"
    share, shares = map(int, options.share.split("/"))
    splits, queries, summaries = (
        load_splits(options.run / "papers"),
        stored_queries(options.run),
        stored_summaries(options.run),
    )
    held_out = summaries["corpus_id"].isin(splits.validation["corpus_id"])
    records, _ = training_records(splits.training, summaries[~held_out])
    validation, _ = training_records(splits.validation, summaries[held_out])
    data = (records, validation, splits, queries)
    base = Training.model_validate(read(options.run).training.model_dump() | {"base": str(base_folder(options.run))})
    if share == 0:
        base_scores(out, base.base, data, options.papers)
    for recipe, loss, seed, settings in itertools.islice(
        members(base, options.seeds, options.steps), share, None, shares
    ):
        folder = out / f"{recipe}--{loss}--{seed}".replace(" ", "-")
        run_member(Study(folder=folder, seed=seed, training=settings), data, options.papers)
        print(recipe, loss, seed, (folder / "scores.json").read_text(), flush=True)
    print(table(out, options.seeds).to_markdown())


def base_folder(run: Path) -> Path:
    """Where the run's base was found."""
    done = sorted((run / "done").glob("training-*.json"))
    return Path(json.loads(done[0].read_text())["base_path"])


if __name__ == "__main__":
    main()
