"""Disks that are full and folders that cannot be written; both are real file systems."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from semcse.checkpoints import Checkpoints
from semcse.cli import app
from semcse.corpus_vectors import Corpus, write_vectors
from semcse.embeddings import embed
from semcse.files import write_atomic
from semcse.papers import load_papers
from semcse.summaries import generate_summaries, load_summaries
from semcse.training import train
from tests.faults.listed import fault, linux
from tests.test_embeddings import Counting
from tests.test_summaries_kill import JOB, PAPERS, Telling
from tests.test_training import HELD_OUT, RECORDS, assert_same_training, study
from tests.tiny import tiny_bert

Told = Callable[[object], None]
MOUNT, UMOUNT = shutil.which("mount"), shutil.which("umount")
FULL = "No space left on device"
pytestmark = linux


class Disk:
    """A file system of its own in memory, so large and no larger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self, kib: int) -> None:
        self._mount("-t", "tmpfs", "-o", f"size={kib}k", "tmpfs")

    def change(self, options: str) -> None:
        self._mount("-o", f"remount,{options}")

    def umount(self) -> None:
        subprocess.run([str(UMOUNT), "--lazy", str(self.folder)], check=True)

    def _mount(self, *arguments: str) -> None:
        if MOUNT is None or UMOUNT is None:
            pytest.skip("there is no mount here")
        done = subprocess.run([MOUNT, *arguments, str(self.folder)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    found = Disk(tmp_path / "disk")
    found.folder.mkdir()
    found.mount(1024)
    yield found
    found.umount()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("model"))


def filled(disk: Disk, kib: int) -> Path:
    """All but so much of the disk taken by something else."""
    rest = disk.folder / "something else"
    rest.write_bytes(b"x" * (shutil.disk_usage(disk.folder).free - 1024 * kib))
    return rest


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@fault(
    "the disk is full when a file is written",
    "the file that was there stays as it was, no half one lies beside it",
    FULL,
)
def test_a_file_is_replaced_whole_or_not_at_all(disk: Disk, told: Told) -> None:
    path = write_atomic(disk.folder / "results.json", "old")
    rest = filled(disk, 16)
    before = contents(disk.folder)
    with pytest.raises(OSError, match=FULL) as error:
        write_atomic(path, "new " * 10_000)
    told(error.value)
    assert contents(disk.folder) == before
    rest.unlink()
    write_atomic(path, "new " * 10_000)
    assert path.stat().st_size == 40_000


@fault(
    "the disk is full while summaries are written",
    "whole shards stay; with room again the same command writes the others, and the table is the same",
    FULL,
)
def test_summaries_go_on_with_room_again(disk: Disk, tmp_path: Path, told: Told) -> None:
    folder = disk.folder / "summaries"
    folder.mkdir()
    rest = filled(disk, 40)
    with pytest.raises(OSError, match=FULL) as error:
        generate_summaries(PAPERS, Telling(), folder, **JOB)
    told(error.value)
    there = contents(folder)
    shards = {name for name in there if name.startswith("shard")}
    assert 0 < len(shards) < 14
    assert not [name for name in there if name.startswith(".")]
    rest.unlink()
    report = generate_summaries(PAPERS, Telling(), folder, **JOB)
    assert (report.reused, report.written) == (len(shards), 14 - len(shards))
    generate_summaries(PAPERS, Telling(), tmp_path / "whole", **JOB)
    assert load_summaries(folder).equals(load_summaries(tmp_path / "whole"))


@fault(
    "the disk is full while a checkpoint of training is written",
    "training stops; with room again it goes on from the last whole checkpoint and ends in the same bits",
    FULL,
)
def test_training_goes_on_with_room_again(
    disk: Disk, tmp_path: Path, model: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.change("size=64m")
    options: dict[str, Any] = {"max_steps": 12, "checkpoint_every": 4, "evaluate_every": 4}
    there, elsewhere = study(model, disk.folder / "run", **options), study(model, tmp_path / "run", **options)
    train(elsewhere, RECORDS, HELD_OUT)
    mark_whole, rest = Checkpoints.mark_whole, []

    def fill(self: Checkpoints, step: int) -> None:
        mark_whole(self, step)
        rest.append(filled(disk, 16))

    monkeypatch.setattr(Checkpoints, "mark_whole", fill)
    with pytest.raises(Exception, match=FULL) as error:
        train(there, RECORDS, HELD_OUT)
    told(error.value)
    assert not (there.folder / "model").exists()
    monkeypatch.undo()
    assert [path.unlink() for path in rest] == [None]
    train(there, RECORDS, HELD_OUT)
    assert_same_training(there.folder, elsewhere.folder)


@fault(
    "the disk is full while embeddings are stored",
    "shards that are whole stay and are not computed again",
    FULL,
)
def test_the_cache_of_embeddings_goes_on(disk: Disk, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semcse.embeddings.SHARD", 200)
    texts = [f"text {number}" for number in range(1000)]
    rest = filled(disk, 90)
    with pytest.raises(OSError, match=FULL) as error:
        embed(Counting(), texts, disk.folder / "cache")
    told(error.value)
    whole = len(list((disk.folder / "cache").rglob("shard-*.json")))
    assert 0 < whole < 5
    rest.unlink()
    encoder = Counting()
    np.testing.assert_array_equal(embed(encoder, texts, disk.folder / "cache"), Counting().encode(texts))
    assert len(encoder.asked) == 1000 - 200 * whole


@fault(
    "the disk is full while semcse embed writes",
    "vectors that were there before stay; with room again the same command goes on from the last whole block",
    "No space left on device...Free some; then the same command goes on",
)
def test_embed_goes_on_with_room_again(disk: Disk, tmp_path: Path, model: Path, told: Told) -> None:
    papers = load_papers("demo").to_pandas()[["title", "abstract"]]
    out = disk.folder / "v.npy"
    papers.head(5).to_csv(tmp_path / "few.csv")
    papers.to_csv(tmp_path / "my.csv")
    write_vectors(Corpus(tmp_path / "few.csv"), str(model), out)
    rest, before = filled(disk, 48), contents(disk.folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("semcse.corpus_vectors.write_vectors", lambda *a, **k: write_vectors(*a, **k, block=100))
        full = CliRunner().invoke(app, ["embed", str(tmp_path / "my.csv"), "--model", str(model), "-o", str(out)])
        assert full.exit_code == 1
        told(full.output)
        assert contents(disk.folder) == before
        assert (disk.folder / "v.partial" / "vectors.npy").stat().st_size > 100 * 64
        rest.unlink()
        again = CliRunner().invoke(app, ["embed", str(tmp_path / "my.csv"), "--model", str(model), "-o", str(out)])
        assert again.exit_code == 0, again.output
    write_vectors(Corpus(tmp_path / "my.csv"), str(model), tmp_path / "whole.npy", block=100)
    assert out.read_bytes() == (tmp_path / "whole.npy").read_bytes()


@pytest.mark.parametrize("command", ["run", "embed", "report"])
@fault(
    "a folder that cannot be written",
    "an error that names it; nothing is changed",
    "Read-only file system: '...disk",
)
def test_a_folder_that_cannot_be_written(
    disk: Disk, tmp_path: Path, model: Path, told: Told, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.csv").write_text("title,abstract\nA,One. Two.\n")
    run = disk.folder / "run"
    run.mkdir()
    (run / "params.yaml").write_text("name: run\n")
    disk.change("ro")
    arguments = {
        "run": ["demo", "-p", f"folder={run}", "--only", "01"],
        "embed": ["my.csv", "--model", str(model), "-o", str(disk.folder / "v.npy")],
        "report": [str(run)],
    }
    done = CliRunner().invoke(app, [command, *arguments[command]])
    assert done.exit_code == 1, done.output
    assert isinstance(done.exception, SystemExit), done.exception
    told(done.output)
    assert [path.name for path in run.iterdir()] == ["params.yaml"]
