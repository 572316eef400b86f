"""t-SNE: every parameter reaches openTSNE, pictures repeat, groups separate, landmarks; Procrustes against SciPy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from openTSNE import TSNE
from scipy.spatial import procrustes as scipy_procrustes

from semcse import projection


@pytest.fixture
def groups() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """96 points in 3 far groups in 64 dimensions, with their group."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 32)
    centres = rng.normal(size=(3, 64)) * 5
    return (centres[labels] + rng.normal(size=(96, 64))).astype(np.float32), labels


class Recorder:
    """Stands in for openTSNE's class and keeps what it was given."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}
        self.data: NDArray[np.float64] = np.empty(0)

    def __call__(self, **given: Any) -> "Recorder":
        self.given = given
        return self

    def fit(self, data: NDArray[np.float64]) -> NDArray[np.float64]:
        self.data = data
        return np.zeros((len(data), 2))


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    stand_in = Recorder()
    monkeypatch.setattr(projection, "TSNE", stand_in)
    return stand_in


@pytest.mark.parametrize(
    ("ours", "theirs", "value"),
    [
        ("perplexity", "perplexity", 7.0),
        ("seed", "random_state", 11),
        ("n_jobs", "n_jobs", 1),
        ("metric", "metric", "cosine"),
        ("early_exaggeration", "early_exaggeration", 5.0),
        ("early_exaggeration_iter", "early_exaggeration_iter", 17),
        ("n_iter", "n_iter", 19),
        ("exaggeration", "exaggeration", 1.5),
        ("learning_rate", "learning_rate", 99.0),
        ("neighbors", "neighbors", "approx"),
        ("verbose", "verbose", True),
    ],
)
def test_parameter_reaches_opentsne(groups: Any, recorder: Recorder, ours: str, theirs: str, value: Any) -> None:
    projection.tsne(groups[0])
    assert recorder.given[theirs] != value
    projection.tsne(groups[0], **{ours: value})
    assert recorder.given[theirs] == value
    assert recorder.given["initialization"] == "pca"


@pytest.mark.parametrize(("pca_dims", "expected"), [(10, 10), (64, 64), (80, 64), (None, 64)])
def test_reduction_before_tsne(groups: Any, recorder: Recorder, pca_dims: int | None, expected: int) -> None:
    projection.tsne(groups[0], pca_dims=pca_dims)
    assert recorder.data.shape == (96, expected)


def test_reduction_keeps_distances_or_angles(groups: Any, recorder: Recorder) -> None:
    rng = np.random.default_rng(1)
    flat = rng.normal(size=(100, 4)) @ rng.normal(size=(4, 30)) + 5.0
    projection.tsne(flat, pca_dims=5)
    ours = np.linalg.norm(recorder.data[0] - recorder.data, axis=1)
    np.testing.assert_allclose(ours, np.linalg.norm(flat[0] - flat, axis=1), rtol=1e-9)
    projection.tsne(flat, pca_dims=5, metric="cosine")
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    np.testing.assert_allclose(recorder.data @ recorder.data.T, unit @ unit.T, rtol=1e-9)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_groups_stay_together_and_the_picture_repeats(groups: Any, metric: projection.Metric) -> None:
    X, labels = groups
    first = projection.tsne(X, perplexity=8, n_iter=100, early_exaggeration_iter=50, metric=metric)
    again = projection.tsne(X, perplexity=8, n_iter=100, early_exaggeration_iter=50, metric=metric)
    assert first.shape == (96, 2)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, again)
    distances = np.linalg.norm(first[:, None] - first, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(axis=1)] == labels).all()


def test_few_rows_lower_the_perplexity_with_a_warning(recorder: Recorder) -> None:
    X = np.random.default_rng(0).normal(size=(10, 4))
    with pytest.warns(UserWarning, match=r"asks for 91 papers, got 10; 3\.0 is used"):
        projection.tsne(X)
    assert recorder.given["perplexity"] == 3.0


def test_five_rows_can_be_drawn() -> None:
    X = np.random.default_rng(0).normal(size=(5, 4))
    with pytest.warns(UserWarning, match="papers"):
        assert np.isfinite(projection.tsne(X, n_iter=20, early_exaggeration_iter=10)).all()


def test_bad_input_is_an_error(groups: Any) -> None:
    X = groups[0]
    broken = X.copy()
    broken[3, 1] = np.nan
    zero = X.copy()
    zero[7] = 0
    with pytest.raises(ValueError, match="row 3 of 96"):
        projection.tsne(broken)
    with pytest.raises(ValueError, match="row 7 is the zero vector"):
        projection.tsne(zero, metric="cosine")
    with pytest.raises(ValueError, match="N >= 5"):
        projection.tsne(X[:4])
    with pytest.raises(ValueError, match="rows are equal"):
        projection.tsne(np.ones((9, 3)))
    with pytest.raises(ValueError, match="above 1"):
        projection.tsne(X, perplexity=1)
    with pytest.raises(ValueError, match="euclidean, cosine"):
        projection.tsne(X, metric="manhattan")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 2"):
        projection.tsne(X, pca_dims=1)


@pytest.fixture
def crowd() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """600 points in 4 groups in 64 dimensions, with their group."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 4, 600)
    centres = rng.normal(size=(4, 64)) * 3
    return (centres[labels] + rng.normal(size=(600, 64))).astype(np.float32), labels


