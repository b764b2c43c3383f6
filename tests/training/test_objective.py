"""Coded gradients and measures of an objective, against sums over single samples."""

from itertools import pairwise

import numpy as np
import pytest

from lad_mpi.arrays import open_backend
from lad_mpi.data import Dataset
from lad_mpi.models import LinearRegression, Mlp, SoftmaxRegression
from lad_mpi.rng import Streams
from lad_mpi.training import objective as module
from lad_mpi.training.batches import Batches
from lad_mpi.training.objective import Objective
from lad_mpi.types import SampleForm

CLASSES, FEATURES, SEED = 3, 5, 4
SIZES = {"equal": [4] * 6, "almost equal": [4, 5, 4, 5, 5, 4], "ragged": [1, 9, 2, 2, 17, 3]}
SOFTMAX, LINEAR = SoftmaxRegression(), LinearRegression()
#: The first four devices have all their subsets, and the others are padded.
SUBSETS = np.array([[0, 1, 2], [3, 4, 5], [5, 0, 4], [1, 1, 3], [4, -1, -1], [2, 3, -1]])
RNG = np.random.default_rng(0)
WEIGHTS = {"one a device": RNG.normal(size=(6, 1)), "one a subset": RNG.normal(size=(6, 3))}


def dataset(sizes, model, num_tests=0):
    rng = np.random.default_rng(1)
    n = sum(sizes)
    classifies = model.task == "classification"

    def targets(count):
        return rng.integers(0, CLASSES, count) if classifies else rng.normal(size=count)

    return Dataset(
        rng.normal(size=(n, FEATURES)),
        targets(n),
        np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)]),
        SampleForm((FEATURES,), CLASSES if classifies else 0),
        rng.normal(size=(num_tests, FEATURES)),
        targets(num_tests),
    )


def objective(data, model, *, dtype="float64", **options):
    backend = open_backend("numpy", dtype)
    functions = model.build(data.form, backend)
    return Objective(data, functions, backend, streams=Streams(SEED), **options)


def coded(tested, model, subsets, weights, **options):
    out = np.full((len(subsets), tested.dimension), np.nan, dtype=model.dtype)
    tested.coded_gradients(model, subsets, weights, out, **options)
    return out


def sample_gradient(kind, x, z, y):
    """Return the gradient of one sample, from its definition."""
    if kind is LINEAR:
        return (z @ x - y) * z
    scores = x.reshape(CLASSES, FEATURES) @ z
    slopes = np.exp(scores) / np.exp(scores).sum()
    slopes[y] -= 1
    return np.outer(slopes, z).ravel()


def expected_gradients(kind, data, x, weights, *, batch=None, l2=0.0, wrong=(), targets=None):
    """Return the coded gradients, sample by sample."""
    batches = Batches(data.offsets, batch, Streams(SEED)).of(2)
    result = np.zeros((len(SUBSETS), len(x)))
    for i, row in enumerate(SUBSETS):
        y = targets if i in wrong else data.targets
        for k, weight in zip(row, np.broadcast_to(weights, SUBSETS.shape)[i], strict=True):
            if k < 0:
                continue
            one = np.array([[k]])
            samples, scales = batches.samples(one, np.ones((1, 1)), int(batches.sizes(one)[0]))
            used = samples[0][scales[0] > 0]
            gradients = [sample_gradient(kind, x, data.features[s], y[s]) for s in used]
            result[i] += weight * (np.mean(gradients, axis=0) + l2 * x)
    return result


def random_model(tested, dtype="float64"):
    return np.random.default_rng(2).normal(size=tested.dimension).astype(dtype)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("kind", [SOFTMAX, LINEAR], ids=lambda model: model.kind)
