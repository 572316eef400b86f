"""The official solvers: golden values, a literal transcription of the protocol's section 4.1, numpy's shuffle."""

import operator

import numpy as np
import pytest

from semcse.scirepeval.official_models import CLASSIFIER_GRID, classifier, multilabel, regressor, stratified
from semcse.scirepeval.solvers import LinearSVC, LinearSVR, _generator, compact, shuffle

X = np.array([(1, 2), (2, 1), (-1, 1), (0, -2), (-2, -1), (1, -1), (3, 0), (-1, -3)], dtype=float)
Y = np.array([1, 1, 0, 0, 0, 1, 1, 0])
T = np.array([4, 3, 1, -3, -4, 0, 3, -6], dtype=float)


def dot(one, other):
    """Sum in order. Where a gradient is zero but for rounding, another order can decide an epoch's end differently."""
    return sum(map(operator.mul, one.tolist(), other.tolist()))


def slow_svc(features, labels, C, loss, seed, max_iter=1000):
    """The classifier of section 4.1, line by line."""
    classes = sorted(set(labels.tolist()))
    generator = np.random.RandomState(seed)
    n = len(features)
    vectors = []
    for positive in classes[1:] if len(classes) == 2 else classes:
        y = [1.0 if label == positive else -1.0 for label in labels]
        upper, diagonal = (C, 0.0) if loss == "hinge" else (float("inf"), 1 / (2 * C))
        w, a = np.zeros(features.shape[1]), [0.0] * n
        order, m = np.arange(n), n
        bound_top, bound_low = float("inf"), -float("inf")
        for _ in range(max_iter):
            head = order[:m].copy()
            generator.shuffle(head)
            order[:m] = head
            big, small, s = -float("inf"), float("inf"), 0
            while s < m:
                i = order[s]
                g = y[i] * dot(w, features[i]) - 1 + diagonal * a[i]
                if (a[i] == 0 and g >= 0 and g > bound_top) or (a[i] == upper and g <= 0 and g < bound_low):
                    m -= 1
                    order[s], order[m] = order[m], order[s]
                    continue
                pg = min(g, 0) if a[i] == 0 else max(g, 0) if a[i] == upper else g
                big, small = max(big, pg), min(small, pg)
                if abs(pg) > 1e-12:
                    new = min(max(a[i] - g / (dot(features[i], features[i]) + diagonal), 0), upper)
                    w = w + (new - a[i]) * y[i] * features[i]
                    a[i] = new
                s += 1
            if big - small <= 1e-3:
                if m == n:
                    break
                m, bound_top, bound_low = n, float("inf"), -float("inf")
            else:
                bound_top = big if big > 0 else float("inf")
                bound_low = small if small < 0 else -float("inf")
        vectors.append(w)
    return np.array(vectors)


def slow_svr(features, targets, C, seed, max_iter=1000):
    """The regressor of section 4.1, line by line."""
    generator, n = np.random.RandomState(seed), len(features)
    w, b, order, first = np.zeros(features.shape[1]), [0.0] * (2 * n), np.arange(n), None
    for _ in range(max_iter):
        generator.shuffle(order)
        violation = 0.0
        for s in range(2 * n):
            i = order[s % n]
            e = dot(w, features[i]) - targets[i]
            g = e if s % 2 == 0 else -e
            pg = min(g, 0) if b[s] == 0 else max(g, 0) if b[s] == C else g
            violation += abs(pg)
            if abs(pg) > 1e-12:
                new = min(max(b[s] - g / dot(features[i], features[i]), 0), C)
                w = w + (new - b[s]) * features[i] * (1 if s % 2 == 0 else -1)
                b[s] = new
        first = violation if first is None else first
        if violation / first < 1e-3:
            break
    return w


def problem(seed, n=50, d=8, classes=2):
    generator = np.random.default_rng(seed)
    features = generator.standard_normal((n, d)) + 0.5
    mixed = features @ generator.standard_normal((d, classes)) + generator.standard_normal((n, classes))
    return features, mixed.argmax(axis=1), mixed[:, 0]


@pytest.mark.parametrize(
    ("loss", "expected"), [("hinge", (1.499878, 0.499878)), ("squared_hinge", (1.061220, 0.326531))]
)
def test_golden_classifier(loss, expected):
    np.testing.assert_allclose(LinearSVC(1, loss, 42).fit(X, Y).coef_[0], expected, atol=6e-7)


