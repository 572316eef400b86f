"""A corpus of one's own as vectors: a file of papers, embedded block by block.

Three files belong together: the vectors (`x.npy`), the papers' ids and titles in the same order (`x.parquet`), and
what made them (`x.json`). Memory does not grow with the corpus: papers are streamed, and vectors written one block
after another.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from tqdm.auto import tqdm

from semcse.encoder import PRECISIONS, Encoder
from semcse.files import atomic_path, write_atomic
from semcse.folders import read_similarity
from semcse.models import Embedder, load_models, open_model
from semcse.papers import file_rows, paper_text, tidy
from semcse.precision import inner_precision
from semcse.readers import DataError

BLOCK = 2048
"""Papers read, embedded and written together."""
CHARACTERS_PER_TOKEN = 4
"""Of English in word pieces; how long a corpus is in tokens before the first of it is tokenized."""
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
    """What a first look through a corpus tells: how much there is, and what is left out."""

    papers: int
    characters: int
    numbered: bool
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

    The text of a paper is title, separator and abstract, as in the benchmark. `model` as `open_by_folder` takes it.
    The file is read twice: first to check every paper, so that a bad one is told before the work, not after. Raises
    DataError for papers that cannot be used, ValueError and ModelUnavailable for a model that cannot.
    """
    out = Path(out)
    if out.suffix != ".npy":
        raise ValueError(f"{out}: expected a name that ends in .npy")
    embedder = open_by_folder(model, max_length, precision)
    survey = _survey(_papers(corpus, embedder.separator), corpus)
    usable = (paper for paper in _papers(corpus, embedder.separator) if paper.problem is None)
    blocks = iter(partial(_block, usable, block), [])
    with atomic_path(out) as vectors, atomic_path(out.with_suffix(".parquet")) as titles:
        dimensions = _write(embedder, blocks, survey, vectors, titles)
        out.with_suffix(".json").unlink(missing_ok=True)
    inner = inner_precision(precision)  # what "auto" meant here; another machine would compute otherwise
    made = Made(model, embedder.fingerprint, embedder.metric, max_length, inner, survey.papers, dimensions)
    write_atomic(out.with_suffix(".json"), json.dumps(asdict(made), indent=2) + "\n")
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


def open_by_folder(model: str, max_length: int | None = None, precision: str = "auto") -> Embedder:
    """A model as `models.open_model`, a folder compared by the similarity that it says itself.

    Precision "auto" is bfloat16 where the hardware is fast in it. Raises ValueError for word counts, which are fitted
    on the texts.
    """
    entry = load_models().get(model)
    if entry is not None and entry.kind in ("tfidf", "svd"):
        raise ValueError(f"{model} is fitted on its texts and cannot embed others: take an encoder")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    folder = Path(model).expanduser()
    told = read_similarity(folder) if entry is None and folder.is_dir() else None
    metric: Literal["euclidean", "cosine"] | None = None
    if told is not None:
        metric = "euclidean" if told == "euclidean" else "cosine"
    return open_model(model, metric=metric, max_length=max_length, precision=inner_precision(precision))


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
    for paper in papers:
        if paper.problem is None:
            count, characters = count + 1, characters + len(paper.text)
            numbered = numbered and re.fullmatch("0|-?[1-9][0-9]{0,17}", paper.corpus_id) is not None
            continue
        left_out += 1
        if len(first) < 5:
            first.append(f"{paper.where}: {paper.problem} ({paper.title[:60]!r})")
    survey = Survey(count, characters, numbered, left_out, tuple(first))
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


def _block(papers: Iterator[Paper], size: int) -> list[Paper]:
    return list(islice(papers, size))


def _write(embedder: Embedder, blocks: Iterator[list[Paper]], survey: Survey, vectors: Path, titles: Path) -> int:
    """Write vectors and titles block by block; D.

    Plain writing, not a writable map: a full disk is then an error and not the end of the process.
    """
    kind = pa.int64() if survey.numbered else pa.string()
    schema = pa.schema([("corpus_id", kind), ("title", pa.string())])
    done, dimensions = 0, 0
    bar = tqdm(total=survey.characters // CHARACTERS_PER_TOKEN, unit="tok", unit_scale=True, disable=None)
    with bar, vectors.open("wb") as handle, pq.ParquetWriter(titles, schema) as table:
        for block in blocks:
            array = _embed(embedder, [paper.text for paper in block], bar)
            if not done:
                dimensions = array.shape[1]
                _header(handle, survey.papers, dimensions)
            array.tofile(handle)
            ids = pa.array([paper.corpus_id for paper in block]).cast(kind)
            table.write_table(pa.table([ids, pa.array([paper.title for paper in block], pa.string())], schema=schema))
            done += len(block)
        bar.total = bar.n
    if done != survey.papers:
        raise DataError(f"the file changed while it was read: {survey.papers} papers, then {done}. Run this again.")
    return dimensions


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


def _header(handle: Any, papers: int, dimensions: int) -> None:
    facts = {"descr": "<f4", "fortran_order": False, "shape": (papers, dimensions)}
    np.lib.format.write_array_header_1_0(handle, facts)
