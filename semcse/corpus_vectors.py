"""A corpus of one's own as vectors: a file of papers, embedded block by block.

Three files belong together: the vectors (`x.npy`), the papers' ids and titles in the same order (`x.parquet`), and
what made them (`x.json`). Memory does not grow with the corpus: papers are streamed, and vectors written one block
after another. Until the last block is written they lie in the folder `x.partial`, from which the next call goes on.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from io import BufferedRandom
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from tqdm.auto import tqdm

from semcse.display import bar_options
from semcse.encoder import PRECISIONS, Encoder
from semcse.files import alone, write_atomic
from semcse.models import Embedder, load_models, open_model
from semcse.papers import file_rows, paper_text, tidy
from semcse.precision import inner_precision
from semcse.readers import DataError

BLOCK = 2048
"""Papers read, embedded and written together."""
CHARACTERS_PER_TOKEN = 4
"""Of English in word pieces; how long a corpus is in tokens before the first of it is tokenized."""
VECTORS, TITLES, IDENTITY, LOCK = "vectors.npy", "titles.parquet", "identity.txt", "lock"
"""What the folder of an unfinished call holds."""
TITLE = 200
"""Characters of a plain text that stand for its title."""


@dataclass(frozen=True)
class Corpus:
    """A file of papers, and how it is read.

    `columns` maps our names to the file's, as `papers.load_papers`. With `text` that column alone is the text, as it
    is. A paper without a title or an abstract (or text) raises DataError, or is left out with `invalid="drop"`.
    """

    path: str | os.PathLike[str]
    columns: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None
    invalid: Literal["error", "drop"] = "error"


class Paper(NamedTuple):
    """A paper to embed; `problem` says why it cannot be."""

    where: str
    corpus_id: str
    title: str
    text: str
    problem: str | None


class Survey(NamedTuple):
    """What a first look through a corpus tells: how much there is, a digest of it, and what is left out."""

    papers: int
    characters: int
    numbered: bool
    digest: str
    left_out: int
    first_left_out: tuple[str, ...]


@dataclass(frozen=True)
class Made:
    """How vectors were made: what `x.json` holds."""

    model: str
    fingerprint: str
    metric: Literal["euclidean", "cosine"]
    max_length: int | None
    precision: str
    papers: int
    dimensions: int


def write_vectors(
    corpus: Corpus,
    model: str,
    out: str | os.PathLike[str],
    *,
    max_length: int | None = None,
    precision: str = "auto",
    block: int = BLOCK,
) -> Survey:
    """Embed every paper of a file into `out` (.npy), its ids and titles beside it; all of it, or nothing is changed.

    The text of a paper is title, separator and abstract, as in the benchmark. `model` as `open_encoder` takes it.
    The file is read twice: first to check every paper, so that a bad one is told before the work, not after. Where a
    call was stopped, the next one of the same papers and model goes on from its last whole block and ends in the same
    bytes. Raises DataError for papers that cannot be used and where another call writes the same file, ValueError and
    ModelUnavailable for a model that cannot.
    """
    out = Path(out)
    if out.suffix != ".npy":
        raise ValueError(f"{out}: expected a name that ends in .npy")
    embedder = open_encoder(model, max_length, precision)
    survey = _survey(_papers(corpus, embedder.separator), corpus)
    usable = (paper for paper in _papers(corpus, embedder.separator) if paper.problem is None)
    inner = inner_precision(precision)  # what "auto" meant here; another machine would compute otherwise
    begun = out.with_suffix(".partial")
    busy = DataError(f"{begun} is being written by another process; wait for it, or name another file")
    with alone(begun / LOCK, busy):
        _keep_only(begun, f"{embedder.fingerprint} {inner} {block} {survey}")
        dimensions = _write(embedder, usable, survey, begun, block)
        made = Made(model, embedder.fingerprint, embedder.metric, max_length, inner, survey.papers, dimensions)
        out.with_suffix(".json").unlink(missing_ok=True)
        os.replace(begun / TITLES, out.with_suffix(".parquet"))
        os.replace(begun / VECTORS, out)
        write_atomic(out.with_suffix(".json"), json.dumps(asdict(made), indent=2) + "\n")
        shutil.rmtree(begun, ignore_errors=True)  # what matters has moved; NFS keeps the lock until it is let go
    return survey


def parse_columns(text: str) -> dict[str, str]:
    """Column names as one writes them for `sampling.columns`: {title: Title, abstract: Summary}."""
    try:
        columns = yaml.safe_load(text or "{}")
    except yaml.YAMLError as error:
        raise ValueError(f"columns {text!r} cannot be read: write them like '{{title: Title}}'") from error
    if not (isinstance(columns, dict) and all(isinstance(part, str) for pair in columns.items() for part in pair)):
        raise ValueError(f"expected columns like '{{title: Title, abstract: Summary}}', got {text!r}")
    return columns


def open_encoder(model: str, max_length: int | None = None, precision: str = "auto") -> Embedder:
    """A model as `models.open_model`, to embed texts that come block by block.

    Precision "auto" is bfloat16 where the hardware is fast in it. Raises ValueError for word counts, which are fitted
    on the texts.
    """
    entry = load_models().get(model)
    if entry is not None and entry.kind in ("tfidf", "svd"):
        raise ValueError(f"{model} is fitted on its texts and cannot embed others: take an encoder")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    return open_model(model, max_length=max_length, precision=inner_precision(precision))


def _papers(corpus: Corpus, separator: str) -> Iterator[Paper]:
    """The papers of the file, those that cannot be used with the reason."""
    columns = dict(corpus.columns)
    if corpus.text is not None:
        columns |= {"title": corpus.text, "abstract": corpus.text}
    for where, row in file_rows(corpus.path, columns):
        texts = {name: tidy(row[name]) for name in ("title", "abstract")}
        if corpus.text is not None:
            whole, needed = texts.pop("abstract") or "", {"text": texts["title"]}
        else:
            whole, needed = paper_text(texts, separator), texts
        missing = [name for name, text in needed.items() if not text]
        title = (texts["title"] or "")[:TITLE] if corpus.text is not None else texts["title"] or ""
        yield Paper(where, str(row["corpus_id"]), title, whole, f"no {missing[0]}" if missing else None)


def _survey(papers: Iterable[Paper], corpus: Corpus) -> Survey:
    """A look at every paper, of which nothing is kept."""
    count, characters, left_out, numbered, first = 0, 0, 0, True, list[str]()
    digest = blake2b(digest_size=16)
    for paper in papers:
        if paper.problem is None:
            count, characters = count + 1, characters + len(paper.text)
            digest.update("\n".join([paper.corpus_id, paper.title, paper.text, ""]).encode())
            numbered = numbered and re.fullmatch("0|-?[1-9][0-9]{0,17}", paper.corpus_id) is not None
            continue
        left_out += 1
        if len(first) < 5:
            first.append(f"{paper.where}: {paper.problem} ({paper.title[:60]!r})")
    survey = Survey(count, characters, numbered, digest.hexdigest(), left_out, tuple(first))
    if left_out and corpus.invalid == "error":
        raise DataError(_refusal(survey))
    if not count:
        raise DataError(f"{corpus.path}: no papers to embed; the file is empty, or all of it was left out")
    return survey


def _refusal(survey: Survey) -> str:
    more = [f"  and {survey.left_out - 5} more"] if survey.left_out > 5 else []
    remedy = "Correct them, leave them out with --invalid drop, or embed one column alone with --text COLUMN."
    heading = f"{survey.left_out} papers cannot be embedded:"
    return "\n".join([heading, *(f"  {line}" for line in survey.first_left_out), *more, remedy])


def _keep_only(folder: Path, identity: str) -> None:
    """Drop what an unfinished call of other papers, model or settings left."""
    note = folder / IDENTITY
    if not (note.is_file() and note.read_bytes() == identity.encode()):
        (folder / VECTORS).unlink(missing_ok=True)
        write_atomic(note, identity)


def _write(embedder: Embedder, papers: Iterator[Paper], survey: Survey, folder: Path, size: int) -> int:
    """Write titles, and vectors from the first block that is not there yet; D.

    Plain writing, not a writable map: a full disk is then an error and not the end of the process.
    """
    kind = pa.int64() if survey.numbered else pa.string()
    schema = pa.schema([("corpus_id", kind), ("title", pa.string())])
    done = 0
    bar = tqdm(total=survey.characters // CHARACTERS_PER_TOKEN, unit="tok", unit_scale=True, **bar_options())
    with bar, (folder / VECTORS).open("a+b") as handle, pq.ParquetWriter(folder / TITLES, schema) as table:
        there, dimensions = _whole_blocks(handle, size)
        while block := list(islice(papers, size)):
            if done < there:
                bar.update(sum(len(paper.text) for paper in block) // CHARACTERS_PER_TOKEN)
            else:
                array = _embed(embedder, [paper.text for paper in block], bar)
                dimensions = array.shape[1]
                _append(handle, array, survey.papers)
            ids = pa.array([paper.corpus_id for paper in block]).cast(kind)
            table.write_table(pa.table([ids, pa.array([paper.title for paper in block], pa.string())], schema=schema))
            done += len(block)
        bar.total = bar.n
    if done != survey.papers:
        raise DataError(f"the file changed while it was read: {survey.papers} papers, then {done}. Run this again.")
    return dimensions


def _whole_blocks(handle: BufferedRandom, size: int) -> tuple[int, int]:
    """Vectors of whole blocks that the file holds, and D; half a block behind them is cut off."""
    length = handle.seek(0, os.SEEK_END)
    handle.seek(0)
    try:
        np.lib.format.read_magic(handle)
        (_, dimensions), _, _ = np.lib.format.read_array_header_1_0(handle)
    except ValueError:  # nothing, or half a header
        handle.truncate(0)
        return 0, 0
    start, width = handle.tell(), 4 * dimensions
    there = (length - start) // (width * size) * size
    handle.truncate(start + there * width)
    return there, dimensions


def _append(handle: BufferedRandom, array: npt.NDArray[np.float32], papers: int) -> None:
    """Write one block, all of it when this returns; the first one after the header of an array of all papers."""
    if not handle.seek(0, os.SEEK_END):
        facts = {"descr": "<f4", "fortran_order": False, "shape": (papers, array.shape[1])}
        np.lib.format.write_array_header_1_0(handle, facts)
    handle.write(array.data)
    handle.flush()


def _embed(embedder: Embedder, texts: list[str], bar: tqdm) -> npt.NDArray[np.float32]:
    """Vectors of one block; the bar goes on by its tokens."""
    if isinstance(embedder.encoder, Encoder):
        vectors = embedder.encode(texts, progress=bar)
    else:
        vectors = embedder.encode(texts)
        bar.update(sum(map(len, texts)) // CHARACTERS_PER_TOKEN)
    if not np.isfinite(vectors).all():
        raise ValueError("the model gave vectors that are not finite; its weights are broken or its precision too low")
    return np.ascontiguousarray(vectors, dtype="<f4")
