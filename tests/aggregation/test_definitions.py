"""Each rule against a slow, obvious reading of its definition."""

from __future__ import annotations

import math
import tracemalloc
from itertools import combinations, combinations_with_replacement, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.aggregation import (
    AdaptiveClipping,
    Bucketing,
    CenteredClipping,
    Clip,
    CovarianceFilter,
    GeometricMedian,
    Krum,
    Mean,
    Median,
    MinimumDiameterAveraging,
    MoNNA,
    MultiKrum,
    NearestNeighbourMixing,
    NormThreshold,
    SmallestMaximumEigenvalueAveraging,
    TrimmedMean,
)
from lad_mpi.aggregation.gram import measure, nearest
from lad_mpi.rng import Purpose, Streams

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
    count = data.draw(st.integers(1, n - f))
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


@settings(max_examples=25, deadline=None)
@given(seed=seeds, size=sizes)
def test_averages_over_the_best_subset(seed: int, size: tuple[int, int, int]) -> None:
    n, f, columns = size
    x = draw(seed, n, columns)

    def diameter(rows: tuple[int, ...]) -> float:
        return max((math.dist(x[i], x[j]) for i, j in combinations(rows, 2)), default=0.0)

    def largest_eigenvalue(rows: tuple[int, ...]) -> float:
        away = x[list(rows)] - x[list(rows)].mean(axis=0)
        return float(np.linalg.eigvalsh(away.T @ away)[-1])

    subsets = list(combinations(range(n), n - f))
    # Subsets with the same two farthest rows tie: the first of them counts.
    expected = x[list(min(subsets, key=diameter))].mean(axis=0)
    np.testing.assert_allclose(MinimumDiameterAveraging(f)(x), expected, atol=1e-13)
    values = sorted(map(largest_eigenvalue, subsets))
    if len(values) > 1 and values[1] - values[0] < 1e-12:
        return
    expected = x[list(min(subsets, key=largest_eigenvalue))].mean(axis=0)
    np.testing.assert_allclose(SmallestMaximumEigenvalueAveraging(f)(x), expected, atol=1e-13)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, size=sizes, data=st.data())
def test_monna(seed: int, size: tuple[int, int, int], data: st.DataObject) -> None:
    n, f, columns = size
    x = draw(seed, n, columns)
    reference = data.draw(st.integers(0, n - 1))
    kept = sorted(range(n), key=lambda i: math.dist(x[i], x[reference]))[: n - f]
    np.testing.assert_allclose(MoNNA(f, reference)(x), x[kept].mean(axis=0), atol=1e-13)


def slow_filter(x: np.ndarray, f: int) -> np.ndarray:
    c = np.ones(len(x))
    least, best = math.inf, x.mean(axis=0)
    while f and c.sum() > len(x) - 2 * f:
        mean = c @ x / c.sum()
        values, vectors = np.linalg.eigh((c[:, None] * (x - mean)).T @ (x - mean) / c.sum())
        if values[-1] < least:
            least, best = values[-1], mean
        tau = ((x - mean) @ vectors[:, -1]) ** 2
        c = c * (1 - tau / tau[c > 0].max())
        c[c < 1e-11] = 0.0
    return best


@settings(max_examples=25, deadline=None)
@given(seed=seeds, size=sizes)
def test_covariance_filter(seed: int, size: tuple[int, int, int]) -> None:
    n, f, columns = size
    x = draw(seed, n, columns)
    np.testing.assert_allclose(CovarianceFilter(f)(x), slow_filter(x, f), rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, size=sizes, steps=st.integers(1, 4), tau=st.floats(0.01, 100.0))
def test_centered_clipping(seed: int, size: tuple[int, int, int], steps: int, tau: float) -> None:
    n, f, columns = size
    x = draw(seed, n, columns)
    start = np.random.default_rng(seed + 1).normal(size=columns)
    rule = CenteredClipping(f, tau, steps)
    for state in (None, start):
        v = np.zeros(columns) if state is None else state.copy()
        for _ in range(steps):
            moves = [(row - v) * min(1.0, tau / (math.dist(row, v) or tau)) for row in x]
            v = v + sum(moves) / n
        estimate, after = rule.advance(x, state)
        np.testing.assert_allclose(estimate, v, rtol=1e-12, atol=1e-13)
        assert np.array_equal(after, estimate)
        if state is None:
            assert np.array_equal(rule(x), estimate)
    assert np.array_equal(start, np.random.default_rng(seed + 1).normal(size=columns))


