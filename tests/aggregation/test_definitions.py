"""Each rule against a slow, obvious reading of its definition."""

from __future__ import annotations

import math
import tracemalloc
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.aggregation import (
    GeometricMedian,
    Krum,
    Mean,
    Median,
    MultiKrum,
    NearestNeighbourMixing,
    NormThreshold,
    TrimmedMean,
)
from lad_mpi.aggregation.gram import measure, nearest

sizes = st.integers(1, 11).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(0, (n - 1) // 2), st.integers(1, 5))
)
seeds = st.integers(0, 2**32)


def draw(seed: int, n: int, columns: int) -> np.ndarray:
    """Messages of an honest cluster and, among them, some rows far away."""
    generator = np.random.default_rng(seed)
    return generator.normal(size=(n, columns)) + 5.0 * (generator.random((n, 1)) < 0.2)


def distances_of(x: np.ndarray) -> np.ndarray:
    return np.array([[math.dist(a, b) ** 2 for b in x] for a in x])


def slow_krum_scores(x: np.ndarray, num_byzantine: int, omitted: int) -> list[float]:
    count = max(1, len(x) - num_byzantine - omitted)
    scores = []
    for i in range(len(x)):
        others = sorted(math.dist(x[i], x[j]) ** 2 for j in range(len(x)) if j != i)
        scores.append(sum(others[:count]))
    return scores


@settings(max_examples=40, deadline=None)
@given(seed=seeds, size=sizes)
def test_coordinate_wise_rules(seed: int, size: tuple[int, int, int]) -> None:
    n, f, columns = size
    x = draw(seed, n, columns)
    kept = [sorted(column)[f : n - f] for column in x.T]
    np.testing.assert_allclose(TrimmedMean(f)(x), [sum(k) / len(k) for k in kept], atol=1e-13)
    np.testing.assert_allclose(Median(f)(x), np.median(x, axis=0), atol=1e-15)
    np.testing.assert_allclose(Mean(f)(x), np.mean(x, axis=0), atol=1e-14)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, size=sizes, omitted=st.sampled_from([1, 2]), data=st.data())
def test_krum_and_multi_krum(
    seed: int, size: tuple[int, int, int], omitted: int, data: st.DataObject
) -> None:
    n, f, columns = size
    x = draw(seed, n, columns)
    neighbours: Any = f"n-f-{omitted}"
    scores = slow_krum_scores(x, f, omitted)
    chosen = next(i for i in range(n) if np.array_equal(x[i], Krum(f, neighbours)(x)))
    assert scores[chosen] <= min(scores) * (1 + 1e-12)
    count = data.draw(st.integers(1, n))
    order = np.argsort(scores, kind="stable")
    # Rows that share their only neighbour tie up to rounding: any of them will do.
    if count < n and scores[order[count]] - scores[order[count - 1]] < 1e-12:
        return
    expected = x[order[:count]].mean(axis=0)
    np.testing.assert_allclose(MultiKrum(f, count, neighbours)(x), expected, atol=1e-13)
    if count == n - f:
        assert np.array_equal(MultiKrum(f, count, neighbours)(x), MultiKrum(f, None, neighbours)(x))


def test_the_two_counts_of_neighbours_differ() -> None:
    x = np.array([[0.0], [1.0], [2.0], [4.0], [9.0], [10.0], [11.0]])
    assert np.argmin(slow_krum_scores(x, 2, 2)) == 2
    assert np.argmin(slow_krum_scores(x, 2, 1)) == 3
    assert Krum(num_byzantine=2)(x) == 2.0
    assert Krum(num_byzantine=2, neighbours="n-f-1")(x) == 4.0


@settings(max_examples=40, deadline=None)
@given(seed=seeds, size=sizes)
def test_nnm_and_norm_threshold(seed: int, size: tuple[int, int, int]) -> None:
    n, f, columns = size
    x = draw(seed, n, columns)
    order = np.argsort(distances_of(x), axis=1, kind="stable")[:, : n - f]
    np.testing.assert_allclose(NearestNeighbourMixing(f)(x), x[order].mean(axis=1), atol=1e-13)
    shortest = np.argsort([math.hypot(*row) for row in x], kind="stable")[: n - f]
    np.testing.assert_allclose(NormThreshold(f)(x), x[shortest].mean(axis=0), atol=1e-13)


