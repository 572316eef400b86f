"""Encoding speed against sentence-transformers, on abstracts of mixed length.

    python benchmarks/encoding.py PAPERS.jsonl.gz [--texts 2000] [--deberta-texts 200] [--models minilm] [--arms 1,3]

PAPERS has an abstract a line (default: the bundled demo corpus). All contenders get the same weights, texts and length
limit, in turns on parts of the texts, so that a busy machine slows them alike. DeBERTa is a randomly initialised
v2-base shape (12 layers, 768 wide) with MiniLM's tokenizer, since speed does not depend on the weights.
"""

import argparse
import gzip
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from shapes import deberta_v2_base
from transformers import AutoTokenizer, DebertaV2Model

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from semcse.encoder import Encoder
from semcse.models import resolve
from semcse.precision import inner_precision

DEMO = Path(__file__).resolve().parents[1] / "semcse" / "data" / "demo_corpus.jsonl.gz"
LENGTH = 256  # what all-MiniLM-L6-v2 allows by default
PARTS = 4
Encode = Callable[[list[str]], np.ndarray]


def abstracts(path: Path, count: int) -> list[str]:
    """`count` abstracts drawn at random, fixed seed."""
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        texts = [json.loads(line)["abstract"] for line in handle]
    random = np.random.default_rng(0)
    return [texts[i] for i in random.choice(len(texts), min(count, len(texts)), replace=False)]


def deberta(folder: Path) -> Path:
    """A randomly initialised DeBERTa-v2-base as a sentence-transformers folder with CLS pooling."""
    tokenizer = AutoTokenizer.from_pretrained(resolve("all-MiniLM-L6-v2"))
    torch.manual_seed(0)
    return Encoder(DebertaV2Model(deberta_v2_base(len(tokenizer))).eval(), tokenizer, "cls", LENGTH).save(folder)


def contenders(folder: str, device: str) -> dict[str, Encode]:
    """All ways of encoding, the peer first."""
    peer = SentenceTransformer(folder, device=device)
    peer.max_seq_length = LENGTH
    half = SentenceTransformer(folder, device=device, model_kwargs={"dtype": torch.bfloat16})
    half.max_seq_length = LENGTH
    layout = {"max_length": LENGTH, "device": device}
    auto = inner_precision("auto")
    study = Encoder.load(folder, precision=auto, **layout)
    exact = Encoder.load(folder, **layout)
    tokens = 32 * LENGTH  # sentence-transformers' batch of 32 at the length limit
    return {
        "sentence-transformers, defaults (float32)": peer.encode,
        f"ours, the study's default ({auto})": study.encode,
        f"ours, Encoder.load's default ({exact.precision}: float32)": exact.encode,
        "ours, float32, equal batch limit": lambda texts: exact.encode(texts, batch_tokens=tokens),
        "sentence-transformers, bfloat16": lambda texts: (
            half.encode(texts, convert_to_tensor=True).float().cpu().numpy()
        ),
        f"ours, {auto}, equal batch limit": lambda texts: study.encode(texts, batch_tokens=tokens),
    }


def compare(name: str, folder: str, texts: list[str], device: str, arms: set[int]) -> None:
    """Print seconds, ratio to the peer and the least cosine to its embeddings, of the peer and the chosen others."""
    found = contenders(folder, device)
    methods = {method: encode for place, (method, encode) in enumerate(found.items()) if place in {0} | arms}
    seconds = dict.fromkeys(methods, 0.0)
    vectors: dict[str, list[np.ndarray]] = {method: [] for method in methods}
    for encode in methods.values():
        encode(texts[:16])
    for part in range(PARTS):
        for method, encode in methods.items():
            started = time.perf_counter()
            vectors[method].append(encode(texts[part::PARTS]))
            seconds[method] += time.perf_counter() - started
    peer = next(iter(methods))
    print(f"{name}: {len(texts)} abstracts, {device}, {torch.get_num_threads()} threads, length limit {LENGTH}")
    for method in methods:
        cosine = least_cosine(np.concatenate(vectors[peer]), np.concatenate(vectors[method]))
        print(
            f"  {method:46s} {seconds[method]:8.2f} s {seconds[peer] / seconds[method]:6.2f}x   cosine {cosine:.7f}",
            flush=True,
        )


def least_cosine(first: np.ndarray, second: np.ndarray) -> float:
    """The smallest cosine between the two embeddings of a text."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    product = (first * second).sum(1)
    return float((product / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)).min())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("papers", nargs="?", type=Path, default=DEMO, help="JSON Lines, gzip-compressed")
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--deberta-texts", type=int, default=200)
    parser.add_argument("--models", default="minilm,deberta")
    parser.add_argument("--arms", default="1,2,3,4,5", help="which contenders beside sentence-transformers' defaults")
    arguments = parser.parse_args()
    arms = {int(arm) for arm in arguments.arms.split(",")}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if "minilm" in arguments.models:
        texts = abstracts(arguments.papers, arguments.texts)
        compare("all-MiniLM-L6-v2", resolve("all-MiniLM-L6-v2"), texts, device, arms)
    if "deberta" in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            texts = abstracts(arguments.papers, arguments.deberta_texts)
            compare("DeBERTa-v2-base shape", str(deberta(Path(folder) / "model")), texts, device, arms)


if __name__ == "__main__":
    main()
