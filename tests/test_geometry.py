"""Geometry measures against brute force, scikit-learn, and the published IsoScore algorithm written out."""

import tracemalloc
from itertools import combinations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from semcse import geometry

Floats = NDArray[np.floating]


def cloud(n: int = 60, d: int = 7, seed: int = 0, offset: float = 0.0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + offset


def published_isoscore(points: Floats) -> float:
    """Algorithm 1 of Rudman et al. (2022), step by step, for points (N, n)."""
    n = points.shape[1]
    reoriented = PCA(n_components=n).fit_transform(points)
    variances = np.diag(np.cov(reoriented, rowvar=False))
    normalized = np.sqrt(n) * variances / np.linalg.norm(variances)
    defect = np.linalg.norm(normalized - np.ones(n)) / np.sqrt(2 * (n - np.sqrt(n)))
    used = (n - defect**2 * (n - np.sqrt(n))) ** 2 / n**2
    return float((n * used - 1) / (n - 1))


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_explained_variance_equals_scikit_learn(offset: float, scale: float) -> None:
    X = cloud(offset=offset) * scale
    expected = PCA(n_components=5).fit(X).explained_variance_ratio_
    np.testing.assert_allclose(geometry.explained_variance(X, k=5), expected, rtol=1e-6)


def test_explained_variance_of_few_rows_ends_in_zeros() -> None:
    X = cloud(n=4, d=7)
    shares = geometry.explained_variance(X, k=50)
    assert shares.shape == (50,)
    np.testing.assert_allclose(shares[:3], PCA().fit(X).explained_variance_ratio_[:3], rtol=1e-9)
    assert (shares[3:] == 0).all()
    assert shares.sum() == pytest.approx(1.0)


def test_explained_variance_works_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    X = cloud(n=101)
    whole = geometry.explained_variance(X, k=7)
    monkeypatch.setattr(geometry, "BLOCK", 13)
    np.testing.assert_allclose(geometry.explained_variance(X, k=7), whole, rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(60, 7), (300, 2), (50, 40)])
def test_isoscore_equals_the_published_algorithm(seed: int, shape: tuple[int, int]) -> None:
    X = cloud(*shape, seed=seed)
    assert geometry.isoscore(X) == pytest.approx(published_isoscore(X), rel=1e-9)


def test_isoscore_of_a_line_and_of_equal_variances() -> None:
    line = np.outer(np.arange(9.0), [1.0, 2.0, 3.0])
    cross = np.vstack([np.eye(4), -np.eye(4)])
    assert geometry.isoscore(line) == pytest.approx(0.0, abs=1e-12)
    assert geometry.isoscore(cross) == pytest.approx(1.0)
    assert geometry.participation_ratio(line) == pytest.approx(1.0)
    assert geometry.participation_ratio(cross) == pytest.approx(4.0)


def test_isoscore_of_one_dimension_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        geometry.isoscore(cloud(d=1))


def test_participation_ratio_by_hand() -> None:
    # Variances 4 and 1 (up to a common factor): (4 + 1)^2 / (16 + 1).
    X = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert geometry.participation_ratio(X) == pytest.approx(25 / 17)


@pytest.mark.parametrize("block", [7, 2048])
@pytest.mark.parametrize("scale", [1e-200, 1e-4, 1.0, 1e4])
def test_mean_cosine_equals_the_pair_loop(scale: float, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "BLOCK", block)
    X = cloud(n=30, offset=0.5)
    cosines = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in combinations(X, 2)]
    assert geometry.mean_cosine(X * scale) == pytest.approx(np.mean(cosines), rel=1e-10)


@pytest.mark.parametrize("alpha", [1.0, 2.0])
@pytest.mark.parametrize("block", [7, 2048])
def test_alignment_equals_the_pair_loop(alpha: float, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "BLOCK", block)
    a, b = cloud(n=30, seed=1), cloud(n=30, seed=2)
    unit = [(x / np.linalg.norm(x), y / np.linalg.norm(y)) for x, y in zip(a, b, strict=True)]
    expected = np.mean([np.linalg.norm(x - y) ** alpha for x, y in unit])
    assert geometry.alignment(a, b, alpha=alpha) == pytest.approx(expected, rel=1e-10)
    raw = np.mean([np.linalg.norm(x - y) ** alpha for x, y in zip(a, b, strict=True)])
    assert geometry.alignment(a, b, alpha=alpha, normalize=False) == pytest.approx(raw, rel=1e-10)


def test_alignment_of_different_shapes_is_an_error() -> None:
    with pytest.raises(ValueError, match="one shape"):
        geometry.alignment(cloud(n=5), cloud(n=6))