@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("batch", [None, 1, 3])
def test_coded_gradients_are_weighted_sums_over_the_samples(sizes, kind, weights, batch):
    data = dataset(sizes, kind)
    tested = objective(data, kind, batch_size=batch, l2=0.3)
    x = random_model(tested)
    found = coded(tested, x, SUBSETS, weights, iteration=2)
    expected = expected_gradients(kind, data, x, weights, batch=batch, l2=0.3)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_only_corrupted_devices_train_on_corrupted_targets(sizes):
    data = dataset(sizes, SOFTMAX)
    wrong = CLASSES - 1 - data.targets
    tested = objective(data, SOFTMAX, batch_size=3, corrupted=wrong)
    x, weights = random_model(tested), WEIGHTS["one a subset"]
    flipped = np.array([False, True, False, True, True, False])
    found = coded(tested, x, SUBSETS, weights, iteration=2, corrupted=flipped)
    expected = expected_gradients(
        SOFTMAX, data, x, weights, batch=3, wrong=np.flatnonzero(flipped), targets=wrong
    )
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
    honest = coded(tested, x, SUBSETS, weights, iteration=2)
    np.testing.assert_array_equal(found[~flipped], honest[~flipped])


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_long_rows_are_computed_in_pieces(sizes, monkeypatch):
    data = dataset(sizes, SOFTMAX)
    tested = objective(data, SOFTMAX)
    x, weights = random_model(tested), WEIGHTS["one a subset"]
    monkeypatch.setattr(module, "_MOST", 4 * FEATURES)
    found = coded(tested, x, SUBSETS, weights, iteration=None)
    expected = expected_gradients(SOFTMAX, data, x, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("batch", [None, 3])
def test_large_batches_of_linear_models_are_used_where_they_lie(sizes, batch, monkeypatch):
    data = dataset(sizes, LINEAR)
    wrong = data.targets[::-1].copy()
    tested = objective(data, LINEAR, batch_size=batch, l2=0.3, corrupted=wrong)
    x, weights = random_model(tested), WEIGHTS["one a subset"]
    flipped = np.array([False, True, False, True, True, False])
    monkeypatch.setattr(module, "_COPIED", 0)
    monkeypatch.setattr(tested, "_gathered", lambda samples: pytest.fail("a copy"))
    found = coded(tested, x, SUBSETS, weights, iteration=2, corrupted=flipped)
    expected = expected_gradients(
        LINEAR, data, x, weights, batch=batch, l2=0.3, wrong=np.flatnonzero(flipped), targets=wrong
    )
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
    # One device at a time.
    monkeypatch.setattr(module, "_LISTED", 1)
    single = coded(tested, x, SUBSETS, weights, iteration=2, corrupted=flipped)
    assert single.tobytes() == found.tobytes()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("kind", [SOFTMAX, LINEAR, Mlp(hidden=(7,))], ids=lambda model: model.kind)
@pytest.mark.parametrize("batch", [None, 3])
def test_the_bits_of_a_device_do_not_depend_on_its_companions(
    sizes, kind, batch, dtype, monkeypatch
):
    data = dataset(sizes, kind)
    wrong = data.targets[::-1].copy()
    tested = objective(data, kind, dtype=dtype, batch_size=batch, l2=0.3, corrupted=wrong)
    x, weights = random_model(tested, dtype), WEIGHTS["one a subset"]
    flipped = np.array([False, True, False, True, True, False])
    whole = coded(tested, x, SUBSETS, weights, iteration=2, corrupted=flipped)
    assert np.isfinite(whole).all()
    for first in range(6):
        for stop in range(first + 1, 7):
            rows = slice(first, stop)
            part = coded(
                tested, x, SUBSETS[rows], weights[rows], iteration=2, corrupted=flipped[rows]
            )
            assert part.tobytes() == whole[rows].tobytes()
    # Stacks of one row.
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    single = coded(tested, x, SUBSETS, weights, iteration=2, corrupted=flipped)
    assert single.tobytes() == whole.tobytes()


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_a_device_without_subsets_has_a_gradient_of_zero(sizes):
    tested = objective(dataset(sizes, SOFTMAX), SOFTMAX, l2=0.1)
    x, subsets = random_model(tested), SUBSETS.copy()
    subsets[1] = -1
    found = coded(tested, x, subsets, WEIGHTS["one a subset"], iteration=0)
    expected = coded(tested, x, SUBSETS, WEIGHTS["one a subset"], iteration=0)
    expected[1] = 0
    np.testing.assert_array_equal(found, expected)


def test_gradients_may_be_written_to_rows_that_lie_apart():
    tested = objective(dataset(SIZES["equal"], SOFTMAX), SOFTMAX, l2=0.1)
    x, weights = random_model(tested), WEIGHTS["one a device"]
    wide = np.zeros((6, 2 * tested.dimension))
    tested.coded_gradients(x, SUBSETS, weights, wide[:, tested.dimension :], iteration=0)
    np.testing.assert_array_equal(
        wide[:, tested.dimension :], coded(tested, x, SUBSETS, weights, iteration=0)
    )
    assert not wide[:, : tested.dimension].any()


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("kind", [SOFTMAX, LINEAR], ids=lambda model: model.kind)
def test_moments_hold_gradients_losses_and_metrics_of_each_subset(sizes, kind):
    data = dataset(sizes, kind)
    tested = objective(data, kind, batch_size=2, l2=0.3)
    x = random_model(tested)
    found = tested.moments(x, 0, 6, None)
    for k, (start, stop) in enumerate(pairwise(data.offsets)):
        z, y = data.features[start:stop], data.targets[start:stop]
        gradients = [sample_gradient(kind, x, *sample) for sample in zip(z, y, strict=True)]
        expected = np.mean(gradients, axis=0) + 0.3 * x
        np.testing.assert_allclose(found.means[k], expected, rtol=1e-11, atol=1e-13)
        if kind is LINEAR:
            assert found.sums[k] == pytest.approx([((z @ x - y) ** 2 / 2).mean()])
            continue
        scores = z @ x.reshape(CLASSES, FEATURES).T
        losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(y)), y]
        correct = (scores.argmax(axis=1) == y).sum()
        assert found.sums[k] == pytest.approx([losses.mean(), correct])
    for first in range(6):
        part = tested.moments(x, first, first + 1, None)
        assert part.table().tobytes() == found.table()[first : first + 1].tobytes()


