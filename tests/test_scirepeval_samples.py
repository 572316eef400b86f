"""Real samples of the benchmark, from texts to scores: a small sentence encoder against random vectors."""

import importlib.util

import numpy as np
import pytest


@pytest.fixture(scope="module")
def samples(root):
    spec = importlib.util.spec_from_file_location("scirepeval_samples", root / "benchmarks" / "scirepeval_samples.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_samples_in_the_benchmarks_layouts(samples, shared, tmp_path):
    tasks = samples.sample_tasks(shared / "data", tmp_path, 0.1)
    assert [task["name"] for task in tasks] == ["Search", "Cite triplets", "Same author", "Fields of study", "MeSH"]
    assert len((tmp_path / "search" / "test_qrel.jsonl").read_text().splitlines()) == 100
    assert len((tmp_path / "mesh" / "meta.jsonl").read_text().splitlines()) == 206


@pytest.mark.slow
def test_an_encoder_beats_chance_on_every_sample(samples, shared):
    from semcse.encoder import Encoder

    encoder = Encoder.load(samples.bundled(), pooling="mean", max_length=128)
    table = samples.compare(shared / "data", encoder.encode, encoder.separator, share=0.2)
    assert np.isfinite(table[["encoder", "random"]]).all(axis=None)
    assert (table["encoder"] > table["random_best"]).all(), table.to_string()
