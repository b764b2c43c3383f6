"""Compiled kernels and their networks, against sorting."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.aggregation import Meamed, Mean, Median, TrimmedMean, kernels
from lad_mpi.aggregation.coordinates import column_mean, runs_compiled
from lad_mpi.aggregation.kernels_network import BLOCK_ROWS, band_network, merge_exchange

if TYPE_CHECKING:
    from lad_mpi.aggregation import Rule

DTYPES = [np.float64, np.float32]
# n around multiples of a block, and f from none to all but one or two.
SIZES = [
    (n, f)
    for n in (1, 2, 3, 4, 5, 8, 9, 16, 17, 31, 100)
    for f in (0, 1, n // 4, (n - 1) // 2)
    if 2 * f < n
]


def run_network(num_rows: int, cuts: tuple[int, ...], columns: np.ndarray) -> np.ndarray:
    """Carry out the network of blocks on columns by sorting them."""
    network = band_network(num_rows, cuts)
    if network.num_blocks == 0:
        return columns
    rows = np.full((network.num_blocks * BLOCK_ROWS, columns.shape[1]), np.inf)
    rows[:num_rows] = columns
    blocks = [np.sort(block, axis=0) for block in rows.reshape(network.num_blocks, BLOCK_ROWS, -1)]
    steps = [
        *((pair, False) for pair in network.merges),
        *((pair, True) for pair in network.splits),
    ]
    for (low, high), shuffled in steps:
        both = np.sort(np.concatenate([blocks[low], blocks[high]]), axis=0)
        # A split leaves no order inside: the worst that it may do is to reverse it.
        step = -1 if shuffled else 1
        blocks[low], blocks[high] = both[:BLOCK_ROWS][::step], both[BLOCK_ROWS:][::step]
    return np.concatenate(blocks)[:num_rows]


class TestNetwork:
    @pytest.mark.parametrize("num_wires", range(1, 10))
    def test_merge_exchange_sorts_zeros_and_ones(self, num_wires: int) -> None:
        """By the 0–1 principle it then sorts everything."""
        for bits in itertools.product((0, 1), repeat=num_wires):
            values = list(bits)
            for i, j in merge_exchange(num_wires):
                values[i], values[j] = min(values[i], values[j]), max(values[i], values[j])
            assert values == sorted(bits)

    @settings(max_examples=60, deadline=None)
    @given(num_rows=st.integers(1, 45), data=st.data())
    def test_bands_hold_their_ranks(self, num_rows: int, data: st.DataObject) -> None:
        cuts = tuple(sorted(data.draw(st.sets(st.integers(0, num_rows), max_size=6))))
        seed = data.draw(st.integers(0, 2**32))
        generator = np.random.default_rng(seed)
        columns = generator.permuted(np.tile(np.arange(num_rows), (20, 1)), axis=1).T
        columns[:, 10:] = columns[:, 10:] < generator.integers(0, num_rows + 1, size=10)
        found = run_network(num_rows, cuts, columns)
        ordered = np.sort(columns, axis=0)
        for first, last in itertools.pairwise((0, *cuts, num_rows)):
            assert np.array_equal(np.sort(found[first:last], axis=0), ordered[first:last])

    def test_what_no_band_needs_is_left_out(self) -> None:
        everything = len(list(merge_exchange(25)))
        assert len(band_network(100, ()).merges) == 0
        network = band_network(100, (20, 80))
        assert len(network.merges) + len(network.splits) < everything
        assert len(network.splits) > 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "f"), SIZES)
def test_kernels_agree_with_sorting(n: int, f: int, dtype: Any) -> None:
    generator = np.random.default_rng(n * 101 + f)
    # Not a multiple of a cache line, and with ties.
    messages = generator.normal(size=(n, 37)).astype(dtype)
    messages[:, 20:] = np.round(messages[:, 20:])
    ordered = np.sort(messages.astype(np.float64), axis=0)
    tolerance: dict[str, Any] = {"rtol": 4 * np.finfo(dtype).eps, "atol": 4 * np.finfo(dtype).eps}
    expected = ordered[f : n - f].mean(axis=0)
    found = kernels.band_mean(messages, f, n - f)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, **tolerance)
    expected = np.median(ordered, axis=0)
    found = kernels.band_mean(messages, (n - 1) // 2, n // 2 + 1)
    np.testing.assert_allclose(found, expected, **tolerance)
    # The same ties, so the same choices.
    found = kernels.mean_around_median(messages, f)
    np.testing.assert_allclose(found, Meamed(f)(messages), **tolerance)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("n", [*range(3, 25), 100])
def test_the_mean_of_the_largest_numbers_is_finite_however_it_rounds(n, sign):
    messages = np.full((n, 40), sign * np.finfo(np.float64).max)
    for f in (0, (n - 1) // 2):
        for found in (
            kernels.band_mean(messages, f, n - f),
            kernels.mean_around_median(messages, f),
        ):
            np.testing.assert_allclose(found, messages[0], rtol=1e-14)


LARGE: list[Rule] = [Mean(), Median(), TrimmedMean(3), Meamed(3)]


@pytest.fixture(scope="module")
def large() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(15, 70_001))


@pytest.mark.parametrize("rule", LARGE, ids=lambda rule: rule.kind)
class TestLargeArrays:
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_agree_with_small_ones(self, rule: Rule, dtype: Any, large: np.ndarray) -> None:
        messages = large.astype(dtype)
        before = messages.copy()
        assert runs_compiled(messages)
        assert not runs_compiled(messages[:, :1000])
        pieces = [rule(messages[:, first : first + 5_000]) for first in range(0, 70_001, 5_000)]
        np.testing.assert_allclose(rule(messages), np.concatenate(pieces), rtol=1e-6, atol=1e-7)
        if dtype is np.float64:
            np.testing.assert_allclose(rule(messages), np.concatenate(pieces), atol=1e-14)
        assert np.array_equal(messages, before)

    def test_threads_do_not_change_a_bit(
        self, rule: Rule, large: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        results = []
        for threads in ("1", "2", "3", "7,2"):
            monkeypatch.setenv("OMP_NUM_THREADS", threads)
            results.append(rule(large))
        assert all(np.array_equal(result, results[0]) for result in results)

    def test_any_memory_layout(self, rule: Rule, large: np.ndarray) -> None:
        expected = rule(large)
        assert np.array_equal(rule(np.asfortranarray(large)), expected)
        wide = np.zeros((30, 140_003))
        wide[::2, 1:-1:2] = large
        assert np.array_equal(rule(wide[::2, 1:-1:2]), expected)
        frozen = large.copy()
        frozen.flags.writeable = False
        assert np.array_equal(rule(frozen), expected)

    def test_absurd_rows_do_not_overflow(self, rule: Rule, large: np.ndarray) -> None:
        messages = large.copy()
        messages[[0, 5, 9]] = np.array([[1e300], [-1.7e308], [1.7e308]])
        if rule.num_byzantine == 3:
            assert np.abs(rule(messages)).max() < 10
        messages[:] = np.where(np.arange(15)[:, None] % 2, 1.7e308, 1.6e308)
        assert np.isfinite(rule(messages)).all()
        messages[:] = np.finfo(np.float64).max
        assert np.isfinite(rule(messages)).all()

    @pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
    def test_rows_that_are_not_finite_count_as_zeros(
        self, rule: Rule, fault: float, large: np.ndarray
    ) -> None:
        for columns in (slice(None), slice(0, 50)):
            faulty, cleaned = large[:, columns].copy(), large[:, columns].copy()
            faulty[3, -1] = faulty[7, 40] = fault
            cleaned[[3, 7]] = 0.0
            assert np.array_equal(rule(faulty), rule(cleaned))


def test_results_of_small_arrays_need_no_compiler() -> None:
    program = (
        "import sys, numpy as np; from lad_mpi.aggregation import TrimmedMean;"
        "TrimmedMean(1)(np.ones((9, 1000))); sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_what_is_compiled() -> None:
    large = np.zeros((100, 10_000))
    assert runs_compiled(large)
    assert not runs_compiled(large.astype(np.float16))
    assert not runs_compiled(large.astype(">f8"))
    assert not runs_compiled(np.zeros((5000, 200)))
    assert not runs_compiled(large.tolist())


def test_kernel_mean_is_the_mean() -> None:
    messages = np.random.default_rng(1).normal(size=(11, 100))
    np.testing.assert_allclose(
        kernels.band_mean(messages, 0, 11), column_mean(messages), atol=1e-15
    )
