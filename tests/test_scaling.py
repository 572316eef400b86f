"""The arithmetic of the scaling plan, by hand, and its place in the document."""

import json
import sys

import numpy as np
import pytest


@pytest.fixture
def scaling(root, monkeypatch):
    """The script and its plan, as they see each other when run."""
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    import scaling
    import scaling_plan

    yield scaling, scaling_plan
    for name in [name for name in sys.modules if name.startswith("scaling")]:
        del sys.modules[name]


def part(what, law, rows):
    return {"what": what, "law": law, "exponent": 1.9, "range": [1.8, 2.0], "rows": rows}


def row(size, seconds, cpu):
    return {"size": size, "seconds": seconds, "cpu": cpu, "mib": 10.0}


@pytest.fixture
def found():
    """36,000 papers take an hour of one core in exact neighbours, and 1,000 tokens are 10 of each kind."""
    sizes = {
        "papers (Parquet)": 1000.0,
        "tokens of title and abstract": 100.0,
        "tokens of a written summary (demo corpus)": 20.0,
        "tokens of a prompt": 4.0,
    }
    return {
        "hardware": {"cpu": "a CPU", "cores": 2, "machine": "x86_64"},
        "versions": {"python": "3.11", "torch": "2"},
        "threads": 2,
        "source": "papers.jsonl.gz",
        "parts": {
            "exact": part("exact", 2, [row(500, 1.0, 2.0), row(1000, 4.0, 7.2), row(1000, 5.0, 9.0)]),
            "sizes": [{"what": what, "per_paper": value} for what, value in sizes.items()],
        },
    }


def cells(text, start):
    line = next(line for line in text.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("| ").split("|")]


def test_the_slope_is_the_exponent(scaling):
    sizes = [100, 200, 400, 800]
    assert scaling[0].slope(sizes, [3e-4 * n**1.5 for n in sizes]) == pytest.approx(1.5)
    assert scaling[0].slope(sizes, [2.0] * 4) == pytest.approx(0)


def test_a_measured_stage_grows_by_its_law(scaling, found):
    text = scaling[1].plan(found, scaling[1].assumptions(["cpu_price=0.5"]))
    # 7.2 processor seconds for 1,000 papers, squared growth: 350,000 papers take 350^2 times as long
    assert cells(text, "exact | core")[3] == "245 h, $122"
    assert cells(text, "exact | core")[4] == "200,000 h, $100,000"
    assert cells(text, "exact | 500")[2:6] == ["2", "1.90 [1.80, 2.00]", "4", "250"]


def test_generation_is_prompt_and_output_tokens_at_the_assumed_rates(scaling, found):
    rates = ["prefill=1200", "decode=3000", "bf16=0.5", "gpu_price=2"]
    text = scaling[1].plan(found, scaling[1].assumptions(rates))
    # a paper: (100 + 5 x 4) / 600 + 15 x 20 / 1500 = 0.4 s
    assert cells(text, "generation")[3] == "38.9 h, $77.78"
    twice = scaling[1].plan(found, scaling[1].assumptions([*rates, "repeated_prefill=2"]))
    assert cells(twice, "generation")[3] == f"{350_000 * (220 / 600 + 0.2) / 3600:.3g} h, $110"


def test_training_does_not_grow(scaling, found):
    text = scaling[1].plan(found, scaling[1].assumptions(["steps=9000", "train=640", "gpu_price=1"]))
    # 9,000 steps x 64 texts x 20 tokens / 640 a second = 18,000 s
    assert cells(text, "training")[3:] == ["5 h, $5.00"] * 3


def test_storage_is_bytes_times_papers(scaling, found):
    text = scaling[1].plan(found, scaling[1].assumptions(["storage_price=0.01"]))
    assert cells(text, "papers (Parquet)")[1:3] == ["1,000", f"{350e6 / 2**30:.3g} GiB, < $0.01"]
    assert cells(text, "papers (Parquet)")[4] == f"{200e9 / 2**30:.3g} GiB, $2.00"
    assert cells(text, "embeddings, 768 x float16")[1] == "1,536"


def test_an_unknown_assumption_is_an_error(scaling):
    with pytest.raises(SystemExit, match="gpu_prize"):
        scaling[1].assumptions(["gpu_prize=1"])


def test_the_plan_goes_between_the_markers_of_the_document(scaling, found, root, tmp_path):
    document = tmp_path / "scaling.md"
    before = (root / "docs" / "scaling.md").read_text("utf-8")
    document.write_text(before, encoding="utf-8")
    scaling[1].write_into(document, "new tables")
    scaling[1].write_into(document, "newer tables\n")
    begin, end = scaling[1].MARKERS
    after = document.read_text("utf-8")
    assert after == f"{before.partition(begin)[0]}{begin}\nnewer tables\n{end}{before.partition(end)[2]}"
    document.write_text("no markers", encoding="utf-8")
    with pytest.raises(SystemExit, match="tables: begin"):
        scaling[1].write_into(document, "x")


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_parts_leave_their_numbers_in_a_file(scaling, tmp_path, capsys):
    import scaling_parts

    inputs = scaling_parts.Inputs(scaling_parts.DEMO, tmp_path)
    inputs.real = np.random.default_rng(0).standard_normal((50, 16)).astype(np.float32)
    for names in (["exact", "reading"], ["ranks"]):
        scaling[0].measure(names, inputs, [20, 40], tmp_path / "out.json")
    parts = json.loads((tmp_path / "out.json").read_text("utf-8"))["parts"]
    assert list(parts) == ["exact", "reading", "ranks"]
    assert [row["size"] for row in parts["exact"]["rows"]] == [20, 40] * 2
    assert parts["reading"]["rows"][-1]["papers"] == 40
    assert "expected 2" in capsys.readouterr().out
