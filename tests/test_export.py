"""The model card."""

from pathlib import Path

import pytest
import yaml

from semcse.export import licence_of, model_card
from semcse.schema import Study, Training

FACTS = {
    "papers": 1200,
    "validation_papers": 900,
    "steps": 300,
    "best_step": 200,
    "base": {"summary_rank": 9.5, "paper_rank": 8.25},
    "best": {"summary_rank": 2.5, "paper_rank": 1.125},
}


@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
def test_card_states_data_scores_parameters_and_use(pooling: str) -> None:
    card = model_card(Study(training=Training(pooling=pooling)), FACTS, "apache-2.0")  # type: ignore[arg-type]
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == "apache-2.0"
    assert front["library_name"] == "sentence-transformers"
    for words in ("1,200 papers", "best at step 200", "| this model | 2.500 | 1.125 |", "| before training | 9.500"):
        assert words in card
    assert "title-abstract 2.47" in card  # Table 1
    assert f"| pooling | {pooling} |" in card
    assert "AutoModel" in card
    assert "SentenceTransformer(" in card


def test_card_of_a_whitened_model_shows_the_layer() -> None:
    study = Study(training=Training(whitening=0.5))  # type: ignore[arg-type]
    card = model_card(study, FACTS | {"whitened": {"summary_rank": 2.25, "paper_rank": 1.0}})
    assert "| before whitening | 2.500 | 1.125 |" in card
    assert "| this model | 2.250 | 1.000 |" in card
    assert 'layer = load_file("path/to/model/2_Dense/model.safetensors")' in card


def test_licence_comes_from_the_base(tmp_path: Path) -> None:
    assert licence_of(tmp_path) == "other"
    (tmp_path / "README.md").write_text("# no front matter")
    assert licence_of(tmp_path) == "other"
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# A model")
    assert licence_of(tmp_path) == "mit"
    (tmp_path / "README.md").write_text("---\ntags: []\n---\n# A model")
    assert licence_of(tmp_path) == "other"