@pytest.mark.parametrize("t", [1.0, 2.0])
@pytest.mark.parametrize("block", [7, 10, 2048])
@pytest.mark.parametrize("normalize", [True, False])
def test_uniformity_equals_the_pair_loop(
    t: float, block: int, normalize: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(geometry, "BLOCK", block)
    X = cloud(n=30, offset=0.0 if normalize else 100.0) * 0.3
    rows = [x / np.linalg.norm(x) if normalize else x for x in X]
    expected = np.log(np.mean([np.exp(-t * np.sum((x - y) ** 2)) for x, y in combinations(rows, 2)]))
    assert geometry.uniformity(X, t=t, normalize=normalize) == pytest.approx(expected, rel=1e-8)


def test_uniformity_of_distant_points_does_not_underflow() -> None:
    X = np.array([[0.0, 0.0], [1e3, 0.0]])
    assert geometry.uniformity(X, normalize=False) == pytest.approx(-2e6)


def test_uniformity_of_a_collapsed_space_is_zero() -> None:
    assert geometry.uniformity(np.ones((5, 3))) == pytest.approx(0.0, abs=1e-12)


def test_memory_does_not_grow_with_the_square_of_rows() -> None:
    X = np.random.default_rng(0).normal(size=(12_000, 8)).astype(np.float32)
    tracemalloc.start()
    geometry.uniformity(X)
    geometry.explained_variance(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # One block of pairs is 2048^2 float64 = 32 MiB; all pairs would be 1.1 GiB.
    assert peak < 300 * 2**20


def test_whitening_gives_unit_covariance() -> None:
    X = cloud(n=200, offset=3.0)
    white = geometry.whitening(X)(X)
    np.testing.assert_allclose(np.cov(white, rowvar=False), np.eye(7), atol=1e-8)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-9)


@pytest.mark.parametrize("power", [0.0, 0.3, 0.5, 1.0])
def test_partial_whitening_by_singular_values(power: float) -> None:
    X = cloud(n=200, offset=3.0)
    U, s, axes = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    flattened = s / (s**2 / s[0] ** 2 + 0.01) ** (power / 2)
    by_hand = (U * flattened * np.sqrt((s**2).sum() / (flattened**2).sum())) @ axes
    evened = geometry.partial_whitening(X, power)(X)
    np.testing.assert_allclose(evened, by_hand, atol=1e-8)
    assert evened.var(axis=0).sum() == pytest.approx(X.var(axis=0).sum())


def test_partial_whitening_between_centring_and_whitening() -> None:
    X = cloud(n=200, offset=3.0)
    np.testing.assert_allclose(geometry.partial_whitening(X, 0)(X), geometry.centring(X)(X), atol=1e-9)
    whole = np.cov(geometry.partial_whitening(X, 1, floor=1e-12)(X), rowvar=False)
    np.testing.assert_allclose(whole, np.eye(7) * np.trace(whole) / 7, atol=1e-6 * np.trace(whole))
    ratios = [geometry.participation_ratio(geometry.partial_whitening(X, p)(X)) for p in (0, 0.25, 0.5, 0.75, 1)]
    assert ratios == sorted(ratios)


def test_partial_whitening_of_few_rows_and_bad_numbers() -> None:
    few = cloud(n=4, d=7)
    assert np.isfinite(geometry.partial_whitening(few, 1.0)(cloud(n=30, d=7))).all()
    for power, floor in ((1.1, 0.01), (-0.1, 0.01), (0.5, 0.0)):
        with pytest.raises(ValueError, match="0 <= power <= 1 and floor > 0"):
            geometry.partial_whitening(few, power, floor)


def test_whitening_leaves_out_directions_without_variance() -> None:
    X = cloud(n=50, d=3) @ np.random.default_rng(1).normal(size=(3, 8))
    assert geometry.whitening(X)(X).shape == (50, 3)
    assert geometry.whitening(X, k=2)(X).shape == (50, 2)


def test_whitening_of_few_rows() -> None:
    X = cloud(n=4, d=7)
    assert geometry.whitening(X)(X).shape == (4, 3)


def test_all_but_the_top_removes_the_first_components() -> None:
    X = cloud(n=200, offset=3.0)
    pca = PCA().fit(X)
    mapped = geometry.all_but_the_top(X, top=2)(X)
    scores = pca.transform(X)
    scores[:, :2] = 0
    np.testing.assert_allclose(mapped, scores @ pca.components_, atol=1e-8)


def test_all_but_the_top_follows_the_rule_of_thumb() -> None:
    X = cloud(n=400, d=300)
    assert np.linalg.matrix_rank(geometry.all_but_the_top(X).matrix) == 297


def test_centring_keeps_differences_and_precision() -> None:
    X = cloud(offset=2.0).astype(np.float32)
    centred = geometry.centring(X)(X)
    assert centred.dtype == np.float32
    np.testing.assert_allclose(centred, X - X.mean(axis=0), atol=1e-5)


def test_maps_check_their_input() -> None:
    X = cloud()
    with pytest.raises(ValueError, match="fitted on 7 dimensions"):
        geometry.whitening(X)(cloud(d=3))
    with pytest.raises(ValueError, match="between 1 and 7"):
        geometry.whitening(X, k=9)
    with pytest.raises(ValueError, match="between 0 and 6"):
        geometry.all_but_the_top(X, top=7)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    "measure",
    [
        geometry.explained_variance,
        geometry.participation_ratio,
        geometry.isoscore,
        geometry.mean_cosine,
        geometry.uniformity,
        geometry.whitening,
        geometry.partial_whitening,
        geometry.all_but_the_top,
        geometry.centring,
        lambda X: geometry.alignment(X, X),
    ],
)
def test_non_finite_input_is_an_error(measure: object, bad: float) -> None:
    X = cloud()
    X[4, 2] = bad
    with pytest.raises(ValueError, match="row 4 of 60"):
        measure(X)  # type: ignore[operator]