@pytest.mark.parametrize(
    ("rows", "C", "expected"),
    [
        (8, 0.01, (0.190000, 0.325000)),
        (8, 1, (0.785550, 1.724531)),
        (7, 0.01, (0.310000, 0.460000)),
        (7, 1, (0.840730, 1.579635)),
    ],
)
def test_golden_regressor(rows, C, expected):
    np.testing.assert_allclose(LinearSVR(C, 42).fit(X[:rows], T[:rows]).coef_[0], expected, atol=6e-7)


def test_golden_shuffle_and_folds():
    values, (key, position) = np.arange(8), _generator(42)
    shuffle(values, 8, key, position)
    assert values.tolist() == [1, 5, 0, 7, 2, 4, 3, 6]
    folds = [held_out.tolist() for _, held_out in stratified(np.array([1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]), 5)]
    assert folds == [[0, 1, 2], [3, 4], [5, 7], [6, 8], [9, 10]]


def test_shuffle_is_numpys_over_many_draws():
    values, (key, position) = np.arange(5000), _generator(7)
    expected, generator = np.arange(5000), np.random.RandomState(7)
    for count in (5000, 3, 4097, 1, 5000):
        shuffle(values, count, key, position)
        head = expected[:count].copy()
        generator.shuffle(head)
        expected[:count] = head
    assert (values == expected).all()


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize(("seed", "classes", "C"), [(1, 2, 0.1), (2, 2, 10), (3, 3, 1), (4, 4, 100)])
def test_classifier_equals_the_transcription(loss, seed, classes, C):
    features, labels, _ = problem(seed, classes=classes)
    steps = 300 if C < 100 else 30
    fast = LinearSVC(C, loss, seed, max_iter=steps).fit(features, labels).coef_
    slow = slow_svc(features, labels, C, loss, seed, max_iter=steps)
    assert fast.shape == (1 if classes == 2 else classes, 8)
    np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-11 * max(1, np.abs(slow).max()))


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize(("seed", "classes", "C"), [(21, 2, 0.1), (22, 2, 10), (23, 3, 100)])
def test_products_of_few_rows_give_the_same_path(loss, seed, classes, C):
    features, labels, _ = problem(seed, n=40, d=60, classes=classes)
    rows = np.random.default_rng(seed).permutation(40)[:30]
    by_products = LinearSVC(C, loss, seed).fit(features, labels, rows=rows, gram=features @ features.T)
    slow = slow_svc(features[rows], labels[rows], C, loss, seed)
    np.testing.assert_allclose(by_products.coef_, slow, rtol=0, atol=1e-11 * max(1, np.abs(slow).max()))
    overlapping = problem(seed, n=70, d=8, classes=classes)[0]
    pair = [
        LinearSVC(C, loss, seed, max_iter=50).fit(overlapping[:40], labels, gram=gram).coef_
        for gram in (None, overlapping[:40] @ overlapping[:40].T)
    ]
    np.testing.assert_allclose(*pair, rtol=0, atol=1e-10 * max(1, np.abs(pair[0]).max()))


def test_a_few_shot_draw_by_products_equals_one_by_features():
    features, labels, _ = problem(24, n=200, d=90, classes=4)
    member = np.stack([labels == k for k in range(4)], axis=1).astype(np.int64)
    rows = np.random.default_rng(0).permutation(200)[:60]
    few = multilabel(features, member, rows)
    own = features[rows]
    for label in range(4):
        splits = stratified(member[rows, label], 3)
        means = [
            np.mean(
                [
                    (
                        LinearSVC(C, "hinge", 42, 10000).fit(own[a], member[rows[a], label]).predict(own[b])
                        == member[rows[b], label]
                    ).mean()
                    for a, b in splits
                ]
            )
            for C in CLASSIFIER_GRID
        ]
        best = LinearSVC(CLASSIFIER_GRID[int(np.argmax(means))], "hinge", 42, 10000).fit(own, member[rows, label])
        assert few.models[label].C == best.C
        np.testing.assert_allclose(few.models[label].coef_, best.coef_, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("seed", "n", "C"), [(1, 50, 0.01), (2, 51, 1), (3, 40, 100), (4, 41, 1e-4)])
