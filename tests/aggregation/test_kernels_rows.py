"""Compiled sums over rows, against NumPy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lad_mpi.aggregation import PRE_AGGREGATIONS, RULES, kernels_rows
from lad_mpi.aggregation.rows import measure_lengths, sums_compiled

DTYPES = [np.float64, np.float32]
COMPONENTS: dict[str, Any] = {**RULES, **PRE_AGGREGATIONS}


def rows(n: int, columns: int, dtype: Any = np.float64, mean: float = 0.0) -> np.ndarray:
    generator = np.random.default_rng(n)
    return (mean + generator.normal(size=(n, columns))).astype(dtype)


def apart(messages: np.ndarray) -> np.ndarray:
    """The same rows, further apart in memory and aligned, as in a slot of a message."""
    n, columns = messages.shape
    room = np.full((n, -(-columns // 16) * 16 + 16), np.nan, dtype=messages.dtype)
    room[:, 16 : 16 + columns] = messages
    return room[:, 16 : 16 + columns]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 3, 4, 5, 9])
def test_the_mean_has_the_bits_of_numpy(n: int, dtype: Any) -> None:
    x = rows(n, 20_001, dtype)
    expected = (np.add.reduce(x, axis=0, dtype=np.float64) / n).astype(dtype)
    for messages in (x, apart(x), np.asfortranarray(x)):
        assert np.array_equal(kernels_rows.mean(messages), expected)
    assert np.array_equal(kernels_rows.mean(x[:, 8100:8300]), expected[8100:8300])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 5, 14])
def test_a_mixture_is_that_of_float64(n: int, dtype: Any) -> None:
    x = rows(n, 9_000, dtype, mean=1000.0)
    weights = np.random.default_rng(1).uniform(size=n)
    weights[n // 2 :: 3] = 0.0
    wide, origin = x.astype(np.float64), x[0]
    expected = wide[0] + weights @ (wide - wide[0])
    for messages in (x, apart(x)):
        found = kernels_rows.mix(messages, origin, weights)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=2 * np.finfo(dtype).eps)
    without = kernels_rows.mix(x, None, weights)
    np.testing.assert_allclose(without, weights @ wide, rtol=1e-15 * n + np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_squared_distances_are_those_of_float64(
    dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = rows(5, 700_000, dtype, mean=1000.0)
    wide = x.astype(np.float64)
    found = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        found += [kernels_rows.squared_distances(messages, x[3]) for messages in (x, apart(x))]
    np.testing.assert_allclose(found[0], ((wide - wide[3]) ** 2).sum(axis=1), rtol=1e-12)
    assert all(np.array_equal(other, found[0]) for other in found)
    lengths = kernels_rows.squared_distances(x, None)
    np.testing.assert_allclose(lengths, (wide**2).sum(axis=1), rtol=1e-12)


def test_a_few_numbers_are_measured_alike() -> None:
    """NumPy measures fewer numbers, and finds the same."""
    x = rows(20, 6_000, mean=3.0)
    assert sums_compiled(x)
    parts = [measure_lengths(x[:, k : k + 2_000], x[4, k : k + 2_000])[1] for k in (0, 2000, 4000)]
    assert not sums_compiled(x[:, :2_000])
    np.testing.assert_allclose(measure_lengths(x, x[4])[1], np.linalg.norm(parts, axis=0))


@pytest.mark.parametrize("columns", [50, 3_000, 20_000])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", sorted(COMPONENTS))
def test_rows_may_lie_apart(kind: str, dtype: Any, columns: int) -> None:
    x = rows(14, columns, dtype, mean=2.0)
    component = COMPONENTS[kind](num_byzantine=3)
    found, expected = component(apart(x)), component(x)
    # Linear algebra may add up in another order.
    np.testing.assert_allclose(found, expected, rtol=20 * np.finfo(dtype).eps, atol=1e-6)
