"""From a text encoder to a result file: task by task, written after each, continued where it stopped.

<out>/scirepeval.json      the result object, as the original tool writes it (plus `_mode` in the mode `modern`)
<out>/tasks/<task>.json    one record a task: settings, result or reason of failure, counts, seconds
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from semcse import __version__
from semcse.arrays import write_array
from semcse.display import bar_options
from semcse.files import atomic_path, write_atomic
from semcse.scirepeval.evaluate import Protocol, TaskResult, announce, evaluate_task
from semcse.scirepeval.official import MODE_KEY, write_result
from semcse.scirepeval.tables import Embeddings
from semcse.scirepeval.tasks import all_tasks, validate
from semcse.scirepeval.texts import documents

Encode = Callable[[list[str]], NDArray[Any]]
RESULT_FILE = "scirepeval.json"
_BLOCK = 4096


def run(
    encode: Encode,
    separator: str,
    out: str | Path,
    model: str,
    tasks: Iterable[Mapping[str, Any]] | None = None,
    protocol: Protocol | None = None,
    settings: Mapping[str, Any] | None = None,
    store: str | Path | None = None,
    others: Sequence[tuple[Encode, str]] = (),
) -> dict[str, Any]:
    """Evaluate an encoder on tasks (all 22 by default) and return the result object.

    `encode` maps texts to vectors (N, D); `separator` is the tokenizer's; `model` and `settings` (pooling,
    revision, length ...) identify the encoder. A task whose record has the same identity is not run again, a failed one
    is. With `store`, a folder, vectors are kept there and reused for the same texts and identity. `others` are more
    encoders, each with its separator, whose vectors are averaged with the first one's (protocol section 3.4).

    Sets from the hub come from one commit each, which the records name.
    """
    checked = [validate(task) for task in (all_tasks() if tasks is None else tasks)]
    encoders = [(encode, separator), *others]
    separators = separator if not others else [mark for _, mark in encoders]
    identity = {"model": model, "separator": separators, "settings": dict(settings or {})}
    chosen = protocol or Protocol()
    chosen = replace(chosen, source=chosen.source.pinned(_hub_names(checked)))
    embedder = Embedder(encoders, identity, Path(store) if store else None)
    result: dict[str, Any] = {} if chosen.mode == "official" else {MODE_KEY: chosen.mode}
    for number, task in enumerate(tqdm(checked, desc="SciRepEval", **bar_options())):
        path = Path(out) / "tasks" / f"{_slug(task['name'])}.json"
        key = _key({**identity, **_scoring(chosen), "task": task})
        record = _finished(path, key)
        if record is None:
            outcome = embedder.score(task, chosen)
            announce(outcome)
            record = {"key": key, **identity, **_scoring(chosen), "semcse": __version__, **asdict(outcome)}
            write_atomic(path, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        result[task["name"]] = record["metrics"]
        write_result(result, Path(out) / RESULT_FILE)
        embedder.keep_only(checked[number + 1 :])
    return result


class Embedder:
    """Embeds the meta sets of tasks; a set that several tasks share is embedded once.

    `encoders` are functions from texts to vectors, each with its tokenizer's separator; of several the mean counts.
    """

    def __init__(
        self, encoders: Sequence[tuple[Encode, str]], identity: Mapping[str, Any], store: Path | None = None
    ) -> None:
        self.encoders = list(encoders)
        self.identity = dict(identity)
        self.store = store
        self.tables: dict[str, tuple[Embeddings, Counter[str]]] = {}

    def score(self, task: Mapping[str, Any], protocol: Protocol) -> TaskResult:
        """Embed and score one task; unreadable data makes a failed result, with the reason."""
        try:
            table, counts = self.embed(task, protocol)
        except (ValueError, OSError) as error:
            return TaskResult(task["name"], {"error": f"{type(error).__name__}: {error}"})
        outcome = evaluate_task(task, table, protocol)
        outcome.counts = {**counts, **outcome.counts}
        return outcome

    def embed(self, task: Mapping[str, Any], protocol: Protocol) -> tuple[Embeddings, Counter[str]]:
        """Vectors of all documents of a task's meta set, and the counts of `texts.documents`."""
        name = self._set(task)
        if name not in self.tables:
            counts: Counter[str] = Counter()
            ids, total = self._table(task, protocol, 0, counts)
            for number in range(1, len(self.encoders)):
                vectors = self._table(task, protocol, number, Counter())[1]
                if vectors.shape != total.shape:
                    raise ValueError(f"models of {total.shape[1]} and {vectors.shape[1]} dimensions have no mean")
                total = total + vectors
            self.tables[name] = Embeddings(ids, total / len(self.encoders) if len(self.encoders) > 1 else total), counts
        return self.tables[name]

    def _table(
        self, task: Mapping[str, Any], protocol: Protocol, number: int, counts: Counter[str]
    ) -> tuple[list[str], NDArray[Any]]:
        """Ids and vectors of a meta set by one of the encoders."""
        encode, separator = self.encoders[number]
        pairs = list(documents(task, protocol.source, separator, counts))
        if not pairs:
            raise ValueError(f"the meta set of task {task['name']!r} has no documents")
        return [name for name, _ in pairs], self._vectors([text for _, text in pairs], task["name"], encode, number)

    def keep_only(self, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Forget the vectors that none of these tasks needs."""
        needed = {self._set(task) for task in tasks}
        self.tables = {name: table for name, table in self.tables.items() if name in needed}

    def _set(self, task: Mapping[str, Any]) -> str:
        data = task["data"]
        return _key({"meta": data.get("meta"), "plain": data.get("simple_format"), "fields": task.get("fields")})

    def _vectors(self, texts: list[str], name: str, encode: Encode, number: int) -> NDArray[Any]:
        if self.store is None:
            return _encode_all(encode, texts, name)
        key = _key({**self.identity, "encoder": number, "texts": _digest(texts)})
        path = self.store / f"{_slug(name)}-{key[:16]}.npy"
        if not path.exists():
            vectors = _encode_all(encode, texts, name)
            with atomic_path(path) as temporary:
                write_array(temporary, vectors)
        return np.asarray(np.load(path, allow_pickle=False))


def _encode_all(encode: Encode, texts: list[str], name: str) -> NDArray[Any]:
    vectors: NDArray[Any] | None = None
    for start in tqdm(range(0, len(texts), _BLOCK), desc=f"embed {name}", disable=None, leave=False):
        block = texts[start : start + _BLOCK]
        part = np.asarray(encode(block), dtype=np.float32)
        if part.ndim != 2 or len(part) != len(block):
            raise ValueError(f"the encoder returned shape {part.shape} for {len(block)} texts")
        if vectors is None:
            vectors = np.empty((len(texts), part.shape[1]), dtype=np.float32)
        vectors[start : start + len(block)] = part
    if vectors is None:
        raise ValueError("there are no texts to encode")
    return vectors


def stored_records(folder: str | Path) -> list[dict[str, Any]]:
    """The records that `run` wrote into a folder, in the order of its task table, others behind them by name."""
    order = [task["name"] for task in all_tasks()]
    records = [json.loads(path.read_text("utf-8")) for path in sorted(Path(folder).glob("tasks/*.json"))]
    return sorted(records, key=lambda r: order.index(r["name"]) if r["name"] in order else len(order))


def _hub_names(tasks: Iterable[Mapping[str, Any]]) -> list[str]:
    """The hub data sets that tasks read."""
    specs = [spec for task in tasks for spec in task["data"].values() if isinstance(spec, Mapping)]
    return sorted({spec["name"] for spec in specs})


def _scoring(protocol: Protocol) -> dict[str, Any]:
    source = protocol.source
    return {
        "mode": protocol.mode,
        "metric": protocol.metric,
        "data": {"local": source.root is not None, "revision": dict(source.revision)},
    }


def _finished(path: Path, key: str) -> dict[str, Any] | None:
    """The stored record of a task, if it has this identity and did not fail."""
    if not path.exists():
        return None
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record if record.get("key") == key and "error" not in record["metrics"] else None


def _key(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _digest(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
