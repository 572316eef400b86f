"""Training: what it writes, that it repeats, that it learns, and how it fails."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from semcse import trainer as trainer_module
from semcse.checkpoints import Checkpoints, Log, training_log
from semcse.encoder import Encoder
from semcse.folders import DENSE
from semcse.geometry import partial_whitening
from semcse.schema import Study, Training
from semcse.training import NonFiniteLoss, metric_of, select_records, train
from semcse.validation import Validation
from tests.test_sampler import paper, papers
from tests.tiny import tiny_bert

RECORDS, HELD_OUT = papers(40), papers(60)[40:]
TIMES = ["pairs_per_second", "tokens_per_second"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("base"))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Models this small gain nothing from more, and lose much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def study(base: Path, folder: Path, seed: int = 0, **changes: Any) -> Study:
    """A run of a few steps."""
    settings: dict[str, Any] = {
        "base": str(base),
        "loss": "infonce",
        "batch_size": 8,
        "learning_rate": 3e-3,
        "max_steps": 12,
        "evaluate_every": 5,
        "checkpoint_every": 4,
        "patience": 10,
        "precision": "float32",
    }
    return Study(folder=folder, seed=seed, training=Training(**(settings | changes)))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The trained weights."""
    return load_file(folder / "model" / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether all bits agree."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def untimed(folder: Path) -> pd.DataFrame:
    """The log without what no run repeats."""
    return training_log(folder).drop(columns=TIMES)


class Crash(Exception):
    """Stands for whatever ends a process."""


def assert_same_training(one: Path, two: Path) -> None:
    """The same weights and the same log, times apart."""
    assert same(weights(one), weights(two))
    assert untimed(one).equals(untimed(two))


def train_and_crash(run: Study, step: int, method: str = "training_step") -> None:
    """Train, but end it when the step after `step` begins, or while `method` works at it."""
    original = getattr(trainer_module.ContrastiveTrainer, method)

    def crashing(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == step:
            raise Crash
        return original(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer_module.ContrastiveTrainer, method, crashing)
        with pytest.raises(Crash):
            train(run, RECORDS, HELD_OUT)


def test_writes_model_log_and_scores(base: Path, tmp_path: Path) -> None:
    run = study(base, tmp_path / "run")
    assert train(run, RECORDS, HELD_OUT) == tmp_path / "run" / "model"
    log = training_log(run.folder)
    assert log.step.tolist() == list(range(13))
    assert log.loss[1:].notna().all()
    assert log.learning_rate[1:].eq(3e-3).all()
    assert (log[TIMES][1:] > 0).all(axis=None)
    evaluated = log.dropna(subset="score")
    assert evaluated.step.tolist() == [0, 5, 10, 12]
    np.testing.assert_allclose(evaluated.score, evaluated.summary_rank + evaluated.paper_rank)
    best = evaluated[1:].sort_values("score").iloc[0]
    encoder = Encoder.load(run.folder / "model")
    scores = Validation(HELD_OUT, "cosine").scores(encoder)
    assert scores["score"] == pytest.approx(best.score)
    card = (run.folder / "model" / "README.md").read_text()
    assert f"{best.summary_rank:.3f}" in card
    assert "40 papers" in card
    assert list((run.folder / "training" / "tensorboard").iterdir())
    assert not list((run.folder / "checkpoints").glob("checkpoint-*"))


def test_same_seed_same_bits_and_other_seed_others(base: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        train(study(base, tmp_path / name, seed, max_steps=4), RECORDS, HELD_OUT)
    assert_same_training(tmp_path / "one", tmp_path / "two")
    assert not same(weights(tmp_path / "one"), weights(tmp_path / "three"))


@pytest.mark.parametrize(
    ("step", "method"),
    [(2, "training_step"), (6, "training_step"), (5, "evaluate"), (8, "_save_checkpoint"), (12, "_save")],
)
def test_continued_after_a_crash_equals_uninterrupted(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, method: str
) -> None:
    options: dict[str, Any] = {"accumulation": 2, "schedule": "linear", "warmup_steps": 3}
    train(study(base, tmp_path / "whole", **options), RECORDS, HELD_OUT)
    broken = study(base, tmp_path / "broken", **options)
    train_and_crash(broken, step, method)
    assert not (broken.folder / "model").exists()
    train(broken, RECORDS, HELD_OUT)
    assert_same_training(tmp_path / "whole", broken.folder)


def test_half_written_checkpoint_is_never_used(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(study(base, tmp_path / "whole"), RECORDS, HELD_OUT)
    broken = study(base, tmp_path / "broken")
    train_and_crash(broken, 9)
    last = Checkpoints(broken.folder / "checkpoints").last()
    assert last is not None
    assert last.name == "checkpoint-8"
    (last / "whole.json").unlink()
    (last / "optimizer.pt").write_bytes(b"half")
    with (broken.folder / "training" / "log.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')
    train(broken, RECORDS, HELD_OUT)
    assert_same_training(tmp_path / "whole", broken.folder)


def test_finished_run_is_left_alone_and_a_changed_one_redone(base: Path, tmp_path: Path) -> None:
    run = study(base, tmp_path / "run", max_steps=3)
    train(run, RECORDS, HELD_OUT)
    before = (run.folder / "model" / "model.safetensors").stat().st_mtime_ns
    train(run, RECORDS, HELD_OUT)
    assert (run.folder / "model" / "model.safetensors").stat().st_mtime_ns == before
    shutil.rmtree(run.folder / "model")
    train(run, RECORDS, HELD_OUT)
    first = weights(run.folder)
    train(study(base, run.folder, max_steps=3, learning_rate=1e-4), RECORDS, HELD_OUT)
    assert not same(first, weights(run.folder))


def test_patience_ends_and_survives_a_crash(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A learning rate of almost nothing never betters the first score."""
    options: dict[str, Any] = {
        "max_steps": None,
        "patience": 3,
        "evaluate_every": 2,
        "checkpoint_every": 3,
        "learning_rate": 1e-12,
    }
    run = study(base, tmp_path / "run", **options)
    train_and_crash(run, 7)
    train(run, RECORDS, HELD_OUT)
    assert training_log(run.folder).step.max() == 8
    assert json.loads((run.folder / "checkpoints" / "finished.json").read_text())["best_step"] == 2


@pytest.mark.parametrize("loss", ["infonce", "triplet"])
def test_learns_what_can_be_learned(base: Path, tmp_path: Path, loss: str) -> None:
    """Papers whose texts all carry their number: matching them is easy once one has looked."""
    options: dict[str, Any] = {"max_steps": 40, "evaluate_every": 40, "learning_rate": 1e-2, "pooling": "mean"}
    run = study(base, tmp_path / "run", loss=loss, **options)
    train(run, RECORDS, RECORDS)
    log = training_log(run.folder).dropna(subset="score")
    assert log.summary_rank.iloc[-1] < log.summary_rank.iloc[0] / 2


def test_nan_loss_names_the_papers_and_keeps_the_last_checkpoint(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = study(base, tmp_path / "run")
    original = trainer_module.ContrastiveTrainer._checked

    def broken(self: Any, loss: torch.Tensor, inputs: Any) -> torch.Tensor:
        return original(self, loss * float("nan") if self.state.global_step == 6 else loss, inputs)

    monkeypatch.setattr(trainer_module.ContrastiveTrainer, "_checked", broken)
    with pytest.raises(NonFiniteLoss, match=r"loss is nan at step 7, in the batch of the papers \d+(, \d+){7};"):
        train(run, RECORDS, HELD_OUT)
    last = Checkpoints(run.folder / "checkpoints").last()
    assert last is not None
    assert last.name == "checkpoint-4"
    assert not (run.folder / "model").exists()


def test_diverging_training_is_stopped(base: Path, tmp_path: Path) -> None:
    with pytest.raises((NonFiniteLoss, ValueError), match=r"not finite|loss is"):
        train(study(base, tmp_path / "run", learning_rate=1e30, loss="triplet"), RECORDS, HELD_OUT)
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"pooling": "mean"},
        {"pooling": "last", "loss": "triplet", "metric": "cosine"},
        {"projection": 4},
        {"same_input": True},
        {"anchors": "sentence"},
        {"summaries_per_paper": 2, "mix": {"summary": 1.0}},
        {"papers": 10},
        {"selection": "paper"},
        {"loss": "triplet", "l2": 0.0, "l2_squared": False, "margin": 2.0},
        {"precision": "bfloat16"},
        {"temperature": 1.0},
        {"gradient_cache": 3},
        {"schedule": "cosine", "warmup_steps": 1},
    ],
    ids=str,
)
def test_each_parameter_makes_another_model(base: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    train(study(base, tmp_path / "changed", max_steps=3, **changes), RECORDS, HELD_OUT)
    Encoder.load(tmp_path / "changed" / "model").encode(["a title"])
    if changes not in ({"selection": "paper"}, {"gradient_cache": 3}):
        train(study(base, tmp_path / "plain", max_steps=3), RECORDS, HELD_OUT)
        assert not same(weights(tmp_path / "changed"), weights(tmp_path / "plain"))


def test_the_last_weights_are_taken_where_nothing_selects(base: Path, tmp_path: Path) -> None:
    ruinous = {"learning_rate": 1.0, "patience": 1, "evaluate_every": 2}
    best = {}
    for selection in ("sum", "last"):
        run = study(base, tmp_path / selection, **ruinous, selection=selection)
        train(run, RECORDS, HELD_OUT)
        best[selection] = json.loads((run.folder / "checkpoints" / "finished.json").read_text())
    assert best["sum"]["best_step"] < best["sum"]["steps"] < 12  # what followed was worse, and patience ended it
    assert best["last"]["best_step"] == best["last"]["steps"] == 12
    assert not same(weights(tmp_path / "sum"), weights(tmp_path / "last"))
    with pytest.raises(ValueError, match="needs max_steps"):
        study(base, tmp_path, selection="last", max_steps=None)


def test_whitening_changes_the_space_and_not_the_weights(base: Path, tmp_path: Path) -> None:
    spaces = {}
    texts = [f"{record['title']} [SEP] {record['abstract']}" for record in RECORDS]
    for power in (0.0, 0.5):
        folder = train(study(base, tmp_path / str(power), whitening=power), RECORDS, HELD_OUT)
        spaces[power] = Encoder.load(folder).encode(texts)
    assert same(weights(tmp_path / "0.0"), weights(tmp_path / "0.5"))
    assert not (tmp_path / "0.0" / "model" / DENSE).exists()
    by_hand = partial_whitening(spaces[0.0], 0.5)(spaces[0.0])
    np.testing.assert_allclose(spaces[0.5], by_hand, atol=1e-3 * np.abs(by_hand).max())
    scores = Validation(HELD_OUT, "cosine").scores(Encoder.load(tmp_path / "0.5" / "model"))
    card = (tmp_path / "0.5" / "model" / "README.md").read_text()
    assert f"| this model | {scores['summary_rank']:.3f} | {scores['paper_rank']:.3f} |" in card
    assert "| before whitening |" in card


def test_training_starts_without_the_layer_of_its_base(base: Path, tmp_path: Path) -> None:
    first = train(study(base, tmp_path / "first", pooling="mean", whitening=0.5), RECORDS, HELD_OUT)
    shutil.copytree(first, tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / DENSE)
    (tmp_path / "bare" / "modules.json").unlink()
    for name in ("first/model", "bare"):
        train(study(tmp_path / name, tmp_path / f"from-{Path(name).name}", pooling="mean"), RECORDS, HELD_OUT)
    assert_same_training(tmp_path / "from-model", tmp_path / "from-bare")


def test_selections_are_nested() -> None:
    def ids(count: float) -> list[int]:
        return [record["corpus_id"] for record in select_records(RECORDS, Training(papers=count), seed=1)]

    assert ids(10) == ids(30)[:10] == ids(0.25)
    assert ids(10) != list(range(10))
    with pytest.raises(ValueError, match="asks for 41 papers, but there are 40"):
        ids(41)
    few = select_records(RECORDS, Training(summaries_per_paper=2), seed=1)
    assert [len(record["summaries"]) for record in few] == [2] * 40


def test_validation_scores_by_hand() -> None:
    """An encoder that puts texts on a line, so that ranks can be counted."""

    class Line:
        separator = "[SEP]"

        def encode(self, texts: list[str]) -> np.ndarray:
            return np.array([[float(text.split()[0])] for text in texts], dtype=np.float32)

    held_out = [
        paper(0, title="0.0", summaries=["0.0 a", "0.1 b"]),
        paper(1, title="5.2", summaries=["1.0 a", "9.0 b"]),  # the mean is 5
        paper(2, title="6.0", summaries=["2.0 a", "2.2 b"]),  # the mean is 2.1
    ]
    scores = Validation(held_out, "euclidean", "summary").scores(Line())  # type: ignore[arg-type]
    # title 6.0 is the farthest from 2.1: 0.0 at 2.1, 5.2 at 3.1, 6.0 at 3.9
    assert scores["paper_rank"] == pytest.approx((1 + 1 + 3) / 3)
    assert scores["summary_rank"] in (pytest.approx((1 + 3 + 1) / 3), pytest.approx((1 + 2 + 1) / 3))
    assert scores["score"] == scores["summary_rank"]
    with pytest.raises(ValueError, match="paper 7 has 1 distinct"):
        Validation([paper(7, summaries=["a", "a"]), paper(8)], "cosine")
    with pytest.raises(ValueError, match="at least 2 papers"):
        Validation([paper(7)], "cosine")


def test_compiled_training_is_the_same_training(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the backend that traces and guards but generates no code, which would take minutes."""
    compiled: list[torch.nn.Module] = []

    def traced(module: torch.nn.Module, **options: Any) -> None:
        compiled.append(module)
        module._compiled_call_impl = torch.compile(module._call_impl, backend="eager", **options)

    monkeypatch.setattr(torch.nn.Module, "compile", traced)
    for name, switch in (("plain", False), ("compiled", True)):
        train(study(base, tmp_path / name, max_steps=4, compile=switch), RECORDS, HELD_OUT)
    assert len(compiled) == 1
    assert same(weights(tmp_path / "plain"), weights(tmp_path / "compiled"))


def test_bad_records_are_named_before_anything_is_written(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="40 papers are fewer than one batch of 64"):
        train(study(base, tmp_path / "run", batch_size=64), RECORDS, HELD_OUT)
    with pytest.raises(FileNotFoundError, match="no training log"):
        training_log(tmp_path / "run")
    assert metric_of(Training(loss="infonce")) == "cosine"
    assert metric_of(Training()) == "euclidean"


def test_log_goes_back_to_a_step(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    for step in range(4):
        log.append({"step": step})
    log.rewind(2)
    assert [row["step"] for row in log.rows()] == [0, 1, 2]
    log.rewind(None)
    assert log.rows() == []