def test_a_huge_row_pulls_centered_clipping_by_its_threshold() -> None:
    x = np.zeros((4, 3))
    x[0] = [0.0, 1e300, 0.0]
    x[1] = [0.0, 0.0, 1e-300]
    result = CenteredClipping(num_byzantine=1, threshold=2.0)(x)
    np.testing.assert_allclose(result, [0.0, 0.5, 2.5e-301], rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, size=sizes, threshold=st.floats(0.01, 10.0))
def test_clip_and_arc(seed: int, size: tuple[int, int, int], threshold: float) -> None:
    n, f, columns = size
    x = draw(seed, n, columns)

    def clipped(longest: float) -> list[np.ndarray]:
        return [row * min(1.0, longest / math.hypot(*row)) for row in x]

    np.testing.assert_allclose(Clip(f, threshold)(x), clipped(threshold), rtol=1e-13)
    norms = sorted((math.hypot(*row) for row in x), reverse=True)
    next_longest = norms[2 * f * (n - f) // n]
    np.testing.assert_allclose(AdaptiveClipping(f)(x), clipped(next_longest), rtol=1e-13)


@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1e170, 1e300])
def test_lengths_that_cannot_be_squared_are_clipped(scale: float) -> None:
    x = np.random.default_rng(20).normal(size=(9, 4))
    np.testing.assert_allclose(Clip(0, 0.5 * scale)(scale * x) / scale, Clip(0, 0.5)(x))
    arc = AdaptiveClipping(num_byzantine=2)
    np.testing.assert_allclose(arc(scale * x) / scale, arc(x))


@settings(max_examples=25, deadline=None)
@given(seed=seeds, n=st.integers(1, 20), size=st.integers(1, 7))
def test_bucketing(seed: int, n: int, size: int) -> None:
    x = draw(seed, n, 3)
    order = np.argsort(Streams(seed).words(Purpose.PRE_AGGREGATION, 4, n, first_device=2)[0])
    buckets = [x[order[i : i + size]].mean(axis=0) for i in range(0, n, size)]
    found = Bucketing(size=size).sample(x, Streams(seed), iteration=4, stage=2)
    np.testing.assert_allclose(found, buckets, atol=1e-14)


def test_bucketing_twice_draws_two_independent_permutations() -> None:
    """Of 8 buckets, two merge with probability 1/7, whatever the first bucketing drew.

    The streams of the two stages once shared words: where the messages 8 + b and 8 + c came
    together, buckets b and c merged with probability 0.60.
    """

    def together(num_rows: int, iteration: int, stage: int) -> np.ndarray:
        means = Bucketing(size=2).sample(
            np.eye(num_rows), Streams(3), iteration=iteration, stage=stage
        )
        same: np.ndarray = means.T @ means > 0
        return same

    trials = merged = 0
    for iteration in range(1500):
        first, second = together(16, iteration, 0), together(8, iteration, 1)
        pairs = np.triu(first[8:, 8:], k=1)
        trials += np.count_nonzero(pairs)
        merged += np.count_nonzero(second[pairs])
    # Binomial: six standard deviations miss once in 10^8.
    assert abs(merged / trials - 1 / 7) < 6 * math.sqrt(1 / 7 * 6 / 7 / trials)