def test_other_bad_input_is_an_error() -> None:
    with pytest.raises(ValueError, match="no variance"):
        geometry.explained_variance(np.full((5, 3), 0.1))
    with pytest.raises(ValueError, match="zero vector"):
        geometry.mean_cosine(np.vstack([np.ones((3, 2)), np.zeros((1, 2))]))
    with pytest.raises(ValueError, match=r"float64 of shape \(3,\)"):
        geometry.uniformity(np.ones(3))
    with pytest.raises(ValueError, match="matrix of numbers"):
        geometry.uniformity(np.array([["a", "b"], ["c", "d"]]))
    with pytest.raises(ValueError, match="at least 2 rows"):
        geometry.mean_cosine(np.ones((1, 3)))
    with pytest.raises(ValueError, match="k >= 1"):
        geometry.explained_variance(cloud(), k=0)


def test_geometry_table_has_a_row_for_each_model() -> None:
    models = {"one": cloud(seed=1), "two": cloud(seed=2, d=5)}
    table = geometry.geometry_table(models, pairs={"two": (models["two"], cloud(seed=3, d=5))})
    assert list(table.index) == ["one", "two"]
    assert table.loc["two", "dimensions"] == 5
    assert np.isnan(table.loc["one", "alignment"])
    assert table.loc["two", "alignment"] == geometry.alignment(models["two"], cloud(seed=3, d=5))
    assert table.loc["one", "isoscore"] == geometry.isoscore(models["one"])


def test_map_effects_evaluates_every_map() -> None:
    fit_on, X = cloud(n=100, offset=2.0), cloud(n=30, seed=5, offset=2.0)
    table = geometry.map_effects(
        fit_on, lambda apply: {"cosine": geometry.mean_cosine(apply(X))}, tops=[2], whitened=[None, 3]
    )
    maps = {
        "as they are": lambda rows: rows,
        "centred": geometry.centring(fit_on),
        "without the first 2": geometry.all_but_the_top(fit_on, 2),
        "whitened half-way": geometry.partial_whitening(fit_on),
        "whitened": geometry.whitening(fit_on),
        "whitened, first 3": geometry.whitening(fit_on, 3),
    }
    assert list(table.index) == list(maps)
    for name, linear_map in maps.items():
        assert table.loc[name, "cosine"] == geometry.mean_cosine(linear_map(X))
    assert table["cosine"].nunique() == 6


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_tensors_and_lists_are_taken_as_arrays_are(kind: torch.dtype) -> None:
    tensor = torch.tensor(cloud()).to(kind).requires_grad_()
    X = tensor.detach().float().numpy()
    assert geometry.uniformity(tensor) == geometry.uniformity(X)  # type: ignore[arg-type]
    assert geometry.isoscore(tensor) == geometry.isoscore(X)  # type: ignore[arg-type]
    assert geometry.alignment(tensor, tensor * 2) == pytest.approx(0.0, abs=1e-12)  # type: ignore[arg-type]
    assert geometry.participation_ratio([[2, 0], [-2, 0], [0, 1], [0, -1]]) == pytest.approx(25 / 17)  # type: ignore[arg-type]