def test_regressor_equals_the_transcription(seed, n, C):
    features, _, targets = problem(seed, n=n)
    fast = LinearSVR(C, seed, max_iter=60).fit(features, targets).coef_[0]
    slow = slow_svr(features, targets, C, seed, max_iter=60)
    np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-11 * max(1, np.abs(slow).max()))


def test_the_seed_matters():
    features, labels, _ = problem(2)
    one, other = (LinearSVC(1, "hinge", seed, max_iter=3).fit(features, labels).coef_ for seed in (1, 2))
    assert np.abs(one - other).max() > 1e-6


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_narrow_features_count_as_their_float64_values(kind):
    features, labels, targets = problem(6)
    narrow = features.astype(kind)
    wide = narrow.astype(np.float64)
    assert compact(narrow).dtype == np.float32
    for loss in ("hinge", "squared_hinge"):
        pair = [LinearSVC(1, loss).fit(part, labels).coef_ for part in (narrow, wide)]
        np.testing.assert_allclose(*pair, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        LinearSVR(1).fit(narrow, targets).coef_, LinearSVR(1).fit(wide, targets).coef_, rtol=0, atol=1e-12
    )


def test_rows_select_without_a_copy():
    features, labels, targets = problem(8)
    rows = np.array([3, 40, 5, 22, 46, 9, 30, 11])
    np.testing.assert_array_equal(
        LinearSVC(1).fit(features, labels, rows=rows).coef_, LinearSVC(1).fit(features[rows], labels[rows]).coef_
    )
    np.testing.assert_array_equal(
        LinearSVR(1).fit(features, targets, rows=rows).coef_, LinearSVR(1).fit(features[rows], targets[rows]).coef_
    )


def test_one_class_and_zero_vectors():
    model = LinearSVC(1).fit(X, np.full(8, 3))
    assert model.predict(X).tolist() == [3] * 8
    with_zero = np.vstack([X, np.zeros(2)])
    for loss in ("hinge", "squared_hinge"):
        assert np.isfinite(LinearSVC(1, loss).fit(with_zero, np.append(Y, 1)).coef_).all()
    assert np.isfinite(LinearSVR(1).fit(with_zero, np.append(T, 1.0)).coef_).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: LinearSVC(0), "C must be above 0"),
        (lambda: LinearSVC(1, "log"), "loss must be one of"),
        (lambda: LinearSVR(-1), "C must be above 0"),
        (lambda: LinearSVC(1).fit([1.0], [1]), "feature matrix"),
        (lambda: LinearSVR(1).fit(X, T, rows=np.arange(0)), "no rows"),
    ],
)
def test_bad_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_grid_picks_the_c_of_a_plain_loop():
    features, labels, _ = problem(11, n=120, classes=3)
    means = [
        np.mean(
            [
                (LinearSVC(C).fit(features[a], labels[a]).predict(features[b]) == labels[b]).mean()
                for a, b in stratified(labels, 3)
            ]
        )
        for C in CLASSIFIER_GRID
    ]
    best = LinearSVC(CLASSIFIER_GRID[int(np.argmax(means))]).fit(features, labels)
    rows = np.arange(120)
    for workers in (1, 3):
        np.testing.assert_array_equal(classifier(features, labels, rows, workers).coef_, best.coef_)


def test_grid_prefers_the_smallest_of_equal_c():
    labels = np.arange(60) % 2
    features = np.stack([np.where(labels == 1, 5.0, -5.0), np.ones(60)], axis=1)
    assert classifier(features, labels, np.arange(60)).C == 0.01


def test_multilabel_treats_each_label_by_itself():
    features, labels, _ = problem(12, n=90, classes=3)
    several = np.stack([labels == 0, labels == 1, np.zeros(90)], axis=1).astype(np.int64)
    rows = np.arange(90)
    both = multilabel(features, several, rows, workers=2)
    alone = multilabel(features, several[:, [1]], rows)
    np.testing.assert_array_equal(both.models[1].coef_, alone.models[0].coef_)
    assert both.predict(features).shape == (90, 3)
    assert not both.predict(features)[:, 2].any()
    assert both.models[0].loss == "hinge"


def test_regressor_grid_on_a_subset_of_rows():
    features, _, targets = problem(13, n=80)
    rows = np.arange(0, 80, 2)
    one = regressor(features, targets, rows, workers=2)
    other = regressor(features[rows], targets[rows], np.arange(40))
    assert one.C == other.C
    np.testing.assert_array_equal(one.coef_, other.coef_)
