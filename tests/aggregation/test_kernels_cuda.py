"""The CUDA kernels without a GPU: carried out by the host, and compiled for several cards.

What only a GPU can show is in ``tests/gpu``.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cuda_on_host import COMPILER, HostKernel, Nvrtc, assert_registers, options_for

from lad_mpi.aggregation import Meamed, TrimmedMean, kernels_cuda
from lad_mpi.aggregation.kernels_cuda_source import KERNEL, Case, max_rows, networks, source
from lad_mpi.aggregation.kernels_network import bitonic_merge, merge_exchange
from lad_mpi.arrays import to_host

if TYPE_CHECKING:
    from lad_mpi.arrays import Backend

# Four to a block and an odd number of columns: the last threads have none of their own.
THREADS = 4


def trimmed(n: int, f: int, dtype: str) -> Case:
    return Case(n, f, n - f, 0, dtype)


def around_median(n: int, f: int, dtype: str) -> Case:
    return Case(n, f, n - f, f, dtype)


def median(n: int, dtype: str) -> Case:
    return Case(n, (n - 1) // 2, n // 2 + 1, 0, dtype)


def largest(dtype: str) -> int:
    return max_rows(np.dtype(dtype))


class TestBitonicMerge:
    @pytest.mark.parametrize("num_wires", range(1, 20))
    def test_sorts_what_ascends_and_then_descends(self, num_wires: int) -> None:
        """By the 0–1 principle zeros and ones are enough."""
        for first, last in itertools.combinations_with_replacement(range(num_wires + 1), 2):
            values = [int(first <= wire < last) for wire in range(num_wires)]
            expected = sorted(values)
            for i, j in bitonic_merge(num_wires):
                values[i], values[j] = min(values[i], values[j]), max(values[i], values[j])
            assert values == expected


@cache
def build(case: Case) -> HostKernel:
    """Compile a case for the host, once."""
    # They are long, and the compiler slow with them.
    return HostKernel(source(case), KERNEL, kernels_cuda.OPTIONS, level=0)


def carry_out(case: Case, messages: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return the means of all columns, and whether the kernel refused any."""
    if COMPILER is None:
        pytest.skip("there is no C++ compiler")
    row_stride, column_stride = (stride // messages.itemsize for stride in messages.strides)
    num_columns = messages.shape[1]
    result = np.full(num_columns, np.nan, dtype=messages.dtype)
    refused = np.zeros(1, dtype=np.int32)
    build(case)(
        (-(-num_columns * case.lanes // THREADS),),
        (THREADS,),
        (
            messages,
            np.int32(row_stride),
            np.int64(column_stride),
            np.int64(num_columns),
            result,
            refused,
        ),
    )
    return result, bool(refused[0])


def make_messages(n: int, dtype: str) -> np.ndarray:
    """Return columns with and without ties, a constant one, and absurd values that are finite."""
    messages = np.random.default_rng(n).normal(size=(n, 35)).astype(dtype)
    messages[:, 15:] = np.round(messages[:, 15:])
    messages[:, 30] = 3.0
    messages[: (n - 1) // 4, 31:33] = np.finfo(dtype).max / 64
    messages[: (n - 1) // 4, 33:] = -np.finfo(dtype).max / 64
    return messages


def expected_means(case: Case, messages: np.ndarray) -> np.ndarray:
    if case.num_joined:
        return Meamed(case.num_joined)(messages)
    ordered = np.sort(messages.astype(np.longdouble), axis=0)
    return ordered[case.first : case.last].mean(axis=0).astype(messages.dtype)


# Both sides of the limits between one lane, two, and none; odd and even numbers.
SIZES = {"f": (1, 2, 3, 8, 64, 65, 66, 100, 287, 288), "d": (1, 5, 32, 33, 34, 176)}
CASES = [
    make(n, f, dtype)
    for dtype, sizes in SIZES.items()
    for n in sizes
    for f in sorted({0, n // 5, (n - 1) // 2})
    for make in ((trimmed, around_median) if f else (trimmed,))
    if n < 150 or f == n // 5
]
CASES += [median(n, dtype) for dtype in "fd" for n in (2, 34, 101)]
# Nothing in the family needs bands that are not symmetric; the kernel does not mind.
CASES += [Case(100, 3, 40, 0, "f"), Case(101, 60, 101, 0, "d"), Case(65, 0, 64, 0, "f")]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_kernel_carried_out_by_the_host_agrees_with_sorting(case: Case) -> None:
    messages = make_messages(case.num_rows, case.dtype)
    means, refused = carry_out(case, messages)
    assert not refused
    tolerance = 4 * float(np.finfo(case.dtype).eps)
    expected = expected_means(case, messages)
    np.testing.assert_allclose(means, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("n", "dtype"), [(8, "f"), (66, "f"), (32, "d"), (34, "d")])
def test_of_equal_distances_from_a_median_that_is_rounded_the_lower_wins(
    n: int, dtype: str
) -> None:
    half, f = n // 2, n // 5
    value = np.random.default_rng(n).random(35).astype(dtype)
    messages = np.concatenate([np.tile(value, (half, 1)), np.tile(2 * value, (half, 1))])
    means, _ = carry_out(around_median(n, f, dtype), messages)
    expected = (half + 2 * (half - f)) / (n - f) * value
    np.testing.assert_allclose(means, expected, rtol=4 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("n", [9, 101])
@pytest.mark.parametrize("dtype", ["f", "d"])
class TestEdges:
    def test_any_strides(self, n: int, dtype: str) -> None:
        case = trimmed(n, n // 5, dtype)
        messages = make_messages(n, dtype)
        expected, _ = carry_out(case, messages)
        wide = np.zeros((2 * n, 3 * 35), dtype=dtype)
        wide[::-2, 1::3] = messages
        for same in (np.asfortranarray(messages), wide[::-2, 1::3]):
            assert np.array_equal(carry_out(case, same)[0], expected)

    @pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
    def test_what_is_not_finite_is_refused(self, n: int, dtype: str, fault: float) -> None:
        # The first and last row and column, and one that is trimmed away.
        for row, column in ((0, 0), (n - 1, 34), (n - 2, 34), (n // 2, 17)):
            messages = make_messages(n, dtype)
            messages[row, column] = fault
            assert carry_out(trimmed(n, n // 5, dtype), messages)[1]

    def test_a_sum_that_overflows_is_refused(self, n: int, dtype: str) -> None:
        """Only float64 can: all is summed in it."""
        messages = np.full((n, 3), np.finfo(dtype).max, dtype=dtype)
        means, refused = carry_out(around_median(n, n // 5, dtype), messages)
        assert refused == (dtype == "d")
        assert refused or np.array_equal(means, messages[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [9, 101])
class TestLaunch:
    """What is launched through CuPy, with a stand-in for it that works on the host."""

    def test_agrees_with_the_rules(self, standin_gpu: Backend, n: int, dtype: Any) -> None:
        messages = np.random.default_rng(n).normal(size=(n, 70)).astype(dtype)
        device = standin_gpu.xp.asarray(messages)
        f, tolerance = n // 5, 4 * float(np.finfo(dtype).eps)
        means = to_host(kernels_cuda.band_mean(device, f, n - f))
        np.testing.assert_allclose(means, TrimmedMean(f)(messages), rtol=1e-6, atol=tolerance)
        means = to_host(kernels_cuda.mean_around_median(device.T.copy().T, f))
        np.testing.assert_allclose(means, Meamed(f)(messages), rtol=1e-6, atol=tolerance)

    def test_rows_that_are_not_finite_count_as_zeros(
        self, standin_gpu: Backend, n: int, dtype: Any
    ) -> None:
        messages = np.random.default_rng(n).normal(size=(n, 5)).astype(dtype)
        messages[1, 4], messages[3, 0] = np.nan, -np.inf
        cleaned = messages.copy()
        cleaned[[1, 3]] = 0.0
        found, expected = (
            to_host(kernels_cuda.band_mean(standin_gpu.xp.asarray(given), 2, n - 2))
            for given in (messages, cleaned)
        )
        assert np.array_equal(found, expected)

    def test_sums_that_overflow_are_left_to_the_caller(
        self, standin_gpu: Backend, n: int, dtype: Any
    ) -> None:
        messages = standin_gpu.xp.full((n, 3), np.finfo(dtype).max, dtype=dtype)
        means = kernels_cuda.band_mean(messages, 0, n)
        assert (means is None) == (dtype is np.float64)


def test_a_trimmed_mean_exchanges_less_than_a_sort_does() -> None:
    sort, separate = networks(trimmed(60, 12, "f"))
    assert not separate
    assert 0 < len(sort) < len(list(merge_exchange(60)))
    # Two lanes, each of which compares its half with the other's.
    sort, separate = networks(trimmed(100, 20, "f"))
    assert 2 * (len(sort) + len(separate)) + 50 < len(list(merge_exchange(100)))
    assert networks(trimmed(100, 0, "f")) == ([], [])


def test_host_arrays_do_not_fit() -> None:
    assert not kernels_cuda.fits(np.zeros((10, 10)))


COMPILED = [
    trimmed(5, 1, "f"),
    around_median(64, 12, "f"),
    trimmed(100, 20, "f"),
    around_median(100, 20, "f"),
    median(100, "f"),
    trimmed(100, 0, "f"),
    around_median(32, 6, "d"),
    trimmed(100, 20, "d"),
    around_median(101, 20, "d"),
]
LARGEST = [around_median(largest(dtype), largest(dtype) // 5, dtype) for dtype in "fd"]


@pytest.mark.parametrize("card", ["sm_70", "sm_80", "sm_90"])
@pytest.mark.parametrize("case", COMPILED, ids=str)
def test_columns_stay_in_registers(case: Case, card: str, nvrtc: Nvrtc) -> None:
    assert_registers(nvrtc(source(case), *options_for(card, kernels_cuda.OPTIONS)))


@pytest.mark.parametrize("case", LARGEST, ids=str)
def test_the_largest_columns_stay_in_registers(case: Case, nvrtc: Nvrtc) -> None:
    assert_registers(nvrtc(source(case), *options_for("sm_90", kernels_cuda.OPTIONS)))
