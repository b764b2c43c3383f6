import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lad_mpi.metrics import dispersion, distance, norm

MATRICES = hnp.arrays(
    st.sampled_from([np.float64, np.float32]),
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=8),
    elements=st.floats(-1e6, 1e6, width=32),
)


@settings(max_examples=60, deadline=None)
@given(MATRICES)
def test_dispersion_against_exact_sums(rows):
    before = rows.copy()
    columns = rows.astype(np.float64).T.tolist()
    means = [math.fsum(column) / len(column) for column in columns]
    spread = math.fsum((v - m) ** 2 for c, m in zip(columns, means, strict=True) for v in c)
    scale = float(np.abs(rows).max())
    expected = pytest.approx(spread / len(rows), rel=1e-12, abs=1e-28 * scale**2)
    assert dispersion(rows) == expected
    assert type(dispersion(rows)) is float
    np.testing.assert_array_equal(rows, before)


@settings(max_examples=40, deadline=None)
@given(MATRICES)
def test_mean_square_is_spread_plus_square_of_mean(rows):
    mean = rows.mean(axis=0, dtype=np.float64)
    mean_square = np.mean([norm(row) ** 2 for row in rows])
    assert mean_square == pytest.approx(dispersion(rows) + norm(mean) ** 2, rel=1e-10)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_large_mean_cancels_nothing(dtype):
    offset = dtype(2**20)
    small = np.random.default_rng(0).integers(-8, 8, (50, 30)).astype(dtype)
    assert dispersion(small + offset) == pytest.approx(dispersion(small), rel=1e-12)


def test_float32_is_accumulated_in_float64():
    rows = np.random.default_rng(0).normal(size=(1000, 40)).astype(np.float32)
    assert dispersion(rows) == pytest.approx(dispersion(rows.astype(np.float64)), rel=1e-13)
    ones = np.full(10**6, np.float32(0.1))
    assert norm(ones) == pytest.approx(1e3 * float(np.float32(0.1)), rel=1e-12)


def test_column_blocks_do_not_show(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(11, 5003))
    whole = dispersion(rows)
    monkeypatch.setattr("lad_mpi.columns._HOST_BLOCK_BYTES", 16 * 11 * 8)
    assert dispersion(rows) == pytest.approx(whole, rel=1e-13)


def test_one_row_has_no_spread():
    assert dispersion(np.array([[1.0, 2.0]])) == 0


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