FEW = {"perplexity": 10, "n_iter": 60, "early_exaggeration_iter": 30}


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_landmarks_lie_as_if_they_were_all(crowd: Any, metric: projection.Metric) -> None:
    X, _ = crowd
    chosen = projection.landmark_rows(600, 150, seed=3)
    places = projection.tsne(X, landmarks=150, seed=3, metric=metric, **FEW)
    alone = projection.tsne(X[chosen], seed=3, metric=metric, **FEW)
    np.testing.assert_array_equal(places[chosen], alone)
    assert len(np.unique(chosen)) == 150
    assert (np.diff(chosen) > 0).all()


def test_the_others_lie_where_opentsne_puts_them(crowd: Any) -> None:
    X, _ = crowd
    chosen = projection.landmark_rows(600, 150)
    others = np.setdiff1d(np.arange(600), chosen)
    places = projection.tsne(X, landmarks=150, pca_dims=None, **FEW)
    theirs = TSNE(initialization="pca", neighbors="exact", n_jobs=2, random_state=0, **FEW).fit(X[chosen].astype(float))
    placed = np.asarray(theirs.transform(X[others].astype(float)))
    np.testing.assert_allclose(places[others] - places[chosen[0]], placed - np.asarray(theirs)[0], atol=1e-9)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_the_others_lie_among_their_kind(crowd: Any, metric: projection.Metric) -> None:
    X, labels = crowd
    chosen = projection.landmark_rows(600, 150)
    places = projection.tsne(X, landmarks=150, metric=metric, **FEW)
    others = np.setdiff1d(np.arange(600), chosen)
    distances = np.linalg.norm(places[others, None] - places[chosen], axis=2)
    assert np.isfinite(places).all()
    assert (labels[chosen][distances.argmin(axis=1)] == labels[others]).mean() > 0.98
    low, high = places[chosen].min(axis=0), places[chosen].max(axis=0)
    assert (np.abs(places[others] - (low + high) / 2) < 0.75 * (high - low)).all()


def test_same_seed_same_landmark_picture_and_no_matter_how_it_is_chunked(
    crowd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, _ = crowd
    first, again = (projection.tsne(X, landmarks=100, seed=1, **FEW) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first != projection.tsne(X, landmarks=100, seed=2, **FEW)).any()
    monkeypatch.setattr(projection, "CHUNK", 70)
    np.testing.assert_allclose(projection.tsne(X, landmarks=100, seed=1, **FEW), first, atol=1e-6)


def test_a_memory_mapped_matrix_can_be_placed(crowd: Any, tmp_path: Path) -> None:
    X, _ = crowd
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        projection.tsne(mapped, landmarks=100, **FEW), projection.tsne(X, landmarks=100, **FEW)
    )


@pytest.mark.parametrize("landmarks", [None, 96, 1000])
def test_with_no_more_rows_than_landmarks_the_picture_is_the_plain_one(groups: Any, landmarks: int | None) -> None:
    np.testing.assert_array_equal(
        projection.tsne(groups[0], landmarks=landmarks, **FEW), projection.tsne(groups[0], **FEW)
    )


def test_five_landmarks_suffice_and_fewer_do_not(groups: Any) -> None:
    with pytest.warns(UserWarning, match="got 5"):
        assert np.isfinite(projection.tsne(groups[0], landmarks=5, **FEW)).all()
    with pytest.raises(ValueError, match="at least 5 landmarks, got 4"):
        projection.tsne(groups[0], landmarks=4)


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_a_bad_row_that_is_no_landmark_is_named(groups: Any, value: float) -> None:
    X = groups[0].copy()
    row = int(np.setdiff1d(np.arange(96), projection.landmark_rows(96, 40))[3])
    X[row] = value
    with pytest.raises(ValueError, match=f"row {row} "):
        projection.tsne(X, landmarks=40, metric="cosine", **FEW)


def test_procrustes_undoes_rotation_mirror_scale_and_shift() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(20, 2))
    turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    for mirror in (np.eye(2), np.diag([1.0, -1.0])):
        other = 3.7 * reference @ turn @ mirror + [5.0, -2.0]
        np.testing.assert_allclose(projection.procrustes(reference, other), reference, atol=1e-12)


def test_procrustes_equals_scipy() -> None:
    rng = np.random.default_rng(1)
    reference, other = rng.normal(size=(2, 30, 2))
    theirs_reference, theirs_other, disparity = scipy_procrustes(reference, other)
    centred = reference - reference.mean(axis=0)
    ours = (projection.procrustes(reference, other) - reference.mean(axis=0)) / np.linalg.norm(centred)
    np.testing.assert_allclose(ours, theirs_other, atol=1e-12)
    assert ((theirs_reference - ours) ** 2).sum() == pytest.approx(disparity)


def test_procrustes_of_unusable_points_is_an_error() -> None:
    points = np.random.default_rng(0).normal(size=(4, 2))
    with pytest.raises(ValueError, match="same points twice"):
        projection.procrustes(points, points[:3])
    with pytest.raises(ValueError, match="coincide"):
        projection.procrustes(points, np.ones((4, 2)))
    with pytest.raises(ValueError, match="finite"):
        projection.procrustes(points * np.nan, points)
