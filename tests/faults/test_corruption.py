"""Files that a failing disk or a stray hand has changed: each is told by name with the way out, or made again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from semcse.checkpoints import Checkpoints, Log
from semcse.encoder import Encoder
from semcse.papers import load_papers
from semcse.params import ParameterError, load, read
from semcse.readers import DataError, read_jsonl
from semcse.records import read_records, write_record
from semcse.run import prepare
from semcse.schema import Sampling
from semcse.splits import load_splits, sample
from semcse.stored import array_path, space_embeddings, stored_models, stored_summaries, trained_models
from semcse.summaries import generate_summaries, load_summaries
from semcse.training import train
from tests.faults.listed import fault
from tests.test_summaries_kill import JOB, PAPERS, Telling
from tests.test_training import HELD_OUT, RECORDS, assert_same_training, study, train_and_crash
from tests.tiny import tiny_bert

Told = Callable[[object], None]


def flip(path: Path, place: int) -> None:
    """One byte of the file changed."""
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture
def job(tmp_path: Path) -> Path:
    generate_summaries(PAPERS, Telling(), tmp_path / "summaries", **JOB)
    return tmp_path / "summaries"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("model"))


@fault(
    "bytes at a shard's end are changed",
    "where it can still be read the rows are the same; else it counts as missing and is written again",
)
def test_a_shard_with_a_changed_end(job: Path) -> None:
    whole, path = load_summaries(job), job / "shard-00003.parquet"
    written, content = 0, path.read_bytes()
    for place in range(-400, 0, 23):
        path.write_bytes(content)
        flip(path, place)
        written += generate_summaries(PAPERS, Telling(), job, **JOB).written
        pd.testing.assert_frame_equal(load_summaries(job), whole)
    assert written > 4


@fault(
    "a byte amid a shard is changed",
    "reading it fails by its checksum; deleted, it alone is written again",
    "shard-00003.parquet: damaged (...). Delete it and write it alone anew",
)
def test_a_shard_with_a_changed_row(job: Path, told: Told) -> None:
    whole, path = load_summaries(job), job / "shard-00003.parquet"
    flip(path, path.read_bytes().index(b"the number"))
    with pytest.raises(DataError) as error:
        load_summaries(job)
    told(error.value)
    path.unlink()
    assert generate_summaries(PAPERS, Telling(), job, **JOB).written == 1
    pd.testing.assert_frame_equal(load_summaries(job), whole)


@fault(
    "the manifest of the summaries is damaged",
    "reading stops; the stage writes it anew and keeps every shard",
    "manifest.json: damaged (...). Run the summary stage again: it is written anew, and the shards stay.",
)
def test_a_damaged_manifest(job: Path, told: Told) -> None:
    whole = load_summaries(job)
    cut(job / "manifest.json")
    with pytest.raises(DataError) as error:
        load_summaries(job)
    told(error.value)
    with pytest.raises(DataError, match="Delete it if the folder holds this job"):
        generate_summaries(PAPERS, Telling(), job, **JOB)
    assert generate_summaries(PAPERS, Telling(), job, **JOB, on_change="redo").reused == 14
    pd.testing.assert_frame_equal(load_summaries(job), whole)


@pytest.mark.parametrize("name", ["optimizer.pt", "whole.json"])
@fault(
    "a checkpoint of training is damaged",
    "training goes on from the one before it and ends in the same bits",
    "checkpoint-8 is damaged; training goes on from the one before it",
)
def test_a_damaged_checkpoint(tmp_path: Path, model: Path, told: Told, name: str) -> None:
    whole, broken = (study(model, tmp_path / name, max_steps=10) for name in ("whole", "broken"))
    train(whole, RECORDS, HELD_OUT)
    train_and_crash(broken, 9)
    checkpoints = broken.folder / "checkpoints"
    assert {path.name for path in checkpoints.glob("checkpoint-*")} == {"checkpoint-4", "checkpoint-8"}
    flip(checkpoints / "checkpoint-8" / name, -2)
    with pytest.warns(UserWarning, match="is damaged") as said:
        train(broken, RECORDS, HELD_OUT)
    told(said[0].message)
    assert_same_training(whole.folder, broken.folder)


@fault(
    "the best weights of a training are damaged",
    "an error before anything is written of them",
    "best-5.safetensors: damaged (...). Delete...and train again",
)
def test_damaged_best_weights(tmp_path: Path, told: Told) -> None:
    checkpoints = Checkpoints(tmp_path)
    (tmp_path / "best-5.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(DataError) as error:
        checkpoints.load_best(5)
    told(error.value)


@fault(
    "a line of the training log is damaged",
    "an error that names the line; the weights do not depend on it",
    "log.jsonl, line 2: damaged (...). Delete that line",
)
def test_a_damaged_training_log(tmp_path: Path, told: Told) -> None:
    log = Log(tmp_path / "log.jsonl")
    for step in range(3):
        log.append({"step": step})
    flip(log.path, log.path.read_bytes().index(b"\n") + 1)
    with pytest.raises(DataError) as error:
        log.rows()
    told(error.value)


@fault("a model's weights are damaged", "an error that names the folder", "the weights in...are damaged (...)")
def test_damaged_weights(tmp_path: Path, told: Told) -> None:
    folder = tiny_bert(tmp_path / "model")
    cut(folder / "model.safetensors")
    with pytest.raises(ValueError, match="damaged") as error:
        Encoder.load(folder)
    told(error.value)


def stage_files(run: Path) -> dict[str, tuple[Path, Callable[[], object]]]:
    """A run's files, each with what reads it."""
    sampling = Sampling(source="demo", training=5, validation=2, benchmark=4, clustering=4)
    sample(sampling, 0).save(run / "papers", 0)
    load_papers("demo").to_pandas().head(3).to_parquet(run / "summaries.parquet")
    record = write_record(run, "m", "clustering", {"purity": 1.0}, n=1, seed=0, seconds=0.0)
    index, done, array = (
        run / "embeddings" / "index.json",
        run / "done" / "training-m.json",
        array_path(run, "m", "space"),
    )
    for path, text in ((index, '{"shown": ["m"], "models": ["m"]}'), (done, '{"name": "m", "folder": "model"}')):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    array.parent.mkdir()
    np.save(array, np.zeros((5, 4), np.float32))
    return {
        "papers": (run / "papers" / "training.parquet", lambda: load_splits(run / "papers")),
        "summaries": (run / "summaries.parquet", lambda: stored_summaries(run)),
        "results": (record, lambda: read_records(run)),
        "models": (done, lambda: trained_models(run)),
        "index": (index, lambda: stored_models(run)),
        "arrays": (array, lambda: space_embeddings(run, "m")),
    }


