"""What `scaling.py` measures: each part prepares its input for a size and gives back the work to be timed."""

import gzip
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openTSNE.affinity import PerplexityBasedNN

from semcse.encoder import Encoder, tokenize
from semcse.geometry import explained_variance
from semcse.matching import match_ranks
from semcse.models import resolve
from semcse.neighbours import find_neighbours
from semcse.papers import load_papers, paper_text
from semcse.precision import inner_precision
from semcse.projection import tsne
from semcse.sampler import PairSampler
from semcse.summaries import generate_summaries
from semcse.writers.extractive import ExtractiveWriter

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "semcse" / "data" / "demo_corpus.jsonl.gz"
LANDMARKS = 2000
STEPS = 2000
"""Training steps whose pairs are drawn."""
K = 5
Vectors = NDArray[np.float32]
Work = Callable[[], dict[str, Any]]


@dataclass
class Inputs:
    """Papers, an encoder, and vectors, each made when first asked for."""

    source: Path
    folder: Path
    real_papers: int = 2000

    @cached_property
    def papers(self) -> list[dict[str, Any]]:
        """All papers of the file in a random order."""
        with gzip.open(self.source, "rt", encoding="utf-8") as handle:
            rows = [json.loads(line) for line in handle]
        return [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]

    @cached_property
    def labelled(self) -> list[dict[str, Any]]:
        """At most `real_papers` papers with a field, of the source that has most fields."""
        fields = Counter(source for source, _ in {(p.get("source"), p["field"]) for p in self.papers if p["field"]})
        best = fields.most_common(1)[0][0]
        return [p for p in self.papers if p["field"] and p.get("source") == best][: self.real_papers]

    @cached_property
    def encoder(self) -> Encoder:
        """all-MiniLM-L6-v2, in the precision of the benchmark."""
        return Encoder.load(resolve("all-MiniLM-L6-v2"), max_length=512, precision=inner_precision("auto"))

    @cached_property
    def real(self) -> Vectors:
        """Embeddings of `labelled`."""
        return self.encoder.encode(self.texts(self.labelled))

    def texts(self, papers: Sequence[dict[str, Any]]) -> list[str]:
        """Title and abstract, as the benchmark gives them to the encoder."""
        return [paper_text(paper, self.encoder.separator) for paper in papers]

    def some(self, count: int) -> list[dict[str, Any]]:
        """`count` papers with ids of their own; once through the file they come again under other titles."""
        rows = []
        for number in range(count):
            paper, turn = self.papers[number % len(self.papers)], number // len(self.papers)
            title = f"{paper['title']} ({turn + 1})" if turn else paper["title"]
            rows.append({**paper, "corpus_id": number, "title": title})
        return rows

    def vectors(self, count: int) -> Vectors:
        """a + 0.5 (b - c) of random real embeddings a, b, c: as many as wanted, with the spectrum of real ones."""
        random = np.random.default_rng(count)
        made = np.empty((count, self.real.shape[1]), dtype=np.float32)
        for start in range(0, count, 50_000):
            part = made[start : start + 50_000]
            a, b, c = random.integers(0, len(self.real), (3, len(part)))
            part[:] = self.real[a] + np.float32(0.5) * (self.real[b] - self.real[c])
        return made


def reading(inputs: Inputs, size: int) -> Work:
    path = inputs.folder / "papers.jsonl"
    path.write_text("".join(json.dumps(paper) + "\n" for paper in inputs.some(size)), encoding="utf-8")
    return lambda: {"papers": len(load_papers("file", path, invalid="drop"))}


def extracting(inputs: Inputs, size: int) -> Work:
    papers = inputs.some(size)

    def write() -> dict[str, Any]:
        with tempfile.TemporaryDirectory(dir=inputs.folder) as folder:
            report = generate_summaries(papers, ExtractiveWriter(), folder, shard_size=256)
            return {"rows": report.rows, "bytes": folder_bytes(Path(folder))}

    return write


def tokenising(inputs: Inputs, size: int) -> Work:
    texts, tokenizer = inputs.texts(inputs.some(size)), inputs.encoder.tokenizer
    return lambda: {"tokens": sum(map(len, tokenize(tokenizer, texts, 512)))}


def encoding(inputs: Inputs, size: int) -> Work:
    texts, encoder = inputs.texts(inputs.some(size)), inputs.encoder
    encoder.encode(texts[:64])
    return lambda: {"dimensions": encoder.encode(texts).shape[1]}


