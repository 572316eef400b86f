"""Parameter sets: composition, provenance, strict errors, and that the shipped ones say what the paper says."""

import re
from pathlib import Path

import pytest

from semcse.params import ParameterError, Study, Training, explain, find, load, parameter_folder, read, write
from semcse.schema import Sampling

SHIPPED = sorted(path.stem for path in parameter_folder().glob("*.yaml") if path.stem != "models")
ABLATIONS = sorted(path.stem for path in (parameter_folder() / "ablations").glob("*.yaml"))


def written(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "spec", [*SHIPPED, *(f"demo+{name}" for name in ABLATIONS), *(f"paper+{n}" for n in ABLATIONS)]
)
def test_shipped_sets_are_valid(spec):
    assert load(spec).name == spec


def test_defaults_and_paper_yaml_agree_on_the_paper_s_numbers():
    stated = {key: value for key, (value, origin) in explain("paper").items() if origin != "default"}
    assert len(stated) > 25
    ours = {"sampling.invalid", "sampling.min_sentences", "benchmarks.models", "benchmarks.precision"}
    defaults = Study().model_dump(mode="json")
    for key, value in stated.items():
        section, _, name = key.partition(".")
        if key not in ours:
            assert (defaults[section][name] if name else defaults[section]) == value, key


def test_the_paper_s_counts_sum_to_350000():
    assert sum(load("paper").sampling.sets.values()) == 350_000


def test_sizes_of_table_3_at_any_scale():
    for name in [name for name in ABLATIONS if name.startswith("size-")]:
        share = load(f"paper+{name}").training.papers
        assert share * 350_000 == pytest.approx(1000 * float(name.removeprefix("size-").removesuffix("k")))
        assert round(share * load("demo").sampling.training) >= 5  # a batch of five still fits


def test_ablations_hold_differences_only():
    for name in ABLATIONS:
        base, changed = explain("paper"), explain(f"paper+{name}")
        differing = {key for key in base if base[key][0] != changed[key][0]} - {"name", "folder"}
        assert differing, f"{name} changes nothing"
        assert all(Path(changed[key][1]).stem == name for key in differing), name


def test_composition_takes_the_last_word_and_knows_where_it_comes_from(tmp_path):
    base = written(tmp_path, "base", "training: {batch_size: 8, margin: 2.0}\nseed: 3\n")
    child = written(tmp_path, "child", "extends: base\ntraining: {margin: 4.0}\n")
    difference = written(tmp_path, "difference", "training: {margin: 5.0}\n")
    assert load(child).training.batch_size == 8
    assert load(child).training.margin == 4.0
    assert load(f"{child}+{difference}").training.margin == 5.0
    assert load(f"{child}+{difference}", ["training.margin=6"]).training.margin == 6.0
    values = explain(child, ["seed=5"])
    assert values["training.batch_size"] == (8, base)
    assert values["training.margin"] == (4.0, child)
    assert values["seed"] == (5, "command line")
    assert values["training.l2"] == (1 / 250, "default")


def test_paths_may_hold_a_plus(tmp_path):
    folder = tmp_path / "demo+cosine+crops"
    study = load("demo+crops", [f"folder={folder}"])
    write(study, folder / "params.yaml")
    assert read(folder) == study
    difference = written(folder, "my+own", "training: {margin: 5.0}\n")
    joined = load(f"{folder}/params.yaml+cosine+{difference}", [f"folder={folder}"])
    cosine = {key: load("demo+cosine").model_dump()["training"][key] for key in ("loss", "temperature")}
    assert joined.training == study.training.model_copy(update={**cosine, "margin": 5.0})
    with pytest.raises(ParameterError, match=r"no parameter file .*demo\+cosine\+none"):
        read(tmp_path / "demo+cosine+none")


def test_a_stage_keeps_what_is_not_said_of_its_resources():
    usual = Study().resources
    study = load("paper", ["resources.training={gpus: 4}"])
    assert study.resources.training == usual.training.model_copy(update={"gpus": 4})
    assert study.resources.summaries == usual.summaries
    with pytest.raises(ParameterError, match=r"resources.training.gpu: Extra inputs are not permitted"):
        load("paper", ["resources.training={gpu: 4}"])
    demo = load("demo").resources
    assert demo.training.gpus == demo.summaries.gpus == demo.benchmarks.gpus == 0


