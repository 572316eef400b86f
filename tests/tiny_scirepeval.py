"""All SciRepEval sets in the schemas of the hub, so small that a test can score all tasks."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from semcse.scirepeval.tasks import all_tasks, is_reviewer_task

DOCUMENTS, TRAIN = 220, 160
WORDS = ["summary", "sentence", "paper", "says", "little", "about"]


def write_sets(root: Path) -> Path:
    """Both data sets as a local copy: Parquet for meta sets as the hub exports them, JSON lines for the labels."""
    for task in all_tasks():
        meta, test = task["data"]["meta"]["config"], root / "scirepeval_test" / task["data"]["test"]["config"]
        test.mkdir(parents=True)
        home = root / "scirepeval" / meta / "evaluation"
        if task["type"] in ("classification", "regression"):
            _lines(test, labels(task))
        elif is_reviewer_task(task):
            _lines(test, {f"test_{kind}": judged(16, 40, grade) for kind, grade in (("hard", 3), ("soft", 2))})
            _lines(test.parent / "reviewers", {"metadata": reviewers()})
        else:
            _lines(test, {"test": judged(8, 10, 1)})
        if not home.exists():
            home.mkdir(parents=True)
            plain = "simple_format" in task["data"] or is_reviewer_task(task) or (test / "train.jsonl").exists()
            rows = documents() if plain else queries(task["type"] == "adhoc_search")
            pd.DataFrame(rows).to_parquet(home / "0000.parquet")
    return root


def documents() -> list[dict]:
    """Papers whose words say what their label is; one has no text."""
    rows = [
        {
            "doc_id": f"d{i}",
            "corpus_id": i,
            "title": f"{WORDS[i % 6]} of {i % 23}",
            "abstract": " ".join([WORDS[i % 6], str(i % 23), "the", str(i % 7)] * (1 + i % 3)),
        }
        for i in range(DOCUMENTS)
    ]
    rows[-1] |= {"title": None, "abstract": ""}
    return rows


def labels(task: dict) -> dict[str, list[dict]]:
    """Splits `train` and `test` with integers, 0/1 lists or floats."""
    random = np.random.default_rng(len(task["name"]))
    rows = []
    for i in range(DOCUMENTS):
        label = float(i % 23 + random.normal())
        if task.get("multi_label"):
            label = [int(k in (i % 23, (i + 1) % 23, i % 7)) for k in range(23)]
        elif task["type"] == "classification":
            label = int(i % 6 in (0, 1)) if task["metrics"] == ["f1"] else i % 6
        rows.append({"paper_id": f"d{i}", "label": label})
    return {"train": rows[:TRAIN], "test": rows[TRAIN:]}


def judged(count: int, candidates: int, least: int) -> list[dict]:
    """Queries d0, d1 ... with candidates, of which those that share a word are relevant."""
    pairs = [(q, count + (7 * q + c) % (DOCUMENTS - count - 1)) for q in range(count) for c in range(candidates)]
    return [
        {"query_id": f"d{q}", "cand_id": f"r{c % 60}" if least > 1 else f"d{c}", "score": int(c % 6 == q % 6)}
        for q, c in pairs
    ]


def reviewers() -> list[dict]:
    """Sixty reviewers with one to four papers each."""
    return [{"r_id": f"r{r}", "papers": [f"d{(r + 6 * k) % 200}" for k in range(1 + r % 4)]} for r in range(60)]


def queries(typed: bool) -> list[dict]:
    """Eight queries, each with ten candidates; typed words or a paper."""
    papers = documents()
    rows = []
    for q in range(8):
        names = [row["cand_id"] for row in judged(8, 10, 1) if row["query_id"] == f"d{q}"]
        found = [{**papers[int(name[1:])], "score": 0, "venue": "the", "year": 2005} for name in names]
        query = papers[q]["title"] if typed else papers[q]
        rows.append({"doc_id": f"d{q}", "query": query, "candidates": found})
    return rows


def _lines(folder: Path, splits: dict[str, list[dict]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in splits.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