class TestTies:
    def test_krum_takes_the_lowest_row(self) -> None:
        square = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        assert np.array_equal(Krum(num_byzantine=1)(square), square[0])
        assert np.array_equal(Krum(num_byzantine=1)(square[::-1]), square[3])

    def test_multi_krum_takes_the_lowest_rows(self) -> None:
        square = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        result = MultiKrum(num_byzantine=1, num_selected=2)(square)
        assert np.array_equal(result, square[:2].mean(axis=0))

    def test_nnm_takes_the_lowest_rows(self) -> None:
        x = np.array([[0.0], [-1.0], [1.0], [-2.0], [2.0]])
        assert NearestNeighbourMixing(num_byzantine=1)(x)[0] == (0.0 - 1.0 + 1.0 - 2.0) / 4

    def test_norm_threshold_takes_the_lowest_rows(self) -> None:
        x = np.array([[1.0], [-1.0], [1.0]])
        assert NormThreshold(num_byzantine=1)(x) == 0.0

    @settings(max_examples=30, deadline=None)
    @given(seed=seeds, n=st.integers(1, 8), data=st.data())
    def test_nearest_is_a_stable_sort(self, seed: int, n: int, data: st.DataObject) -> None:
        values = np.random.default_rng(seed).integers(0, 3, size=(4, n)).astype(float)
        count = data.draw(st.integers(1, n))
        expected = np.zeros((4, n), dtype=bool)
        order = np.argsort(values, axis=1, kind="stable")[:, :count]
        np.put_along_axis(expected, order, values=True, axis=1)
        assert np.array_equal(nearest(values, count), expected)


class TestCancellation:
    """The textbook form of distances fails where the mean is large beside the spread."""

    @staticmethod
    def neighbourhoods(distances: np.ndarray, count: int) -> list[set[int]]:
        return [set(row) for row in np.argsort(distances, axis=1, kind="stable")[:, :count]]

    @pytest.mark.parametrize("ratio", [100.0, 1000.0])
    def test_float32_finds_the_neighbours_of_float64(self, ratio: float) -> None:
        generator = np.random.default_rng(11)
        mean = generator.normal(size=50)
        x = (ratio * mean + generator.normal(size=(60, 50))).astype(np.float32)
        exact = distances_of(x.astype(np.float64))
        found = measure(x).squared_distances
        assert self.neighbourhoods(found, 48) == self.neighbourhoods(exact, 48)
        gram = x @ x.T
        textbook = np.diag(gram)[:, None] + np.diag(gram) - 2 * gram
        assert self.neighbourhoods(textbook, 48) != self.neighbourhoods(exact, 48)

        order = np.argsort(exact, axis=1, kind="stable")[:, :48]
        expected = x.astype(np.float64)[order].mean(axis=1)
        mixed = NearestNeighbourMixing(num_byzantine=12)(x)
        assert np.array_equal(mixed, expected.astype(np.float32))

    @pytest.mark.parametrize("ratio", [1e6, 1e9])
    @pytest.mark.parametrize("attack", [-1.0, -0.99, 0.0, 1e3, 1e40, 1e290])
    def test_a_minority_cannot_spoil_the_centre(self, ratio: float, attack: float) -> None:
        generator = np.random.default_rng(12)
        mean = ratio * generator.normal(size=20)
        honest = mean + generator.normal(size=(30, 20))
        honest -= honest.mean(axis=0) - mean
        hostile = attack * mean + generator.normal(size=(20, 20))
        x = np.concatenate([hostile, honest])
        geometry = measure(x)
        assert np.isfinite(geometry.squared_distances).all()
        assert geometry.centre >= 20
        found = geometry.squared_distances[20:, 20:]
        np.testing.assert_allclose(found, distances_of(honest), rtol=1e-6)
        assert (geometry.squared_distances[20:, :20].min() > found.max()) or attack == 1.0

    def test_centre_leaves_a_row_of_honest_length_among_liars(self) -> None:
        """The row of median length is hostile here, and is dropped after one look."""
        honest = np.full((6, 4), 1e7)
        honest[:, 0] += np.arange(6.0)
        geometry = measure(np.concatenate([np.tile(-honest[2], (5, 1)), honest]))
        assert geometry.rows.typical < 5 <= geometry.centre