def exact_neighbours(inputs: Inputs, size: int) -> Work:
    X = inputs.vectors(size)
    return lambda: find_neighbours(X, X, K, exclude=range(size)).how


def faiss_neighbours(inputs: Inputs, size: int) -> Work:
    X = inputs.vectors(size)
    return lambda: find_neighbours(X, X, K, exclude=range(size), index="faiss").how


def ranks(inputs: Inputs, size: int) -> Work:
    X = inputs.vectors(size)
    queries = X + np.float32(0.02) * np.random.default_rng(0).standard_normal(X.shape, dtype=np.float32)
    return lambda: {"mean_rank": float(match_ranks(queries, X).mean())}


def full_tsne(inputs: Inputs, size: int) -> Work:
    X = inputs.vectors(size)
    return lambda: {"points": len(tsne(X))}


def affinities(inputs: Inputs, size: int) -> Work:
    """The share of t-SNE that grows as the square: exact neighbours in the 50 dimensions that it works in."""
    X = np.ascontiguousarray(inputs.vectors(size)[:, :50], dtype=np.float64)
    return lambda: {"rows": PerplexityBasedNN(X, perplexity=30, method="exact", n_jobs=2, random_state=0).P.shape[0]}


def landmark_tsne(inputs: Inputs, size: int) -> Work:
    X = inputs.vectors(size)
    return lambda: {"points": len(tsne(X, landmarks=LANDMARKS)), "landmarks": LANDMARKS}


def spectrum(inputs: Inputs, size: int) -> Work:
    X = inputs.vectors(size)
    return lambda: {"components": len(explained_variance(X))}


def sampler_start(inputs: Inputs, size: int) -> Work:
    records = _records(inputs, size)
    return lambda: {"texts": len(PairSampler(records).texts)}


def sampler_steps(inputs: Inputs, size: int) -> Work:
    sampler = PairSampler(_records(inputs, size))

    def epochs() -> dict[str, Any]:
        started, steps = perf_counter(), 0
        while steps < STEPS:
            steps += sum(1 for _ in sampler)
        return {"steps": steps, "seconds": (perf_counter() - started) / steps}

    return epochs


def _records(inputs: Inputs, size: int) -> list[dict[str, Any]]:
    return [{**paper, "summaries": [f"{n} {paper['title']}" for n in range(15)]} for paper in inputs.some(size)]


def folder_bytes(folder: Path) -> int:
    """Size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True)
class Part:
    """What is measured: `law` is the exponent that the algorithm should have, `unit` what a size counts."""

    prepare: Callable[[Inputs, int], Work]
    what: str
    law: float
    sizes: tuple[int, ...]
    repeats: int = 2


PARTS = {
    "reading": Part(reading, "reading and checking papers (JSONL)", 1, (2000, 4000, 8000, 16000)),
    "extracting": Part(extracting, "splitting sentences, 15 extractive summaries", 1, (250, 500, 1000, 2000)),
    "tokenising": Part(tokenising, "tokenising title and abstract", 1, (500, 1000, 2000, 4000)),
    "encoding": Part(encoding, "encoding title and abstract, all-MiniLM", 1, (64, 128, 256, 512)),
    "sampler-start": Part(sampler_start, "the sampler's table of texts", 1, (1000, 2000, 4000, 8000)),
    "sampler-step": Part(sampler_steps, "pairs of one training step", 0, (1000, 2000, 4000, 8000)),
    "ranks": Part(ranks, "match ranks, N queries among N", 2, (2000, 4000, 8000, 16000)),
    "exact": Part(exact_neighbours, "5 neighbours of all, exact", 2, (8000, 16000, 32000, 64000)),
    "faiss": Part(faiss_neighbours, "5 neighbours of all, faiss", 1.5, (16000, 32000, 64000, 128000)),
    "affinities": Part(affinities, "neighbours of t-SNE, exact", 2, (2000, 4000, 8000, 16000)),
    "tsne": Part(full_tsne, "t-SNE of all, 500 + 250 iterations", 1, (2000, 4000, 8000, 16000), 1),
    "landmarks": Part(landmark_tsne, f"t-SNE by {LANDMARKS:,} landmarks", 1, (4000, 8000, 16000, 32000), 1),
    "spectrum": Part(spectrum, "explained variance (PCA)", 1, (8000, 16000, 32000, 64000)),
}
