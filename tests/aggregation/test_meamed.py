"""Meamed against a slow, obvious reading of its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.aggregation import Meamed, Rule
from lad_mpi.errors import ParameterError


def slow_meamed(column: np.ndarray, f: int) -> float:
    median = float(np.median(column))
    kept = sorted(column.tolist(), key=lambda value: (abs(value - median), value))
    return sum(kept[: len(column) - f]) / (len(column) - f)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 13), seed=st.integers(0, 2**32), ties=st.booleans(), data=st.data())
def test_definition(n: int, seed: int, ties: bool, data: st.DataObject) -> None:
    f = data.draw(st.integers(0, (n - 1) // 2))
    messages = np.random.default_rng(seed).normal(size=(n, 5))
    if ties:
        messages = np.round(2.0 * messages)
    expected = [slow_meamed(column, f) for column in messages.T]
    np.testing.assert_allclose(Meamed(f)(messages), expected, atol=1e-13)


def test_is_a_rule() -> None:
    assert isinstance(Meamed(num_byzantine=2), Rule)


def test_of_equally_near_values_the_lower_stays() -> None:
    assert Meamed(num_byzantine=1)(np.array([[3.0], [1.0], [2.0]])) == 1.5


@pytest.mark.parametrize("columns", [10, 100_000])
def test_of_equal_distances_from_a_median_that_is_rounded_the_lower_wins(columns: int) -> None:
    """By NumPy and by the compiled kernel."""
    value = np.random.default_rng(2).random(columns)
    messages = np.outer([1.0, 1.0, 2.0, 2.0], value)
    np.testing.assert_allclose(Meamed(num_byzantine=1)(messages), 4 / 3 * value, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_absurd_rows_disturb_nothing(dtype: Any) -> None:
    messages = np.random.default_rng(0).normal(size=(9, 50)).astype(dtype)
    messages[[1, 4]] = np.finfo(dtype).max
    messages[7] = -np.finfo(dtype).max
    result = Meamed(num_byzantine=3)(messages)
    assert result.dtype == dtype
    assert (result >= np.delete(messages, [1, 4, 7], axis=0).min(axis=0)).all()
    assert (result <= np.delete(messages, [1, 4, 7], axis=0).max(axis=0)).all()


def test_no_sum_overflows() -> None:
    messages = np.full((7, 3), np.finfo(np.float64).max)
    messages[::2] *= -1.0
    assert np.isfinite(Meamed(num_byzantine=2)(messages)).all()


def test_without_faults_it_is_the_mean() -> None:
    messages = np.random.default_rng(1).normal(size=(8, 6))
    np.testing.assert_allclose(Meamed()(messages), messages.mean(axis=0), atol=1e-15)


def test_refuses_a_majority_and_a_negative_number() -> None:
    with pytest.raises(ParameterError, match="not a minority"):
        Meamed(num_byzantine=2)(np.ones((4, 1)))
    with pytest.raises(ParameterError, match="at least 0"):
        Meamed(num_byzantine=-1)