@fault(
    "a file that a finished stage left is cut short",
    "the stage that reads it names it and the one that writes it anew",
    ": damaged (...anew",
)
def test_files_of_a_finished_stage(tmp_path: Path, told: Told) -> None:
    for path, reading in stage_files(tmp_path).values():
        reading()
        cut(path)
        with pytest.raises(DataError, match=rf"{path.name}: damaged") as error:
            reading()
        told(str(error.value).replace("measure again", "measure anew"))


@pytest.mark.parametrize(
    "damage", ["seed: [1, 2\n", "seed: 1\x00\n", "- seed\n", "seed: 1\nseed: 2\n", b"name: Gr\xfc\xdfe\n"]
)
@fault("a parameter file is damaged", "nothing runs", "damaged.yaml")
def test_a_damaged_parameter_file(tmp_path: Path, told: Told, damage: str | bytes) -> None:
    path = tmp_path / "damaged.yaml"
    path.write_bytes(damage if isinstance(damage, bytes) else damage.encode())
    with pytest.raises(ParameterError) as error:
        load(f"demo+{path}")
    told(error.value)


@fault(
    "the parameters of a run are damaged",
    "the next run writes them anew; commands that read them name the file",
    "params.yaml: not readable as YAML",
)
def test_damaged_parameters_of_a_run(tmp_path: Path, told: Told) -> None:
    run = load("demo", [f"folder={tmp_path / 'run'}"])
    prepare(run)
    path = run.folder / "params.yaml"
    whole = path.read_bytes()
    path.write_bytes(whole[:200] + b"\x00[" + whole[200:])
    with pytest.raises(ParameterError) as error:
        read(run.folder)
    told(error.value)
    prepare(run)
    assert path.read_bytes() == whole


@fault(
    "a corpus file is cut off within a line",
    "an error with the line; nothing is sampled",
    "line 2: not JSON (...). Expected one JSON object a line.",
)
def test_a_corpus_that_is_cut_off(tmp_path: Path, told: Told) -> None:
    path = tmp_path / "my.jsonl"
    path.write_text('{"title": "A", "abstract": "One. Two."}\n{"title": "B", "abst')
    with pytest.raises(DataError) as error:
        list(read_jsonl(path))
    told(error.value)