def test_mappings_are_replaced_not_merged(tmp_path):
    spec = written(tmp_path, "only", "training: {mix: {summary: 1.0}}\n")
    assert load(f"paper+{spec}").training.mix == {"summary": 1.0}


def test_relative_paths_count_from_the_file_that_holds_them(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    spec = written(
        tmp_path / "sub", "mine", "sampling: {source: file, path: ../papers.csv}\ntraining: {base: ./model}\n"
    )
    monkeypatch.chdir("/")
    study = load(spec)
    assert study.sampling.path == str(tmp_path / "papers.csv")
    assert study.training.base == str(tmp_path / "sub" / "model")
    monkeypatch.chdir(tmp_path)
    assert load(spec, ["sampling.path=other.csv"]).sampling.path == str(tmp_path / "other.csv")
    assert load("paper").training.base == "KISTI-AI/Scideberta-full"


def test_written_studies_read_back_equal(tmp_path):
    study = load("demo+cosine", ["sampling.path=x.csv", f"folder={tmp_path}"])
    write(study, tmp_path / "params.yaml")
    assert read(tmp_path) == study


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.lerning_rate=1", ["command line", "training.lerning_rate", "did you mean 'learning_rate'"]),
        ("trainin.margin=1", ["trainin", "did you mean 'training'"]),
        ("training.batch_size=many", ["training.batch_size", "valid integer", "'many'"]),
        ("training.batch_size=1", ["training.batch_size", "greater than or equal to 2", "got 1"]),
        ("training.loss=tripplet", ["training.loss", "'triplet' or 'infonce'", "'tripplet'"]),
        ("training.mix={summary: 0.9}", ["mix must sum to 1, got 0.9"]),
        ("training.schedule=cosine", ["schedule 'cosine' needs max_steps"]),
        ("sampling.source=file", ["path must name"]),
        ("summaries.writer=openai", ["base_url"]),
        ("variants={x: {lr: 3}}", ["variants.x.lr"]),
        ("variants={a b: {loss: triplet}}", ["a b"]),
        ("training.margin", ["expected section.key=value"]),
        ("training=3", ["training: expected keys and values"]),
        ("seed=[", ["not readable as YAML"]),
    ],
)
def test_mistakes_are_named(override, said):
    with pytest.raises(ParameterError) as caught:
        load("paper", [override])
    for words in said:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training: {margin: 1, margin: 2}", "appears twice"),
        ("- a\n- b\n", "expected keys and values"),
        ("training: [", "not readable as YAML"),
        ("extends: loop\n", "extends itself"),
        ("training:\n  marginn: 1\n", "did you mean 'margin'"),
    ],
)
def test_bad_files_are_named(tmp_path, text, said):
    path = written(tmp_path, "loop", text)
    with pytest.raises(ParameterError, match=re.escape(said)) as caught:
        load(path)
    assert path in str(caught.value)


def test_files_that_are_not_utf8_or_not_there_are_named(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"seed: 1 # caf\xe9\n")
    with pytest.raises(ParameterError, match=r"latin\.yaml: not UTF-8"):
        load(str(tmp_path / "latin.yaml"))
    with pytest.raises(ParameterError, match="no parameter file"):
        load(str(tmp_path / "none.yaml"))
    with pytest.raises(ParameterError, match="did you mean 'demo'"):
        find("dmeo")


def test_variants_differ_from_training_only_where_they_say():
    study = load("demo")
    own, other = study.trainings().values()
    assert other.model_dump() == {**own.model_dump(), "name": other.name, **study.variants[other.name]}
    assert other.loss != own.loss
    assert study.variant(own.name).folder == study.folder
    assert study.variant(other.name).folder == study.folder / "variants" / other.name
    assert study.variant(other.name).training == other


def test_a_section_is_read_from_a_notebook_s_names():
    names = {"margin": 2.5, "loss": "infonce", "unrelated": 1}
    assert Training.of(names) == Training(margin=2.5, loss="infonce")
    with pytest.raises(ValueError, match="path must name"):
        Sampling.of({"source": "file"})


def test_every_parameter_says_what_it_does():
    for section in Study.model_fields.values():
        fields = getattr(section.annotation, "model_fields", {})
        assert all(field.description for field in fields.values())
