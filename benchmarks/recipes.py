"""Training recipes over several seeds on the papers of a run: what the ablations of Table 3 do to the benchmark.

    python benchmarks/recipes.py runs/abstracts [--recipes full crops] [--losses cosine] [--seeds 0 1 2] [--steps 120]
        [--papers 1000] [--share 0/2]

A recipe is "full", the run's own, or a YAML file whose differences it takes, by its name in params/ or
params/ablations/ or by its path. Every member (recipe, loss, seed) starts from the run's base and trains for the same
number of steps, or as many as its file says, on the run's training papers; the best of four checkpoints by the
validation scores of A.3 is measured, or what the recipe's `selection` says. Members that are done are skipped;
`--share i/n` takes every n-th member, for several processes at once. Printed at the end: mean and standard deviation
over seeds with the tokens trained on, and 95 % intervals of the mean by Student's t.
"""

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from semcse import benchmark
from semcse.encoder import tokenize
from semcse.files import write_atomic
from semcse.models import Embedder, open_model
from semcse.params import Study, load, read
from semcse.performance import LOWER_IS_BETTER, performance
from semcse.schema import Training
from semcse.splits import Splits, load_splits
from semcse.stored import stored_queries, stored_summaries
from semcse.summaries import training_records
from semcse.training import EXPORTED_LENGTH, metric_of, train, training_log, whitening_texts

RECIPES = ("full", "just-summaries", "same-input", "crops")
LOSSES = {
    "cosine": {"loss": "infonce", "learning_rate": 1e-4},
    "triplet": {"loss": "triplet", "learning_rate": 3e-5},
}
TASKS = ["title-abstract", "segments", "query", "clustering"]
SHOWN = [*TASKS, "perf"]


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