class TestManyColumns:
    """With more columns than two blocks, pieces are measured plainly and on several threads."""

    @staticmethod
    def messages(dtype: Any, ratio: float = 0.0, hostile: int = 0) -> np.ndarray:
        generator = np.random.default_rng(60)
        x = generator.normal(size=(24, 75_000))
        x += ratio * generator.normal(size=75_000)
        if hostile:
            x[:hostile] *= -3.0
        return x.astype(dtype)

    @staticmethod
    def exact(x: np.ndarray) -> np.ndarray:
        x = x.astype(np.float64)
        return np.array([[((a - b) ** 2).sum() for b in x] for a in x])

    @pytest.mark.parametrize("ratio", [0.0, 1.0, 30.0, 1000.0])
    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_neighbours_are_those_of_exact_distances(self, dtype: Any, ratio: float) -> None:
        x = self.messages(dtype, ratio, hostile=5)
        geometry = measure(x)
        assert geometry.rows.dtype == dtype
        assert (geometry.centre is None) == (ratio < (2.0 if dtype == np.float32 else 99.0))
        exact, found = self.exact(x)[5:, 5:], geometry.squared_distances[5:, 5:]
        limit = 1e-6 if dtype == np.float32 else 1e-11
        np.testing.assert_allclose(found, exact, rtol=limit)
        order = np.argsort(exact, axis=1, kind="stable")
        assert np.array_equal(np.argsort(found, axis=1, kind="stable"), order)

    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_a_sample_that_deceives_is_noticed(self, dtype: Any) -> None:
        """Hostile rows agree, and honest ones do not, in the columns that are looked at first."""
        x = self.messages(dtype, 1000.0)
        x[:11, :30_000] = 0.0
        x[:11, 30_000:] *= 3.0
        geometry = measure(x)
        exact = self.exact(x)[11:, 11:]
        np.testing.assert_allclose(geometry.squared_distances[11:, 11:], exact, rtol=1e-6)

    @pytest.mark.parametrize("scale", [1e-30, 1e-18, 1e18, 1e30])
    def test_float32_of_any_size(self, scale: float) -> None:
        x = self.messages(np.float32, 1.0)
        geometry = measure(x * np.float32(scale))
        found = geometry.squared_distances * geometry.rows.unit**2
        np.testing.assert_allclose(found / scale**2, self.exact(x), rtol=1e-5)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300, 1e30])
    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_a_row_that_is_absurd_late_is_found(self, dtype: Any, bad: float) -> None:
        x = self.messages(dtype, 1.0)
        clean = measure(x).squared_distances[1:, 1:]
        with np.errstate(over="ignore"):
            x[0, -1] = np.asarray(bad).astype(dtype)
        geometry = measure(x)
        assert np.isfinite(geometry.squared_distances).all()
        np.testing.assert_allclose(geometry.squared_distances[1:, 1:], clean, rtol=1e-6)

    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_equal_honest_messages_make_no_error(self, dtype: Any) -> None:
        x = self.messages(dtype, 3.0)
        x[9:] = x[9]
        for rule in (Krum(9), MultiKrum(9), GeometricMedian(9), NearestNeighbourMixing(9)):
            result = rule(x)
            assert np.array_equal(result[9:] if result.ndim == 2 else [result] * 15, x[9:])

    @pytest.mark.parametrize("ratio", [0.0, 1000.0])
    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_results(self, dtype: Any, ratio: float) -> None:
        """Against the same columns few at a time, where there is only one block."""
        x = self.messages(dtype, ratio, hostile=5)
        order = np.argsort(self.exact(x), axis=1, kind="stable")[:, :19]
        wide = x.astype(np.float64)
        limit = 1e-6 * max(1.0, ratio) if dtype == np.float32 else 1e-12 * max(1.0, ratio)
        mixed = NearestNeighbourMixing(num_byzantine=5)(x)
        np.testing.assert_allclose(mixed, wide[order].mean(axis=1), rtol=limit, atol=limit)
        moved = CenteredClipping(num_byzantine=5, threshold=50.0)(x)
        shares = np.minimum(1.0, 50.0 / np.linalg.norm(wide, axis=1)) / len(x)
        np.testing.assert_allclose(moved, shares @ wide, rtol=limit, atol=limit)
        expected = GeometricMedian(num_byzantine=5)(wide)
        np.testing.assert_allclose(GeometricMedian(5)(x), expected, rtol=limit, atol=limit)

    def test_threads_do_not_change_a_bit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        x = self.messages(np.float64, 1.0)
        rule = NearestNeighbourMixing(num_byzantine=5)
        results = []
        for threads in ("1", "3"):
            monkeypatch.setenv("OMP_NUM_THREADS", threads)
            results.append(rule(x))
        assert np.array_equal(*results)


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
        assert geometry.centre is not None
        assert geometry.centre >= 20
        found = geometry.squared_distances[20:, 20:]
        np.testing.assert_allclose(found, distances_of(honest), rtol=1e-6)
        assert (geometry.squared_distances[20:, :20].min() > found.max()) or attack == 1.0

    def test_centre_leaves_a_row_of_honest_length_among_liars(self) -> None:
        """The row of median length is hostile here, and is dropped after one look."""
        honest = np.full((6, 4), 1e7)
        honest[:, 0] += np.arange(6.0)
        geometry = measure(np.concatenate([np.tile(-honest[2], (5, 1)), honest]))
        assert geometry.centre is not None
        assert geometry.centre >= 5


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

    #: The first two messages are the geometric median: the pull of the others is just below 2.
    BALANCED = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 0.01]])

    @pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 0, 2, 1]])
    @pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e200, 0.0), (1e-3, 1e3)])
    def test_a_message_is_the_answer_where_the_steps_run_out(
        self, scale: float, shift: float, order: list[int]
    ) -> None:
        x = scale * self.BALANCED[order] + shift
        solution = GeometricMedian(num_byzantine=1).solve(x)
        assert np.array_equal(solution.estimate, [shift, shift])
        assert solution.num_iterations == 1000
        assert solution.residual == 0.0

    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    @pytest.mark.parametrize("columns", [3, 150_000])
    def test_so_it_is_beside_absurd_rows_and_in_many_columns(
        self, columns: int, dtype: Any
    ) -> None:
        x = np.zeros((6, columns), dtype=dtype)
        x[2:4, 0] = 1.0
        x[3, 1] = 0.01
        # Pulls of a length of 1 in opposite directions.
        x[4, 2], x[5, 2] = np.finfo(dtype).max, -np.finfo(dtype).max
        solution = GeometricMedian(num_byzantine=2).solve(x)
        assert not solution.estimate.any()
        assert solution.residual <= 1e-8

    def test_the_message_that_comes_closest_has_the_residual_that_is_left(self) -> None:
        """Three directions at 120 degrees balance; a little less and no message is the answer."""
        angle = 2 * math.pi / 3 - 1e-4
        x = np.array([[0.0, 0.0], [1.0, 0.0], [math.cos(angle), math.sin(angle)]])
        solution = GeometricMedian().solve(x)
        assert np.array_equal(solution.estimate, x[0])
        assert solution.residual == pytest.approx((2 * math.cos(angle / 2) - 1) / 3, rel=1e-9)

    def test_a_message_that_meets_the_condition_is_found(self) -> None:
        """By Vardi and Zhang: the others pull at it with less than its own multiplicity."""
        points = [np.array(point, dtype=float) for point in product(range(3), repeat=2)]
        found = 0
        for chosen in combinations_with_replacement(points, 4):
            x = np.array(chosen)
            for row in x:
                away = np.linalg.norm(x - row, axis=1)
                others = away > 0
                pull = ((x - row)[others] / away[others, None]).sum(axis=0)
                if np.linalg.norm(pull) < np.count_nonzero(~others) - 1e-3:
                    found += 1
                    solution = GeometricMedian().solve(x)
                    np.testing.assert_allclose(solution.estimate, row, atol=1e-5)
                    assert solution.residual <= 1e-8
        assert found > 100

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

    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    @pytest.mark.parametrize("shift", [0.0, 40.0])
    def test_small_and_large_messages_take_the_same_steps(self, shift: float, dtype: Any) -> None:
        """The same numbers beside columns of zeros are too many to be read in every step."""
        x = (shift + np.random.default_rng(21).normal(size=(15, 9))).astype(dtype)
        x[:3] *= -3.0
        wide = np.zeros((15, 14_000), dtype=dtype)
        wide[:, :9] = x
        for tolerance in (1e-2, 1e-10):
            rule = GeometricMedian(3, tolerance, 60, smoothing=0.1, start="zero")
            small, large = rule.solve(x), rule.solve(wide)
            assert small.num_iterations == large.num_iterations < 60
            tolerated = 1e-11 if dtype is np.float64 else 1e-6
            np.testing.assert_allclose(small.estimate, large.estimate[:9], atol=40 * tolerated)
            np.testing.assert_allclose(small.residual, large.residual, rtol=1e-2)
            assert small.estimate.dtype == dtype

    @pytest.mark.parametrize("smoothing", [1e-300, 1e-12, 1e300])
    @pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
    def test_any_smoothing_is_survived(self, smoothing: float, scale: float) -> None:
        x = scale * np.random.default_rng(17).normal(size=(6, 2))
        z = GeometricMedian(smoothing=smoothing, start="zero")(x)
        assert (z <= x.max(axis=0)).all()
        assert (z >= x.min(axis=0)).all()


def test_memory_of_nnm_is_that_of_its_result() -> None:
    """No array of n(n − f)Q numbers, nor a second one as large as the messages, is ever made."""
    x = np.random.default_rng(18).normal(size=(60, 200_000)).astype(np.float32)
    NearestNeighbourMixing(num_byzantine=10)(x[:, :10])
    tracemalloc.start()
    try:
        NearestNeighbourMixing(num_byzantine=10)(x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert x.nbytes <= peak < 1.6 * x.nbytes


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
