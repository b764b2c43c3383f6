"""Compiled products with samples where they lie, against NumPy in extended precision."""

import numpy as np
import pytest

from lad_mpi.models.kernels import combine, products

RNG = np.random.default_rng(0)
#: One column, less than a block, a whole number of blocks, and a rest.
WIDTHS = (1, 100, 4096, 5001)
#: Sizes with every rest of four.
BATCHES = (0, 1, 2, 3, 4, 7, 10)


def draw(width, size, dtype):
    features = RNG.normal(size=(9, width)).astype(dtype)
    samples = RNG.integers(0, 9, (5, size))
    return features, samples, RNG.normal(size=(5, size)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("size", BATCHES)
def test_products_and_sums_are_those_of_the_chosen_samples(width, size, dtype):
    features, samples, factors = draw(width, size, dtype)
    model = RNG.normal(size=width).astype(dtype)
    chosen = features[samples].astype(np.longdouble)
    eps = np.finfo(dtype).eps

    found = products(features, samples, model)
    assert found.dtype == dtype
    room = 4 * eps * np.sqrt(width) * (np.abs(chosen) @ np.abs(model.astype(np.longdouble)))
    assert (np.abs(found - chosen @ model.astype(np.longdouble)) <= room).all()

    # Rows lie apart, as in slots.
    memory = np.full((5, width + 8), np.nan, dtype=dtype)
    combine(features, samples, factors, memory[:, :width])
    wide = factors.astype(np.longdouble)[..., None]
    error = np.abs(memory[:, :width] - (wide * chosen).sum(axis=1))
    assert (error <= 4 * eps * max(1, size) * np.abs(wide * chosen).sum(axis=1)).all()
    assert np.isnan(memory[:, width:]).all()


def test_a_row_has_the_same_bits_alone():
    features, samples, factors = draw(5001, 10, "float64")
    model, whole = RNG.normal(size=5001), np.empty((5, 5001))
    sums = products(features, samples, model)
    combine(features, samples, factors, whole)
    for row in range(5):
        one, alone = slice(row, row + 1), np.empty((1, 5001))
        assert products(features, samples[one], model).tobytes() == sums[one].tobytes()
        combine(features, samples[one], factors[one], alone)
        assert alone.tobytes() == whole[one].tobytes()


def test_values_that_are_not_finite_stay_so():
    features = np.ones((2, 3000))
    features[0, 7], features[1, 2999] = np.nan, np.inf
    samples = np.array([[0], [1]])
    assert np.isnan(products(features, samples, np.ones(3000))[0, 0])
    assert products(features, samples, np.ones(3000))[1, 0] == np.inf
    out = np.empty((2, 3000))
    combine(features, samples, np.ones((2, 1)), out)
    np.testing.assert_array_equal(out, features)