def test_moments_of_batches_hold_gradients_alone():
    data = dataset(SIZES["ragged"], SOFTMAX)
    tested = objective(data, SOFTMAX, batch_size=2, l2=0.3)
    x = random_model(tested)
    found = tested.moments(x, 1, 5, 2)
    subsets = np.arange(1, 5)[:, None]
    np.testing.assert_array_equal(
        found.means, coded(tested, x, subsets, np.ones((1, 1)), iteration=2)
    )
    assert found.sums.shape == (4, 0)


def test_sums_over_blocks_of_the_test_set(monkeypatch):
    monkeypatch.setattr(module, "_TEST_BLOCK", 8)
    data = dataset(SIZES["equal"], SOFTMAX, num_tests=21)
    tested = objective(data, SOFTMAX)
    assert tested.num_test_blocks == 3
    x = random_model(tested)
    found = np.sum([tested.test_sums(x, block) for block in range(3)], axis=0)
    scores = data.test_features @ x.reshape(CLASSES, FEATURES).T
    y = data.test_targets
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(21), y]
    assert found == pytest.approx([losses.sum(), (scores.argmax(axis=1) == y).sum()])


def test_the_optimum_includes_the_penalty_and_weighs_subsets_alike():
    data = dataset(SIZES["ragged"], LINEAR)
    model = LinearRegression(l2=0.3)
    tested = objective(data, model, l2=0.3)
    moments = tested.moments(tested.optimum(), 0, 6, None)
    np.testing.assert_allclose(moments.means.mean(axis=0), 0, atol=1e-13)
