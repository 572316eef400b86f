"""Figures: data arrive in the picture, no text overlaps or leaves the page, files are reproducible."""

import io
import warnings
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from semcse import figures
from semcse.cleaning import REASONS
from semcse.figures import style
from semcse.figures.space import apart

ALL_MODELS = [
    "SciBERT", "SciDeBERTa", "SPECTER", "SciNCL", "SPECTER2 base", "SPECTER2 proximity", "all-MiniLM-L6-v2", "jina-v2",
    "jina-v3", "RoBERTa SimCSE", "NvEmbed-V2", "SemCSE", "SemCSE cosine", "bag of words (TF-IDF)",
]  # fmt: skip
MODELS = ["SciBERT", "SPECTER2 proximity", "all-MiniLM-L6-v2", "RoBERTa SimCSE", "SemCSE cosine", "SemCSE"]
FIELDS = [
    "Biology", "Business", "Chemistry", "Computer Science", "Economics", "Education", "Engineering",
    "Environmental Science", "Geography", "Geology", "History", "Linguistics", "Materials Science", "Mathematics",
    "Medicine", "Philosophy", "Physics", "Political Science", "Psychology", "Sociology",
]  # fmt: skip
TASKS = ["title_abstract", "abstract_segments", "query", "clustering"]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def papers() -> pd.DataFrame:
    source = rng().choice(["scifact", "acl-anthology", "arxiv"], 300, p=[0.2, 0.3, 0.5])
    field = rng().choice(np.array([*FIELDS, None], dtype=object), 300)
    return pd.DataFrame({"source": source, "field": field, "words": rng().integers(60, 400, 300)})


def summaries() -> pd.DataFrame:
    prompt = np.repeat(["general topic", "comprehensive summary", "key finding", "in short"], 30)
    shares = {f"precision_{n}": rng().uniform(0, 1 / n, 120) for n in (1, 2, 3, 4)}
    words, overlap, similarity = rng().integers(8, 40, 120), rng().uniform(0.2, 0.9, 120), rng().uniform(0, 1, 120)
    return pd.DataFrame({"prompt": prompt, "words": words, "overlap": overlap, "similarity": similarity, **shares})


