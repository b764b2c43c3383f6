"""The kernels of the coordinate-wise rules compute what the host computes."""

import numpy as np
import pytest

from lad_mpi.aggregation import Meamed, Mean, Median, TrimmedMean, kernels_cuda
from lad_mpi.aggregation.kernels_cuda_source import Case, max_rows
from lad_mpi.arrays import to_host

DTYPES = ["float32", "float64"]
# One lane and two, odd and even, the largest, and those left to a sort.
SIZES = [1, 2, 9, 32, 33, 64, 65, 100, 101, 175, 176, 177, 287, 288, 289, 700]


def rules(n):
    f = (n - 1) // 4
    return [Mean(), Median(), TrimmedMean(f), Meamed(f)]


def assert_agrees(rule, host, device, expected=None):
    found = rule(device)
    assert found.dtype == host.dtype
    expected = rule(host) if expected is None else expected
    tolerance = 8 * float(np.finfo(host.dtype).eps)
    np.testing.assert_allclose(to_host(found), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_any_number_of_rows(gpu, n, dtype):
    host = np.random.default_rng(n).normal(size=(n, 3001)).astype(dtype)
    # Ties, and absurd rows that are finite.
    host[:, 2000:] = np.round(host[:, 2000:])
    host[: (n - 1) // 8] = np.finfo(dtype).max / 1024
    device = gpu.xp.asarray(host)
    assert kernels_cuda.fits(device) == (n <= max_rows(host.dtype))
    for rule in rules(n):
        # The mean of the absurd is absurd: only relative accuracy is left.
        assert_agrees(rule, host, device)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [21, 100])
def test_large_arrays_and_any_strides(gpu, n, dtype):
    host = np.random.default_rng(n).standard_normal((n, 300_001)).astype(dtype)
    wide = gpu.xp.zeros((2 * n, 2 * 300_001), dtype=dtype)
    wide[::-2, 1::2] = gpu.xp.asarray(host)
    for rule in rules(n):
        expected = rule(host)
        for device in (
            gpu.xp.asarray(host),
            gpu.xp.asfortranarray(gpu.xp.asarray(host)),
            wide[::-2, 1::2],
        ):
            assert_agrees(rule, host, device, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [21, 100, 300])
@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_count_as_zeros(gpu, n, dtype, fault):
    faulty = np.random.default_rng(n).normal(size=(n, 1001)).astype(dtype)
    cleaned = faulty.copy()
    faulty[3, -1] = faulty[7, 40] = fault
    cleaned[[3, 7]] = 0.0
    device = gpu.xp.asarray(faulty)
    for rule in rules(n):
        assert_agrees(rule, cleaned, device)
    assert np.isnan(to_host(device)).sum() == (2 if np.isnan(fault) else 0)


@pytest.mark.parametrize("n", [21, 100])
def test_sums_that_overflow_are_made_with_care(gpu, n):
    host = np.full((n, 1001), np.finfo(np.float64).max)
    for rule in rules(n):
        assert_agrees(rule, host, gpu.xp.asarray(host))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_largest_columns_stay_in_registers(gpu, dtype):
    n = max_rows(np.dtype(dtype))
    kernel = kernels_cuda.compiled(
        gpu.xp, Case(n, n // 5, n - n // 5, n // 5, np.dtype(dtype).char)
    )
    assert kernel.local_size_bytes == 0
