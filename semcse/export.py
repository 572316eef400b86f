"""The model card: what a trained model is, in the README.md of its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from semcse.folders import DENSE
from semcse.published import PAPER_MODEL, table1
from semcse.schema import Study


def model_card(study: Study, facts: Mapping[str, Any], licence: str = "other") -> str:
    """Markdown with a front matter that hubs read.

    Args:
        study: the run; its Training section is listed in full.
        facts: `papers`, `validation_papers`, `steps`, `best_step`, and rows of scores: `base`, `best`, and
            `whitened` of a model with a layer that whitens.
        licence: of the weights, as hubs write it.
    """
    front = {
        "license": licence,
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": ["sentence-transformers", "feature-extraction", "scientific-abstracts"],
    }
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {study.training.name}",
        "Embeddings of scientific titles, abstracts and sentences, trained on pairs of texts of one paper as SemCSE "
        "(Brinner and Zarriess, EMNLP 2025).",
        _data(facts),
        _scores(facts),
        _use(study),
        _parameters(study),
    ]
    return "\n\n".join(parts) + "\n"


def licence_of(base: str | Path) -> str:
    """The licence that a base model's README states in its front matter, "other" where it states none."""
    path = Path(base) / "README.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if not text.startswith("---\n"):
        return "other"
    front = yaml.safe_load(text.split("---\n")[1])
    return str(front.get("license", "other")) if isinstance(front, dict) else "other"


def _data(facts: Mapping[str, Any]) -> str:
    return (
        f"## Data\n\n{facts['papers']:,} papers to train on, {facts['validation_papers']:,} held out to choose the "
        f"checkpoint; {facts['steps']:,} steps, best at step {facts['best_step']:,}."
    )


def _scores(facts: Mapping[str, Any]) -> str:
    rows = []
    whitened = facts.get("whitened")
    named = {"before training": facts["base"], "before whitening" if whitened else "this model": facts["best"]}
    for name, scores in (named | ({"this model": whitened} if whitened else {})).items():
        if scores:
            rows.append(f"| {name} | {scores['summary_rank']:.3f} | {scores['paper_rank']:.3f} |")
    head = "| | summary to summary | summaries to title and abstract |\n|---|---:|---:|\n"
    return (
        f"## Scores\n\nMean rank among the {facts['validation_papers']:,} held-out papers; 1 is best.\n\n"
        + head
        + "\n".join(rows)
        + "\n\n"
        + _paper()
    )


def _paper() -> str:
    """What the paper prints for its model, on another benchmark of 6,000 papers and hence not to be compared."""
    row = table1().set_index("model").loc[PAPER_MODEL]
    return (
        f"The paper's model, on the paper's benchmark (Table 1; mean ranks among 6,000 papers, and neighbour purity): "
        f"title-abstract {row.title_abstract:.2f}, segments {row.abstract_segments:.2f}, query {row['query']:.2f}, "
        f"clustering {row.clustering:.3f}."
    )


def _use(study: Study) -> str:
    pooled = {
        "cls": "states[:, 0]",
        "mean": "(states * mask).sum(1) / mask.sum(1)",
        "last": "states[range(len(states)), batch.attention_mask.sum(1) - 1]",
    }[study.training.pooling]
    return f"""## Use

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/to/model")
embeddings = model.encode(["A title [SEP] An abstract."])
```

With plain transformers:

```python
from transformers import AutoModel, AutoTokenizer

tokenizer, model = AutoTokenizer.from_pretrained("path/to/model"), AutoModel.from_pretrained("path/to/model")
batch = tokenizer(["A title [SEP] An abstract."], padding=True, truncation=True, return_tensors="pt")
states, mask = model(**batch).last_hidden_state, batch.attention_mask[:, :, None]
embeddings = {pooled}{_behind(study)}
```"""


def _behind(study: Study) -> str:
    """The lines that apply the linear layer behind the pooling."""
    if not study.training.whitening:
        return ""
    return f"""

from safetensors.torch import load_file

layer = load_file("path/to/model/{DENSE}/model.safetensors")
embeddings = embeddings @ layer["linear.weight"].T + layer["linear.bias"]"""


def _parameters(study: Study) -> str:
    values = study.training.model_dump(mode="json") | {"seed": study.seed}
    if Path(values["base"]).is_absolute():
        values["base"] = Path(values["base"]).name  # where it lay on one machine tells nobody anything
    rows = [f"| {name} | {value} |" for name, value in values.items() if name != "base_fallback"]
    return "## Parameters\n\n| parameter | value |\n|---|---|\n" + "\n".join(rows)