def members(run: Path, options: argparse.Namespace) -> Iterator[tuple[str, Study]]:
    """Name and study of each member."""
    own = read(run).training
    steps = {"max_steps": options.steps, "evaluate_every": options.steps // 4, "checkpoint_every": options.steps}
    common = own.model_dump() | steps | {"warmup_steps": 20, "base": str(base_folder(run))}
    for seed, recipe, loss in itertools.product(options.seeds, options.recipes, options.losses):
        changes = {} if recipe == "full" else differences(own, load(f"{run / 'params.yaml'}+{recipe}").training)
        settings = Training.model_validate(common | LOSSES[loss] | changes)
        name = member_name(recipe, loss, seed)
        yield name, Study(folder=options.out / name, seed=seed, training=settings)


def member_name(recipe: str, loss: str, seed: int) -> str:
    """The name of a member and its folder."""
    return f"{Path(recipe).stem}--{loss}--{seed}"


def differences(own: Training, other: Training) -> dict[str, Any]:
    """The settings of `other` that `own` has otherwise."""
    before = own.model_dump()
    return {key: value for key, value in other.model_dump().items() if value != before[key]}


def run_member(study: Study, data: tuple[Any, ...], papers: int) -> None:
    """Train and measure one member unless its scores are there."""
    records, validation, splits, queries = data
    if (study.folder / "scores.json").is_file():
        return
    folder = train(study, records, validation)
    model = open_model(str(folder), precision="bfloat16", metric=metric_of(study.training))
    result = scores(model, splits, queries, papers) | {"tokens": tokens_of(study, records, model)}
    write_atomic(study.folder / "scores.json", json.dumps(result))
    for weights in (*study.folder.glob("checkpoints/**/*.safetensors"), *study.folder.glob("checkpoints/**/*.pt")):
        weights.unlink()


def tokens_of(study: Study, records: Sequence[Any], model: Embedder) -> float:
    """Tokens that a member has been trained on, in thousands, from the speeds in its log.

    Those that are embedded for its whitening count a third: they have no backward pass, which is twice a forward one.
    """
    log = training_log(study.folder).dropna(subset="loss")
    of_a_pair = log["tokens_per_second"] / log["pairs_per_second"]
    trained = float(of_a_pair.sum() * study.training.batch_size)
    texts = whitening_texts(records, model.separator) if study.training.whitening else []
    embedded = sum(map(len, tokenize(model.encoder.tokenizer, texts, EXPORTED_LENGTH)))
    return (trained + embedded / 3) / 1000


def base_scores(options: argparse.Namespace, pooling: str, data: tuple[Any, ...]) -> None:
    """The untrained base under the metric of each loss."""
    for loss in options.losses:
        path = base_path(options.out, pooling, loss)
        if not path.is_file():
            metric = metric_of(Training.model_validate(LOSSES[loss]))
            model = open_model(str(base_folder(options.run)), pooling=pooling, precision="bfloat16", metric=metric)
            write_atomic(path, json.dumps(scores(model, data[2], data[3], options.papers)))


def base_path(out: Path, pooling: str, loss: str) -> Path:
    """Where the scores of the untrained base are."""
    return out / f"base-{pooling}--{loss}.json"


def found(options: argparse.Namespace, poolings: Sequence[str]) -> pd.DataFrame:
    """All scores: loss, recipe, seed, the tasks, tokens, and Perf. among the recipes of this table."""
    rows = []
    for loss in options.losses:
        for pooling in poolings:
            path = base_path(options.out, pooling, loss)
            rows.append({"loss": loss, "recipe": f"base, {pooling}"} | json.loads(path.read_text()))
        for recipe, seed in itertools.product(options.recipes, options.seeds):
            path = options.out / member_name(recipe, loss, seed) / "scores.json"
            if path.is_file():
                rows.append({"loss": loss, "recipe": Path(recipe).stem, "seed": seed} | json.loads(path.read_text()))
    frame = pd.DataFrame(rows)
    of_tasks = frame.rename(columns=dict(zip(TASKS, LOWER_IS_BETTER, strict=True)))
    means = of_tasks.groupby(["loss", "recipe"])[list(LOWER_IS_BETTER)].mean()
    return frame.assign(perf=performance(of_tasks, means))


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds, one row a loss and recipe."""
    groups = frame.groupby(["loss", "recipe"], sort=False)
    mean, spread = groups[SHOWN].mean(), groups[SHOWN].std(ddof=1)
    shown = {
        task: [f"{m:.3f}" + (f" ± {s:.3f}" if s == s else "") for m, s in zip(mean[task], spread[task], strict=True)]
        for task in SHOWN
    }
    numbers = {"seeds": groups.size(), "tokens (k)": groups["tokens"].mean().round()} if "tokens" in frame else {}
    return pd.DataFrame(shown | numbers, index=mean.index)


def intervals(frame: pd.DataFrame) -> pd.DataFrame:
    """95 % intervals of the mean over seeds, where there are several; else no rows."""
    shown = {}
    for key, group in frame.groupby(["loss", "recipe"], sort=False):
        if len(group) > 1:
            reach = student.ppf(0.975, len(group) - 1) * group[SHOWN].sem()
            low, high = group[SHOWN].mean() - reach, group[SHOWN].mean() + reach
            shown[key] = {task: f"{low[task]:.3f} to {high[task]:.3f}" for task in SHOWN}
    return pd.DataFrame(shown).T


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run whose notebooks 01 and 02 are done")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--losses", nargs="+", choices=list(LOSSES), default=list(LOSSES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--papers", type=int, default=1000, help="of the benchmark")
    parser.add_argument("--share", default="0/1", help="i/n: every n-th member from i on")
    parser.add_argument("--out", type=Path, help="default: RUN/recipes")
    options = parser.parse_args()
    options.out = options.out or options.run / "recipes"
    return options


def main() -> None:
    """Run the members of this share and print the tables."""
    options = parsed()
    run, (share, shares) = options.run, map(int, options.share.split("/"))
    splits, queries, summaries = load_splits(run / "papers"), stored_queries(run), stored_summaries(run)
    held_out = summaries["corpus_id"].isin(splits.validation["corpus_id"])
    records, _ = training_records(splits.training, summaries[~held_out])
    validation, _ = training_records(splits.validation, summaries[held_out])
    data = (records, validation, splits, queries)
    studies = list(members(run, options))
    poolings = list(dict.fromkeys(["cls", *(study.training.pooling for _, study in studies)]))
    if share == 0:
        for pooling in poolings:
            base_scores(options, pooling, data)
    for name, study in studies[share::shares]:
        run_member(study, data, options.papers)
        print(name, (study.folder / "scores.json").read_text(), flush=True)
    frame = found(options, poolings)
    for shown in filter(len, (table(frame), intervals(frame))):
        print(shown.rename_axis(["loss", "recipe"]).reset_index().to_markdown(index=False), end="\n\n")


def base_folder(run: Path) -> Path:
    """Where the run's base was found."""
    done = sorted((run / "done").glob("training-*.json"))
    return Path(json.loads(done[0].read_text())["base_path"])


if __name__ == "__main__":
    main()
