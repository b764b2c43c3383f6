import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lad_mpi.metrics import dispersion, distance, norm, subset_statistics

MATRICES = hnp.arrays(
    st.sampled_from([np.float64, np.float32]),
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=8),
    elements=st.floats(-1e6, 1e6, width=32),
)


def exact_statistics(rows):
    """Mean and spread by correctly rounded sums."""
    columns = rows.astype(np.float64).T.tolist()
    mean = [math.fsum(column) / len(column) for column in columns]
    spread = math.fsum((v - m) ** 2 for c, m in zip(columns, mean, strict=True) for v in c)
    return mean, spread / len(rows)


@settings(max_examples=60, deadline=None)
@given(MATRICES)
def test_against_exact_sums(rows):
    before = rows.copy()
    mean, spread = exact_statistics(rows)
    gradient, beta_squared = subset_statistics(rows)
    scale = float(np.abs(rows).max())
    np.testing.assert_allclose(gradient, mean, rtol=1e-13, atol=1e-14 * scale)
    assert beta_squared == pytest.approx(spread, rel=1e-12, abs=1e-28 * scale**2)
    assert dispersion(rows) == beta_squared
    assert gradient.dtype == np.float64
    assert type(beta_squared) is type(dispersion(rows)) is float
    np.testing.assert_array_equal(rows, before)


@settings(max_examples=40, deadline=None)
@given(MATRICES)
def test_mean_square_is_spread_plus_square_of_mean(rows):
    gradient, beta_squared = subset_statistics(rows)
    mean_square = np.mean([norm(row) ** 2 for row in rows])
    assert mean_square == pytest.approx(beta_squared + norm(gradient) ** 2, rel=1e-10)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_large_mean_cancels_nothing(dtype):
    offset = dtype(2**20)
    small = np.random.default_rng(0).integers(-8, 8, (50, 30)).astype(dtype)
    assert dispersion(small + offset) == pytest.approx(dispersion(small), rel=1e-12)


def test_float32_is_accumulated_in_float64():
    rows = np.random.default_rng(0).normal(size=(1000, 40)).astype(np.float32)
    wide = subset_statistics(rows.astype(np.float64))
    narrow = subset_statistics(rows)
    np.testing.assert_allclose(narrow[0], wide[0], rtol=1e-12, atol=1e-15)
    assert narrow[1] == pytest.approx(wide[1], rel=1e-13)
    ones = np.full(10**6, np.float32(0.1))
    assert norm(ones) == pytest.approx(1e3 * float(np.float32(0.1)), rel=1e-12)


def test_column_blocks_do_not_show(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(11, 103))
    whole = subset_statistics(rows)
    monkeypatch.setattr("lad_mpi.metrics.spread._BLOCK", 50)
    blocked = subset_statistics(rows)
    np.testing.assert_allclose(blocked[0], whole[0], rtol=1e-13, atol=1e-15)
    assert blocked[1] == pytest.approx(whole[1], rel=1e-13)


def test_one_row_has_no_spread():
    gradient, beta_squared = subset_statistics(np.array([[1.0, 2.0]]))
    np.testing.assert_array_equal(gradient, [1, 2])
    assert beta_squared == 0


def test_distance_and_norm():
    assert norm(np.array([3.0, -4.0])) == 5
    assert distance(np.array([1.0, 1.0]), np.array([4.0, -3.0])) == 5
    # In float32 the difference of these would be rounded to zero.
    assert distance(np.ones(1, np.float32), np.array([1 + 2.0**-40])) == 2.0**-40
    assert type(norm(np.ones(2, np.float32))) is float


def test_a_diverged_run_gives_infinity_and_no_warning():
    huge = np.full((2, 2), 1e308) * [[1], [-1]]
    assert norm(huge[0]) == distance(huge[0], huge[1]) == dispersion(huge) == math.inf
    assert math.isnan(dispersion(huge * np.inf))
    assert math.isnan(distance(huge[0] * np.inf, huge[0] * np.inf))