class TestGeometricMedian:
    @staticmethod
    def objective(x: np.ndarray, z: np.ndarray) -> float:
        return float(np.linalg.norm(x - z, axis=1).sum())

    @settings(max_examples=30, deadline=None)
    @given(seed=seeds, n=st.integers(1, 12), columns=st.integers(1, 6))
    def test_nothing_is_better_by_more_than_the_residual_allows(
        self, seed: int, n: int, columns: int
    ) -> None:
        """The sum of distances is convex, so its gradient bounds what is left to gain."""
        x = draw(seed, n, columns)
        generator = np.random.default_rng(seed)
        solution = GeometricMedian().solve(x)
        z = solution.estimate
        steps = generator.normal(size=(3, columns)) * np.array([[1e-4], [1e-2], [1.0]])
        for other in (*x, *(z + steps)):
            gain = self.objective(x, z) - self.objective(x, other)
            assert gain <= n * solution.residual * np.linalg.norm(other - z) + 1e-4
        assert solution.residual <= 1e-8 or solution.num_iterations == 1000

    @pytest.mark.parametrize("attack", [-1.0, 0.0, 3.0, 1e6, 1e100])
    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_the_gradient_vanishes(self, attack: float, dtype: Any) -> None:
        generator = np.random.default_rng(14)
        x = 10.0 + generator.normal(size=(40, 15))
        x[:15] *= min(attack, 1e30) if dtype == np.float32 else attack
        x = x.astype(dtype)
        solution = GeometricMedian(num_byzantine=15).solve(x)
        assert 1 <= solution.num_iterations < 200
        assert solution.residual <= 1e-8
        away = x.astype(np.float64) - solution.estimate
        units = away / np.linalg.norm(away, axis=1)[:, None]
        limit = 1e-7 if dtype == np.float64 else 1e-5
        assert np.linalg.norm(units.mean(axis=0)) < limit

    def test_a_message_that_is_the_median(self) -> None:
        """Weiszfeld's iteration must neither stick to a wrong message nor divide by zero."""
        x = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -3.0]])
        np.testing.assert_allclose(GeometricMedian()(x), [0.0, 0.0], atol=2e-6)
        line = np.array([[0.0], [1.0], [2.0], [10.0], [11.0]])
        np.testing.assert_allclose(GeometricMedian()(line), [2.0], atol=2e-6)

    def test_it_leaves_a_message_that_is_not_the_median(self) -> None:
        """The mean of the tightest majority, the start, is here the first message itself."""
        x = np.array([[0.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [1.5, 2.0], [1.5, -2.0]])
        solution = GeometricMedian().solve(x)
        assert np.linalg.norm(solution.estimate) > 0.05
        grid = [np.array([a, 0.0]) for a in np.linspace(0, 1.5, 1501)]
        best = min(self.objective(x, z) for z in grid)
        assert self.objective(x, solution.estimate) <= best + 1e-6

    def test_steps_run_out(self) -> None:
        x = np.random.default_rng(15).normal(size=(10, 3))
        solution = GeometricMedian(max_iterations=2, tolerance=0.0).solve(x)
        assert solution.num_iterations == 2
        assert solution.residual > 0.0

    @pytest.mark.parametrize("shift", [0.0, 0.03, 40.0])
    def test_byzfl_setting(self, shift: float) -> None:
        x = shift + 0.05 * np.random.default_rng(16).normal(size=(12, 7))
        x[:2] *= -2.0
        z = np.zeros(7)
        for _ in range(3):
            pulls = 1.0 / np.maximum(np.linalg.norm(x - z, axis=1), 0.1)
            z = pulls @ x / pulls.sum()
        rule = GeometricMedian(
            num_byzantine=2, smoothing=0.1, max_iterations=3, tolerance=0.0, start="zero"
        )
        solution = rule.solve(x)
        assert solution.num_iterations == 3
        np.testing.assert_allclose(solution.estimate, z, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("smoothing", [1e-300, 1e-12, 1e300])
    @pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
    def test_any_smoothing_is_survived(self, smoothing: float, scale: float) -> None:
        x = scale * np.random.default_rng(17).normal(size=(6, 2))
        z = GeometricMedian(smoothing=smoothing, start="zero")(x)
        assert (z <= x.max(axis=0)).all()
        assert (z >= x.min(axis=0)).all()


def test_memory_of_nnm_is_not_cubic() -> None:
    """No array of n(n − f)Q numbers, nor any as large, is ever made."""
    x = np.random.default_rng(18).normal(size=(60, 20_000)).astype(np.float32)
    NearestNeighbourMixing(num_byzantine=10)(x[:, :10])
    tracemalloc.start()
    try:
        NearestNeighbourMixing(num_byzantine=10)(x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * x.nbytes


def test_slow_majority_radius() -> None:
    """The tightest ball holds ⌊n/2⌋ + 1 rows and no majority fits in a smaller one round a row."""
    x = np.random.default_rng(19).normal(size=(7, 2))
    geometry = measure(x)
    exact = distances_of(x)
    expected = [
        min(max(exact[i, list(others)]) for others in combinations(range(7), 4) if i in others)
        for i in range(7)
    ]
    np.testing.assert_allclose(geometry.squared_radii, expected, rtol=1e-10)
