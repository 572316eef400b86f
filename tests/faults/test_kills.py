"""Processes that are killed at random points, and two that want the same folder.

SEMCSE_FAULTS=all python -m pytest tests/faults/test_kills.py -s        # every stage of a run, too
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from semcse import corpus_vectors, embeddings
from semcse.cli import app
from semcse.corpus_search import load_vectors
from semcse.corpus_vectors import Corpus, write_vectors
from semcse.embeddings import embed
from semcse.files import alone
from semcse.models import Embedder
from semcse.params import load
from semcse.readers import DataError
from semcse.records import read_records
from semcse.run import locked, prepare
from semcse.schema import Sampling
from semcse.splits import NAMES, Splits, load_splits, sample
from tests.faults.listed import ALL, fault, long
from tests.faults.test_scale import Lengths, corpus
from tests.test_embeddings import Counting
from tests.test_sweep import SETTINGS
from tests.test_training import weights
from tests.tiny import tiny_demo_bert

Told = Callable[[object], None]
KILLS = 100 if ALL else 6
fork = multiprocessing.get_context("fork")


def killed(work: Callable[[], object], most: float, dice: np.random.Generator) -> bool:
    """Do the work in a process that is killed within `most` seconds; whether it came to that."""
    process = fork.Process(target=work)
    process.start()
    process.join(dice.random() * most)
    assert process.pid is not None
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


class Slow(Lengths):
    """Takes its time and counts its calls across processes."""

    def __init__(self) -> None:
        self.calls = fork.Value("i", 0)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        time.sleep(0.02)
        vectors = super().encode(texts)
        with self.calls.get_lock():
            self.calls.value += 1
        return vectors


@fault(
    "semcse embed is killed at random points",
    "vectors that were there before stay; the next call goes on from the last whole block and ends in the same bytes",
)
def test_embed_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, dice, kills = Slow(), np.random.default_rng(0), 0
    monkeypatch.setattr(corpus_vectors, "open_encoder", lambda *_: Embedder("lengths", encoder, "cosine"))
    papers, few, out = corpus(tmp_path / "my.csv", 400), corpus(tmp_path / "few.csv", 9), tmp_path / "v.npy"
    write_vectors(Corpus(papers), "lengths", tmp_path / "whole.npy", block=16)
    whole = [(tmp_path / "whole.npy").with_suffix(suffix).read_bytes() for suffix in (".npy", ".parquet", ".json")]
    while kills < KILLS:
        write_vectors(Corpus(few), "lengths", out)
        before, encoder.calls.value, allowed, unfinished = out.read_bytes(), 0, 25, True
        while kills < KILLS and unfinished:
            unfinished = killed(lambda: write_vectors(Corpus(papers), "lengths", out, block=16), 0.6, dice)
            if unfinished:
                kills, allowed = kills + 1, allowed + 1  # at most the block in hand is lost
                if out.read_bytes() == before and out.with_suffix(".json").exists():
                    assert len(load_vectors(out).vectors) == 9
                else:  # killed amid the last renames: all is done again
                    assert out.read_bytes() in (before, whole[0])
                    allowed += 25
        if unfinished:
            write_vectors(Corpus(papers), "lengths", out, block=16)
        assert [out.with_suffix(suffix).read_bytes() for suffix in (".npy", ".parquet", ".json")] == whole
        assert encoder.calls.value <= allowed
        assert not list(tmp_path.glob("*.partial"))


@fault(
    "a process is killed while embeddings are stored",
    "what it stored is whole or counts as missing; the same vectors are there in the end",
)
def test_the_cache_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "SHARD", 10)
    texts, dice = [f"text {number}" for number in range(300)], np.random.default_rng(0)
    expected = Counting().encode(texts)
    for turn in range(KILLS):
        store = tmp_path / str(turn % 3)
        killed(lambda store=store: embed(Counting(), texts, store), 0.08, dice)
    for store in tmp_path.iterdir():
        np.testing.assert_array_equal(embed(Counting(), texts, store), expected)


@pytest.fixture(scope="module")
def splits() -> Splits:
    return sample(Sampling(source="demo", training=40, validation=12, benchmark=24, clustering=40), 0)


@fault(
    "sampling is killed while it writes its papers",
    "the sets count as there when the last file is, and are then whole; else notebook 01 writes them again",
    "no papers yet. Run notebook 01",
)
def test_sampling_is_killed(tmp_path: Path, splits: Splits, told: Told) -> None:
    dice, refused = np.random.default_rng(0), 0
    for turn in range(2 * KILLS):
        folder = tmp_path / str(turn)
        killed(lambda folder=folder: splits.save(folder, 0), 0.04, dice)
        try:
            found = load_splits(folder)
        except DataError as error:
            told(error)
            refused += 1
            splits.save(folder, 0)
            found = load_splits(folder)
        for name in NAMES:
            assert getattr(found, name).data.table.equals(getattr(splits, name).data.table)
    assert refused


def holding(enter: Callable[[], Any], ready: Any, done: Any) -> None:
    with enter():
        ready.set()
        done.wait(60)


@pytest.mark.parametrize("what", ["run", "embed"])
@fault(
    "a second command for the folder or file that one is writing",
    "it refuses before it changes anything; the first one goes on",
    "another...wait for it",
)
def test_two_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told, what: str) -> None:
    ready, done = fork.Event(), fork.Event()
    study, out = load("demo", [f"folder={tmp_path / 'run'}"]), tmp_path / "v.npy"
    prepare(study)
    papers = corpus(tmp_path / "my.csv", 20)
    monkeypatch.setattr(corpus_vectors, "open_encoder", lambda *_: Embedder("lengths", Lengths(), "cosine"))
    write_vectors(Corpus(papers), "lengths", out)
    lock = tmp_path / "v.partial" / corpus_vectors.LOCK
    held = (lambda: locked(study.folder)) if what == "run" else (lambda: alone(lock))
    first = fork.Process(target=holding, args=(held, ready, done))
    first.start()
    assert ready.wait(60)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    second = {
        "run": ["run", "demo", "-p", f"folder={study.folder}", "-p", "tsne.perplexity=12"],
        "embed": ["embed", str(papers), "--model", "lengths", "-o", str(out)],
    }
    refused = CliRunner().invoke(app, second[what])
    assert refused.exit_code == 1
    told(refused.output)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    done.set()
    first.join()


def start(study: Path) -> subprocess.Popen[bytes]:
    """`semcse run` on that study, in a process group of its own."""
    command = [sys.executable, "-m", "semcse.cli", "run", str(study / "given.yaml"), "-j", "1"]
    with (study / "out.txt").open("ab") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True, cwd=study)


def tiny_run(folder: Path, base: Path) -> Path:
    """A folder with the parameters of a run of seconds."""
    folder.mkdir()
    own = {**SETTINGS, "folder": "run", "training.base": base}
    lines = "\n".join(
        f"  {key.partition('.')[2]}: {value}" for key, value in own.items() if key.startswith("training.")
    )
    sampling = "\n".join(f"  {k.partition('.')[2]}: {v}" for k, v in own.items() if k.startswith("sampling."))
    measured = "benchmarks: {models: [], bootstrap: 50}"
    text = (
        f"extends: demo\nname: tiny\nfolder: {folder / 'run'}\nsampling:\n{sampling}\ntraining:\n{lines}\n{measured}\n"
    )
    (folder / "given.yaml").write_text(text, "utf-8")
    return folder


@long
@fault(
    "semcse run is killed at a random point of every stage",
    "the same command goes on; scores and weights are those of a run that nobody killed",
)
def test_every_stage_is_killed(tmp_path: Path) -> None:
    base = tiny_demo_bert(tmp_path / "base")
    whole, broken = tiny_run(tmp_path / "whole", base), tiny_run(tmp_path / "broken", base)
    assert start(whole).wait() == 0, (whole / "out.txt").read_text()
    dice, notebooks = np.random.default_rng(1), broken / "run" / "notebooks"
    for number in ("01", "02", "03", "04", "05", "06", "07"):
        process = start(broken)
        while process.poll() is None and not list(notebooks.glob(f"{number}*")):
            time.sleep(0.05)
        time.sleep(dice.random() * 6)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert start(broken).wait() == 0, (broken / "out.txt").read_text()
    scores = [{(r["model"], r["task"]): r["scores"] for r in read_records(place / "run")} for place in (whole, broken)]
    assert scores[0] == scores[1]
    assert scores[0]
    one, other = (weights(place / "run") for place in (whole, broken))
    assert all(np.array_equal(one[name].numpy(), other[name].numpy()) for name in one)
