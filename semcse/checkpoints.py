"""What of a training run lies on disk, and which of it may be trusted."""

import hashlib
import json
import shutil
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from semcse.files import atomic_path, file_digest, write_atomic
from semcse.readers import DataError, read_object

KEPT = 2
"""Checkpoints that stay: the last one, and the one before it should that be damaged."""
_WHOLE = "whole.json"  # written last: a checkpoint without it is half written


class Checkpoints:
    """The folder of resumable states and best weights of one training run.

    A checkpoint counts once its mark is there, so that a process killed while writing leaves nothing to trip over.
    Everything belongs to one `identity`, a digest of what decides the run; under another one it is thrown away.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def claim(self, identity: str) -> None:
        """Keep the whole checkpoints of this identity and remove all else."""
        if not self.belongs_to(identity):
            shutil.rmtree(self.folder, ignore_errors=True)
            write_atomic(self.folder / "identity.json", json.dumps(identity))
        for checkpoint in self.folder.glob("checkpoint-*"):
            if not (checkpoint / _WHOLE).exists():
                shutil.rmtree(checkpoint)
            elif not _as_written(checkpoint):
                warnings.warn(f"{checkpoint} is damaged; training goes on from the one before it", stacklevel=2)
                shutil.rmtree(checkpoint)

    def belongs_to(self, identity: str) -> bool:
        """Whether what lies here is of the run with this identity."""
        path = self.folder / "identity.json"
        return path.exists() and path.read_bytes() == json.dumps(identity).encode()

    def mark_whole(self, step: int) -> None:
        """Declare the checkpoint of that step complete, with the digests of its files; the two latest ones stay.

        Latest by their steps: by the times of files, as transformers has it, a clock set back would make the newest
        checkpoint the oldest.
        """
        folder = self.folder / f"checkpoint-{step}"
        files = {path.name: file_digest(path) for path in sorted(folder.iterdir()) if path.name != _WHOLE}
        write_atomic(folder / _WHOLE, json.dumps({"step": step, "files": files}))
        for older in sorted(self.folder.glob("checkpoint-*"), key=step_of)[:-KEPT]:
            shutil.rmtree(older)

    def last(self) -> Path | None:
        """The whole checkpoint with the highest step."""
        whole = [path.parent for path in self.folder.glob(f"checkpoint-*/{_WHOLE}")]
        return max(whole, key=step_of, default=None)

    def save_best(self, step: int, weights: dict[str, Tensor]) -> None:
        """Keep the weights of the best evaluation, at `step`."""
        with atomic_path(self._best(step)) as temporary:
            save_file(weights, temporary)

    def load_best(self, step: int) -> dict[str, Tensor]:
        """The weights kept for `step`. Raises DataError where they are damaged."""
        try:
            return load_file(self._best(step))
        except SafetensorError as error:
            remedy = f"Delete {self.folder} and train again; the best weights cannot be had from anything else."
            raise DataError(f"{self._best(step)}: damaged ({error}). {remedy}") from error

    def forget_all_but_best(self, step: int | None) -> None:
        """Remove best weights that no checkpoint refers to any more."""
        for path in self.folder.glob("best-*.safetensors"):
            if path != self._best(step or 0):
                path.unlink()

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Record that training ended and drop the states that were there to continue it; best weights stay."""
        write_atomic(self.folder / "finished.json", json.dumps(dict(summary)))
        for checkpoint in self.folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)

    def finished(self) -> dict[str, Any] | None:
        """What `finish` recorded."""
        path = self.folder / "finished.json"
        return read_object(path, "Delete it to train again.") if path.exists() else None

    def _best(self, step: int) -> Path:
        return self.folder / f"best-{step}.safetensors"


class Log:
    """Lines of JSON, one for each step and evaluation, that can be taken back to a step."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a line."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(row)) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """All whole lines; one that a killed process left unfinished at the end is not a line.

        Raises DataError for a line that cannot be read.
        """
        lines = self.path.read_bytes().split(b"\n")[:-1] if self.path.exists() else []
        return [self._row(number, line) for number, line in enumerate(lines, 1)]

    def _row(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            return dict(json.loads(line))
        except ValueError as error:
            remedy = "Delete that line: what it says is lost to the curves, and to nothing else."
            raise DataError(f"{self.path}, line {number}: damaged ({error}). {remedy}") from error

    def rewind(self, step: int | None) -> None:
        """Drop what came after `step`; None drops everything."""
        kept = [row for row in self.rows() if step is not None and row["step"] <= step]
        write_atomic(self.path, "".join(json.dumps(row) + "\n" for row in kept))


def training_log(folder: str | Path) -> pd.DataFrame:
    """The log of the run in `folder`, one row for each step, NaN where a step has no evaluation or a score no step.

    Columns: step, loss, learning_rate, pairs_per_second, tokens_per_second, summary_rank, paper_rank, score.
    Raises FileNotFoundError where nothing has been trained.
    """
    path = Path(folder) / "training" / "log.jsonl"
    if not path.exists():
        raise FileNotFoundError(f"no training log at {path}; run notebook 03 first")
    columns = ["loss", "learning_rate", "pairs_per_second", "tokens_per_second"]
    columns += ["summary_rank", "paper_rank", "score"]
    frame = pd.DataFrame(Log(path).rows(), columns=["step", *columns])
    return frame.groupby("step", as_index=False)[columns].first()


def step_of(checkpoint: Path) -> int:
    """The step after which the folder of a checkpoint was written."""
    return int(checkpoint.name.split("-")[1])


def _as_written(checkpoint: Path) -> bool:
    """Whether all files of a whole checkpoint have the digests that were noted."""
    try:
        noted: dict[str, str] = json.loads((checkpoint / _WHOLE).read_bytes()).get("files", {})
        return all(file_digest(checkpoint / name) == told for name, told in noted.items())
    except (OSError, ValueError):
        return False


def digest(parts: Iterable[Any]) -> str:
    """SHA-256 of anything that JSON can write."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(json.dumps(part, sort_keys=True, default=str).encode() + b"\n")
    return sha.hexdigest()