def variety(prompts: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame({"prompt": np.repeat(prompts, 20)})
    shares = {f"distinct_{n}": rng().uniform(0.2 * n, 1, len(frame)) for n in (1, 2, 3)}
    return frame.assign(**shares, diversity=rng().uniform(0, 1, len(frame)))


def outcomes() -> pd.DataFrame:
    rows = [(prompt, outcome, 3 + k) for prompt in summaries()["prompt"].unique() for k, outcome in enumerate(REASONS)]
    return pd.DataFrame([*rows, ("in short", "accepted", 500)], columns=["prompt", "outcome", "texts"])


def curves() -> tuple[pd.DataFrame, pd.DataFrame]:
    steps = np.arange(1, 201)
    losses = [pd.DataFrame({"run": run, "step": steps, "loss": np.exp(-steps / 50)}) for run in MODELS[-2:]]
    scores = pd.DataFrame({"run": np.repeat(MODELS[-2:], 5), "step": np.tile(np.arange(0, 250, 50), 2)})
    scores["rank of the summary (of 900)"] = np.tile([200.0, 30.0, 8.0, 3.0, 4.0], 2)
    scores["rank of the paper (of 900)"] = np.tile([9.0, 5.0, 4.0, 3.0, 4.0], 2)
    return pd.concat(losses), scores


def ranks(models: list[str]) -> pd.DataFrame:
    rows = [
        (task, model, rank) for task in TASKS[:3] for model in models for rank in rng().geometric(0.2, 50).astype(float)
    ]
    return pd.DataFrame(rows, columns=["task", "model", "rank"])


def scores(models: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame([(task, model) for task in TASKS for model in models], columns=["task", "model"])
    value = rng().uniform(2, 900, len(frame))
    return frame.assign(value=value, low=value * 0.9, high=value * 1.1)


def table2(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "semcse/published/paper_table2.csv", index_col="model").drop(columns="parameters")


def individual(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "semcse/published/paper_scirepeval_individual.csv")


def sizes() -> pd.DataFrame:
    frame = pd.DataFrame(
        {"origin": ["paper"] * 4 + ["ours"] * 3, "size": [3500, 17500, 87500, 350000, 3500, 3500, 17500]}
    )
    return frame.assign(**{task: rng().uniform(1, 5, 7) for task in TASKS})


def shares() -> pd.DataFrame:
    values = np.eye(20) * 3 + rng().uniform(0, 0.3, (20, 20))
    return pd.DataFrame(values / values.sum(axis=1, keepdims=True), index=FIELDS, columns=FIELDS)


def points() -> np.ndarray:
    return rng().normal(size=(200, 2)) * [3, 2]


def labels() -> list[str | None]:
    return list(np.resize(np.array(FIELDS, dtype=object), 200))


def measures(models: list[str]) -> pd.DataFrame:
    values = rng().random((2, len(models)))
    return pd.DataFrame({"alignment": values[0], "uniformity": -values[1]}, index=models)


def domain_scores(models: int, domains: int) -> pd.DataFrame:
    rows = [(f"model {m}", FIELDS[d], task) for m in range(models) for d in range(domains) for task in TASKS[:2]]
    ranks = rng().uniform(1, 30, len(rows))
    return pd.DataFrame(rows, columns=["model", "domain", "task"]).assign(
        mean_rank=ranks, low=ranks * 0.8, high=ranks * 1.2, pool=40
    )


def many_fields() -> list[str | None]:
    return list(np.resize(np.array([f"a field with quite a long name {i}" for i in range(30)], dtype=object), 200))


FIGURES: dict[str, Callable[[Path], Figure]] = {
    "domain_comparison": lambda root: figures.domain_comparison(domain_scores(4, 12)),
    "domain_comparison, 14 models": lambda root: figures.domain_comparison(domain_scores(14, 3)),
    "tsne_panels, long names": lambda root: figures.tsne_panels({n: points() for n in "abc"}, many_fields()),
    "paper_counts": lambda root: figures.paper_counts(papers()),
    "abstract_lengths": lambda root: figures.abstract_lengths(papers()),
    "summary_lengths": lambda root: figures.summary_lengths(summaries()),
    "summary_overlap": lambda root: figures.summary_overlap(summaries()),
    "summary_precision": lambda root: figures.summary_precision(summaries()),
    "summary_similarity": lambda root: figures.summary_similarity(summaries()),
    "summary_copying": lambda root: figures.summary_copying(summaries(), summaries().head(6)),
    "summary_variety": lambda root: figures.summary_variety(variety(["all prompts", *summaries()["prompt"].unique()])),
    "summary_variety_one_draw": lambda root: figures.summary_variety(variety(["all prompts"])),
    "summary_variety_in_words": lambda root: figures.summary_variety(
        variety(["all prompts"]).drop(columns="diversity")
    ),
    "summary_rejects": lambda root: figures.summary_rejects(outcomes()),
    "training_curves": lambda root: figures.training_curves(*curves(), best={"SemCSE": 150}),
    "score_against_size": lambda root: figures.score_against_size(sizes(), {t: t for t in TASKS}, TASKS[:3]),
    "rank_histograms": lambda root: figures.rank_histograms(ranks(MODELS)),
    "model_comparison": lambda root: figures.model_comparison(scores(MODELS), TASKS[:3]),
    "field_confusion": lambda root: figures.field_confusion(shares()),
    "table_residuals": lambda root: figures.table_residuals(table2(root), table2(root) + 0.004),
    "task_differences": lambda root: figures.task_differences(
        individual(root), "SemCSE", "SPECTER2 base", table2(root)
    ),
    "tsne_panels_one": lambda root: figures.tsne_panels({"SemCSE": points()}, labels()),
    "tsne_panels_two": lambda root: figures.tsne_panels({m: points() for m in MODELS[:2]}, labels()),
    "tsne_panels_six": lambda root: figures.tsne_panels({m: points() for m in MODELS}, labels(), most=9),
    "tsne_panels_all": lambda root: figures.tsne_panels({m: points() for m in ALL_MODELS[:12]}, labels()),
    "rank_histograms_all": lambda root: figures.rank_histograms(ranks(ALL_MODELS)),
    "model_comparison_all": lambda root: figures.model_comparison(scores(ALL_MODELS), TASKS[:3]),
    "alignment_uniformity_all": lambda root: figures.alignment_uniformity(measures(ALL_MODELS)),
    "explained_variance_curves": lambda root: figures.explained_variance_curves(
        {m: np.sort(rng().dirichlet(np.ones(50)))[::-1] for m in MODELS}
    ),
    "alignment_uniformity": lambda root: figures.alignment_uniformity(measures(MODELS)),
}


def visible_texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every text that is drawn, with its box in pixels."""
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    drawn = [
        text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible() and _is_drawn(text)
    ]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in drawn]


def _is_drawn(text: Text) -> bool:
    """Tick labels outside the view, and those of hidden axes, exist but are never drawn."""
    for axes in text.figure.axes:  # type: ignore[union-attr]
        for axis in (axes.xaxis, axes.yaxis):
            every = [
                label
                for tick in axis.get_major_ticks() + axis.get_minor_ticks()
                for label in (tick.label1, tick.label2)
            ]
            if text in every:
                shown = axis.get_visible() and text in axis.get_ticklabels(which="both")
                low, high = sorted(axis.get_view_interval())
                at = text.get_position()[0 if axis is axes.xaxis else 1]
                return bool(shown and low <= at <= high)
            if text is axis.label or text is axis.offsetText:
                return axis.get_visible()
    return True


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_overlaps_or_leaves_the_page(name: str, root: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = FIGURES[name](root)
        figure.canvas.draw()
    assert figure.get_figwidth() <= figures.PAGE + 1e-9
    assert figure.get_figheight() <= style.PAGE_HEIGHT + 0.1
    page = figure.bbox
    texts = visible_texts(figure)
    assert texts
    for text, box in texts:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= page.width + 1 and box.y1 <= page.height + 1
        assert inside, f"{text!r} leaves the page"
    for (one, a), (other, b) in combinations(texts, 2):
        shared = Bbox.intersection(a, b)
        assert shared is None or min(shared.width, shared.height) <= 1.5, f"{one!r} overlaps {other!r}"


def test_the_overlap_check_can_fail() -> None:
    figure = style.new_figure(3, 2)
    figure.text(0.5, 0.5, "one")
    figure.text(0.51, 0.5, "other")
    (_, a), (_, b) = visible_texts(figure)
    shared = Bbox.intersection(a, b)
    assert shared is not None
    assert min(shared.width, shared.height) > 1.5


@pytest.mark.parametrize("name", ["tsne_panels_two", "training_curves"])
def test_saved_files_are_complete_and_the_same_each_time(name: str, root: Path, tmp_path: Path) -> None:
    figure = FIGURES[name](root)
    pdf, png = figures.save(figure, tmp_path / "a", "figure")
    again_pdf, again_png = figures.save(FIGURES[name](root), tmp_path / "b", "figure")
    figures.save(figure, tmp_path / "c", "figure")
    assert (pdf.name, png.name) == ("figure.pdf", "figure.png")
    assert pdf.read_bytes()[:5] == b"%PDF-"
    assert png.read_bytes()[:4] == b"\x89PNG"
    assert pdf.read_bytes() == again_pdf.read_bytes() == (tmp_path / "c/figure.pdf").read_bytes()
    assert png.read_bytes() == again_png.read_bytes()
    assert b"CreationDate" not in pdf.read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["figure.pdf", "figure.png"]


def test_the_readers_own_settings_stay(root: Path) -> None:
    before = dict(mpl.rcParams)
    figures.summary_lengths(summaries())._repr_png_()  # type: ignore[attr-defined]
    assert dict(mpl.rcParams) == before


def test_a_figure_shows_itself_in_a_notebook() -> None:
    assert figures.summary_lengths(summaries())._repr_png_()[:4] == b"\x89PNG"  # type: ignore[attr-defined]


def test_up_to_42_names_look_different() -> None:
    names = [str(i) for i in range(42)]
    assert len(set(style.looks(names).values())) == 42
    assert len(set(style.field_looks(names).values())) == 42


def test_colours_differ_for_colour_blind_readers() -> None:
    """With red-green blindness (Machado et al. 2009, severity 1, linear RGB) every pair stays apart."""
    deuteranopia = np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    )
    seen = [deuteranopia @ (np.array(mpl.colors.to_rgb(colour)) ** 2.2) for colour in style.COLOURS]
    closest = min(
        np.linalg.norm(a.clip(0, 1) ** (1 / 2.2) - b.clip(0, 1) ** (1 / 2.2)) for a, b in combinations(seen, 2)
    )
    assert closest > 0.15


def test_counts_are_those_of_the_papers() -> None:
    frame = pd.DataFrame({"source": ["a", "a", "b"], "field": ["x", None, "x"]})
    left, right = figures.paper_counts(frame).axes
    assert [bar.get_width() for bar in left.patches] == [2, 1]
    assert [bar.get_width() for bar in right.patches] == [2, 1]
    assert [t.get_text() for t in right.get_yticklabels()] == ["x", "(not stated)"]


def test_rare_fields_are_counted_together() -> None:
    frame = pd.DataFrame({"source": "a", "field": list("xxxyyzw")})
    right = figures.paper_counts(frame, most=2).axes[1]
    assert [t.get_text() for t in right.get_yticklabels()] == ["x", "y", "(2 others)"]
    assert [bar.get_width() for bar in right.patches] == [3, 2, 2]


def test_rank_bars_are_shares_of_all_ranks() -> None:
    frame = pd.DataFrame({"task": "t", "model": "m", "rank": [1, 1, 1.5, 5, 6, 1000, 100, 101]})
    heights = [bar.get_height() for bar in figures.rank_histograms(frame).axes[0].patches]
    np.testing.assert_allclose(np.array(heights) * 8, [2, 1, 1, 1, 0, 0, 1, 2])


def test_a_model_without_a_task_is_named_not_measured() -> None:
    frame = pd.DataFrame({"task": ["t", "u"], "model": ["m", "n"], "rank": [1.0, 2.0]})
    texts = [text.get_text() for text in figures.rank_histograms(frame).findobj(Text)]
    assert texts.count("not measured") == 2


def test_a_missing_score_is_a_gap_not_a_zero() -> None:
    frame = pd.DataFrame({"task": "t", "model": ["m", "n"], "value": [3.0, np.nan]})
    drawn = np.concatenate([line.get_xdata() for line in figures.model_comparison(frame).axes[0].lines])
    np.testing.assert_array_equal(drawn[np.isfinite(drawn)], [3.0])


def test_neighbour_fields_by_hand() -> None:
    table = figures.neighbour_fields(["a", "a", "b"], np.array([[0, 1], [0, 2], [1, 1]]), ["a", "b", "c"])
    expected = pd.DataFrame([[0.5, 0.25, 0.25], [0, 1, 0], [np.nan] * 3], index=list("abc"), columns=list("abc"))
    np.testing.assert_array_equal(table.to_numpy(), expected.to_numpy())
    with pytest.raises(ValueError, match="neighbours of 3 papers"):
        figures.neighbour_fields(["a"], np.zeros((3, 2), dtype=int), ["a"])


def test_task_differences_draws_the_differences(root: Path) -> None:
    frame = individual(root)
    figure = figures.task_differences(frame, "SemCSE", "SciBERT", table2(root))
    widths = [bar.get_width() for axes in figure.axes for bar in axes.patches]
    wide = frame.set_index(["task", "metric", "model"])["value"].unstack()
    np.testing.assert_allclose(sorted(widths), sorted(wide["SemCSE"] - wide["SciBERT"]), atol=1e-9)
    diamond = next(line for line in figure.axes[0].lines if line.get_marker() == "D" and len(line.get_xdata()) == 1)
    assert diamond.get_xdata()[0] == pytest.approx(69.52 - 63.86)
    with pytest.raises(ValueError, match=r"no scores for \['GPT'\]"):
        figures.task_differences(frame, "GPT", "SciBERT")


def test_residuals_are_recomputed_minus_printed(root: Path) -> None:
    printed = table2(root)
    figure = figures.table_residuals(printed, printed + 0.003)
    drawn = figure.axes[0].lines[-1].get_xdata()
    np.testing.assert_allclose(drawn, np.full(len(printed), 0.003), atol=1e-9)
    with pytest.raises(ValueError, match="in common"):
        figures.table_residuals(printed, printed.rename(index=str.upper).drop(index="SPECTER"))


def test_best_step_is_marked_and_must_exist() -> None:
    losses, scores = curves()
    axes = figures.training_curves(losses, scores, best={"SemCSE": 150}).axes[1]
    stars = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "*" and len(line.get_xdata())]
    assert stars == [[[150.0, 3.0]]]
    assert axes.get_yscale() == "log"
    with pytest.raises(ValueError, match="no evaluation at the best step 151"):
        figures.training_curves(losses, scores, best={"SemCSE": 151})


def test_every_paper_is_a_point_in_every_panel() -> None:
    names: list[str | None] = [*labels()[:199], None]
    for axes in figures.tsne_panels({"a": points(), "b": points()}, names, most=4).axes:
        assert sum(len(group.get_offsets()) for group in axes.collections) == 200
    with pytest.raises(ValueError, match="panel 'a'"):
        figures.tsne_panels({"a": points()[:5]}, names)


def test_fields_have_numbers_where_colours_repeat() -> None:
    few, many = (figures.tsne_panels({"a": points()}, labels(), most=most) for most in (7, 8))
    assert [text.get_text() for text in few.axes[0].texts] == []
    assert [text.get_text() for text in many.axes[0].texts] == [str(i) for i in range(1, 9)]
    assert [text.get_text() for text in many.legends[0].get_texts()][:2] == ["1 Biology", "2 Business"]


@pytest.mark.parametrize("count", [2, 10, 20])
def test_boxes_are_moved_apart(count: int) -> None:
    start = rng().normal(size=(count, 2)) * 0.1
    start[1] = start[0]
    moved = apart(start, (0.14, 0.12))
    free = (np.abs(moved[:, None] - moved) >= np.array([0.14, 0.12]) - 1e-6).any(axis=2)
    assert free[~np.eye(count, dtype=bool)].all()
    far = np.arange(2 * count).reshape(count, 2) * 1.0
    np.testing.assert_allclose(apart(far, (0.14, 0.12)), far, atol=1e-6)


def test_panels_of_a_long_legend_are_as_wide_as_the_page_allows() -> None:
    figure = figures.tsne_panels({name: points() for name in "abc"}, many_fields())
    widths = [axes.get_window_extent().width / figure.dpi for axes in figure.axes]
    assert min(widths) > 0.9 * figures.PAGE / 3


def test_domains_show_the_ranks_they_are_given() -> None:
    scores = domain_scores(2, 3)
    panels = figures.domain_comparison(scores).axes
    drawn = [line.get_xdata() for line in panels[0].lines if len(line.get_xdata())]
    wanted = scores[scores["task"] == TASKS[0]].groupby("model")["mean_rank"].agg(list)
    assert [list(values) for values in drawn] == wanted.tolist()


def test_missing_columns_and_empty_tables_are_errors() -> None:
    with pytest.raises(ValueError, match=r"\['words'\] missing"):
        figures.summary_lengths(pd.DataFrame({"prompt": ["a"]}))
    with pytest.raises(ValueError, match="without rows"):
        figures.paper_counts(pd.DataFrame({"source": [], "field": []}))
    with pytest.raises(ValueError, match="square"):
        figures.field_confusion(shares().iloc[:3])
    with pytest.raises(ValueError, match="no model"):
        figures.alignment_uniformity(measures(MODELS) * np.nan)
    with pytest.raises(ValueError, match="no curves"):
        figures.explained_variance_curves({})


def test_rejected_shares_add_up() -> None:
    """Each bar of a prompt is as long as its reason's share of all texts, and they follow one another."""
    frame = pd.DataFrame(
        [("a", "accepted", 6), ("a", "empty", 1), ("a", "too_long", 3), ("b", "accepted", 9), ("b", "too_long", 1)],
        columns=["prompt", "outcome", "texts"],
    )
    bars = figures.summary_rejects(frame).axes[0].patches
    assert [(bar.get_x(), bar.get_width()) for bar in bars] == [
        pytest.approx(pair) for pair in [(0, 0.3), (0, 0.1), (0.3, 0.1), (0.1, 0)]
    ]


def test_precision_is_the_mean_of_each_prompt() -> None:
    frame = pd.DataFrame({"prompt": ["a", "a", "b"], "precision_1": [0.2, 0.6, 1.0], "precision_2": [0.1, np.nan, 0.5]})
    drawn = [line.get_ydata().tolist() for line in figures.summary_precision(frame).axes[0].lines]
    assert drawn == [pytest.approx([0.4, 0.1]), pytest.approx([1.0, 0.5])]


def test_a_name_s_dollars_start_no_formula() -> None:
    wrong = r"$\frac$ and $x^{2"
    figure = figures.field_confusion(pd.DataFrame([[0.7, 0.3], [0.1, 0.9]], [wrong, "b"], [wrong, "b"]))
    assert sum(text.get_text() == wrong for text in figure.findobj(Text)) >= 2
    figure.savefig(io.BytesIO())
    logarithmic = figures.score_against_size(sizes(), {t: t for t in TASKS}, TASKS[:1]).axes[0]
    assert any(label.get_parse_math() and "10" in label.get_text() for label in logarithmic.get_xticklabels())
