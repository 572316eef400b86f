"""Training across processes, and processes that are killed."""

import multiprocessing
import os
import random
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from transformers import AutoModel

from semcse.losses import InfoNCELoss, TripletLoss
from semcse.pairs import PairStream
from semcse.sampler import PairSampler
from semcse.schema import Study
from semcse.trainable import TrainableEncoder
from semcse.training import train, training_log
from tests.test_sampler import papers
from tests.test_training import HELD_OUT, RECORDS, assert_same_training, study
from tests.tiny import tiny_bert, tiny_tokenizer

Processes = Any


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("base"), dropout=0.0)


@pytest.fixture(scope="module")
def processes() -> Processes:
    """Children of a server that has imported everything once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["semcse.training", "tests.test_training"])
    return context


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def as_rank(rank: int, port: int) -> None:
    """What torchrun tells a process of two."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)


def gradients(folder: Path, rank: int = 0, world_size: int = 1) -> list[list[Tensor]]:
    """Loss and every gradient of the first batch, under both losses."""
    sampler = PairSampler(RECORDS, batch_size=16 // world_size, rank=rank, world_size=world_size)
    data = next(iter(PairStream(sampler, tiny_tokenizer(), 64, 8)))
    results = []
    for loss in (InfoNCELoss(), TripletLoss()):
        inner = TrainableEncoder(AutoModel.from_pretrained(folder), "cls").double()
        model = torch.nn.parallel.DistributedDataParallel(inner) if world_size > 1 else inner
        value = loss(*model(data["groups"], data["order"]).chunk(2))
        value.backward()
        results.append([value.detach(), *(p.grad for p in inner.parameters() if p.grad is not None)])
    return results


def run_rank(rank: int, port: int, base: Path, folder: Path) -> None:
    """One of two processes: gradients of the first batch, then a whole training."""
    as_rank(rank, port)
    dist.init_process_group("gloo")
    torch.save(gradients(base, rank, 2), folder / f"rank{rank}.pt")
    train(study(base, folder / "two", batch_size=8, max_steps=6), RECORDS, HELD_OUT)
    dist.destroy_process_group()


def test_two_processes_equal_one_with_the_doubled_batch(processes: Processes, base: Path, tmp_path: Path) -> None:
    port = free_port()
    ranks = [processes.Process(target=run_rank, args=(rank, port, base, tmp_path)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
        assert process.exitcode == 0
    for rank in range(2):
        found = torch.load(tmp_path / f"rank{rank}.pt", weights_only=True)
        for one, other in zip(found, gradients(base), strict=True):
            for got, want in zip(one, other, strict=True):
                torch.testing.assert_close(got, want, atol=1e-9, rtol=0)
    train(study(base, tmp_path / "one", batch_size=16, max_steps=6), RECORDS, HELD_OUT)
    one, two = training_log(tmp_path / "one"), training_log(tmp_path / "two")
    assert two.step.tolist() == one.step.tolist()  # one evaluation, one line a step
    assert two.loss[1:].tolist() == pytest.approx(one.loss[1:].tolist(), abs=1e-4)
    assert two.dropna(subset="score").step.tolist() == [0, 5, 6]


def test_devices_starts_the_processes_itself(base: Path, tmp_path: Path) -> None:
    one = study(base, tmp_path / "one", batch_size=16, max_steps=3)
    two = study(base, tmp_path / "two", batch_size=8, max_steps=3, devices=2)
    train(one, RECORDS, HELD_OUT)
    train(two, RECORDS, HELD_OUT)
    losses = [training_log(run.folder).loss[1:].tolist() for run in (one, two)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    log = (two.folder / "training" / "log.jsonl").read_bytes()
    train(two, RECORDS, HELD_OUT)
    assert (two.folder / "training" / "log.jsonl").read_bytes() == log


def test_more_devices_than_there_are(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"training\.devices is 1000, but this machine has \d+; lower it"):
        train(study(base, tmp_path, devices=1000), RECORDS, HELD_OUT)


def run_alone(run: Study) -> None:
    """One training in a process of its own."""
    torch.set_num_threads(1)
    train(run, papers(40), HELD_OUT)


def kill_at_random(process: Any, run: Study, dice: random.Random) -> bool:
    """Kill after a random number of new log lines and a moment more; whether it came to that."""
    log = run.folder / "training" / "log.jsonl"
    seen = log.read_bytes().count(b"\n") if log.exists() else 0
    until = dice.randrange(1, 12)
    while process.is_alive():
        now = log.read_bytes().count(b"\n") if log.exists() else 0
        if now - seen >= until or now < seen:
            time.sleep(dice.random() * 0.02)
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            return True
        time.sleep(0.001)
    process.join()
    return False


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_killed_at_random_ends_in_the_same_weights(processes: Processes, tmp_path: Path, precision: str) -> None:
    """SEMCSE_KILLS sets how many kills there are."""
    base = tiny_bert(tmp_path / "base")
    wanted = int(os.environ.get("SEMCSE_KILLS", "4"))
    options: dict[str, Any] = {"checkpoint_every": 5, "evaluate_every": 7, "warmup_steps": 4, "precision": precision}
    options["max_steps"] = 20 + 10 * wanted
    whole, broken = study(base, tmp_path / "whole", **options), study(base, tmp_path / "broken", **options)
    process = processes.Process(target=run_alone, args=(whole,))
    process.start()
    process.join()
    dice, kills = random.Random(0), 0  # noqa: S311
    for _ in range(20 * wanted):
        process = processes.Process(target=run_alone, args=(broken,))
        process.start()
        if kills < wanted and kill_at_random(process, broken, dice):
            kills += 1
        process.join()
        if process.exitcode == 0:
            break
    assert process.exitcode == 0
    assert kills == wanted
    assert_same_training(whole.folder, broken.folder)
