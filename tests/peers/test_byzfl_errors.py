"""What ByzFL 0.0.11 gets wrong, beside what this suite makes of the same messages.

docs/peers.md lists these. If a test here fails, that page is out of date.
"""

from __future__ import annotations

import tracemalloc
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lad_mpi.aggregation import (
    PRE_AGGREGATIONS,
    RULES,
    AdaptiveClipping,
    Bucketing,
    CenteredClipping,
    Clip,
    CovarianceFilter,
    GeometricMedian,
    Krum,
    Meamed,
    Mean,
    Median,
    MultiKrum,
    NearestNeighbourMixing,
    SmallestMaximumEigenvalueAveraging,
)
from lad_mpi.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import SimpleNamespace

pytestmark = [
    pytest.mark.peers,
    # What ByzFL divides by zero or subtracts from infinity, NumPy tells.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


def with_hostile_rows(value: float) -> np.ndarray:
    """Seven rows round five, and two of a value that no honest device sends."""
    x = np.random.default_rng(0).normal(5.0, 1.0, size=(9, 4))
    x[7:] = value
    return x


class TestRowsThatAreNotFinite:
    def test_a_nan_wins_krum(self, byzfl: SimpleNamespace) -> None:
        x = with_hostile_rows(np.nan)
        assert np.isnan(byzfl.Krum(2)(x)).all()
        found = Krum(num_byzantine=2)(x)
        assert (found == x[:7]).all(axis=1).any()

    @pytest.mark.parametrize(
        ("name", "rule"),
        [
            ("Average", Mean(2)),
            ("Median", Median(2)),
            ("Meamed", Meamed(2)),
            ("GeometricMedian", GeometricMedian(2)),
            ("CenteredClipping", CenteredClipping(2)),
        ],
    )
    def test_a_nan_leaks_into_the_result(
        self, name: str, rule: Any, byzfl: SimpleNamespace
    ) -> None:
        x = with_hostile_rows(np.nan)
        theirs = byzfl.Meamed(2) if name == "Meamed" else getattr(byzfl, name)()
        assert np.isnan(theirs(x)).all()
        assert np.abs(rule(x)).max() <= np.abs(x[:7]).max()

    def test_infinity_leaks_through_centred_clipping_for_good(self, byzfl: SimpleNamespace) -> None:
        """It also stays in the state: later messages cannot mend it."""
        theirs, ours, state = byzfl.CenteredClipping(), CenteredClipping(2), None
        for value in (np.inf, 0.0):
            x = with_hostile_rows(value)
            assert np.isnan(theirs(x)).all()
            estimate, state = ours.advance(x, state)
            assert np.abs(estimate).max() <= np.abs(x[:7]).max()


class TestCaf:
    @pytest.mark.parametrize(
        ("x", "f"),
        [
            (np.random.default_rng(1).normal(size=(9, 4)), 0),
            (np.ones((9, 4)), 2),
            (with_hostile_rows(np.inf), 2),
            (with_hostile_rows(np.nan), 2),
            (with_hostile_rows(1e300), 2),
        ],
        ids=["no faults", "equal rows", "inf", "nan", "1e300"],
    )
    def test_it_returns_nothing(self, x: np.ndarray, f: int, byzfl: SimpleNamespace) -> None:
        assert byzfl.CAF(f)(x) is None
        found = CovarianceFilter(f)(x)
        assert np.abs(found).max() <= np.abs(x[:7]).max()
        if f == 0:
            np.testing.assert_allclose(found, x.mean(axis=0))

    def test_a_row_that_is_already_out_keeps_it_from_ending(
        self, passes_of_caf: Callable[..., int]
    ) -> None:
        """The greatest τ is that of the outlier in every pass, whose weight is nil after one."""
        x = np.array([[1.0], [2.0], [3.0], [0.0]])
        passes = []
        for x[3] in (3.0, 10.0, 60.0, 1e6):
            passes.append(passes_of_caf(x, 1, at_most=3000))
            assert 1.0 <= CovarianceFilter(1)(x)[0] <= 3.0
        assert passes[0] < passes[1] < 1000 < passes[2] < passes[3] == 3000

    def test_its_result_is_drawn_by_lot(self, byzfl: SimpleNamespace) -> None:
        """One step of the power method from a random vector is no eigenvector."""
        x = np.random.default_rng(2).normal(size=(20, 30))
        x[:4] += 2.0
        theirs = []
        for seed in range(5):
            np.random.seed(seed)  # noqa: NPY002  (ByzFL draws from the global generator)
            theirs.append(byzfl.CAF(4)(x))
        assert len({result.tobytes() for result in theirs}) == 5
        assert max(np.abs(result - theirs[0]).max() for result in theirs) > 0.1
        assert np.array_equal(CovarianceFilter(4)(x), CovarianceFilter(4)(x))


class TestSmea:
    @staticmethod
    def largest_eigenvalue(rows: np.ndarray) -> float:
        away = rows - rows.mean(axis=0)
        return float(np.linalg.eigvalsh(away.T @ away)[-1]) / len(rows)

    def test_the_subset_is_drawn_by_lot(self, byzfl: SimpleNamespace) -> None:
        """Its eigenvalues are those of one step from a random vector, another one each time."""
        x = np.random.default_rng(3).normal(size=(8, 6))
        subsets = {
            x[list(rows)].mean(axis=0).tobytes(): self.largest_eigenvalue(x[list(rows)])
            for rows in combinations(range(8), 6)
        }
        least = min(subsets.values())
        chosen = []
        for seed in range(10):
            np.random.seed(seed)  # noqa: NPY002
            chosen.append(subsets[byzfl.SMEA(2)(x).tobytes()])
        assert len(set(chosen)) > 1
        assert max(chosen) > 1.2 * least
        found = SmallestMaximumEigenvalueAveraging(2)(x)
        nearest = min(subsets, key=lambda mean: np.abs(np.frombuffer(mean) - found).max())
        assert subsets[nearest] == least

    def test_equal_rows_end_in_an_error(self, byzfl: SimpleNamespace) -> None:
        x = np.ones((5, 3))
        with pytest.raises(IndexError):
            byzfl.SMEA(1)(x)
        assert np.array_equal(SmallestMaximumEigenvalueAveraging(1)(x), x[0])


class TestGeometricMedian:
    def test_three_steps_from_zero_do_not_reach_it(self, byzfl: SimpleNamespace) -> None:
        """Eleven of twenty rows are one point, so the geometric median is that point."""
        point = np.full(5, 50.0)
        others = np.random.default_rng(4).normal(size=(9, 5))
        x = np.concatenate([np.tile(point, (11, 1)), others])
        assert np.array_equal(GeometricMedian(9)(x), point)
        assert np.linalg.norm(byzfl.GeometricMedian()(x) - point) > 50.0

    def test_where_it_stops_depends_on_the_origin(self, byzfl: SimpleNamespace) -> None:
        x = np.random.default_rng(5).normal(size=(20, 5))
        x[:9] += 4.0
        moved = byzfl.GeometricMedian()(x + 100.0) - 100.0
        assert np.linalg.norm(moved - byzfl.GeometricMedian()(x)) > 0.1
        moved = GeometricMedian(9)(x + 100.0) - 100.0
        assert np.linalg.norm(moved - GeometricMedian(9)(x)) < 1e-6

    def test_a_fixed_smoothing_averages_what_is_smaller(self, byzfl: SimpleNamespace) -> None:
        """Of messages within ν of each other it takes the mean, and so obeys the outlier."""
        x = 1e-3 * np.random.default_rng(6).normal(size=(9, 3))
        x[7:] = 0.05
        np.testing.assert_allclose(byzfl.GeometricMedian()(x), x.mean(axis=0), rtol=1e-12)
        assert np.linalg.norm(GeometricMedian(2)(x)) < 0.1 * np.linalg.norm(x.mean(axis=0))


class TestCalls:
    @pytest.mark.parametrize(
        ("name", "parameter", "ours"),
        [("Clipping", 1.0, Clip(threshold=1.0)), ("ARC", 2, AdaptiveClipping(2))],
    )
    def test_clipping_changes_the_messages_of_the_caller(
        self, name: str, parameter: Any, ours: Any, byzfl: SimpleNamespace
    ) -> None:
        x = np.random.default_rng(7).normal(size=(9, 4))
        before = x.copy()
        ours(x)
        assert np.array_equal(x, before)
        getattr(byzfl, name)(parameter)(x)
        assert not np.array_equal(x, before)

    def test_centred_clipping_cannot_be_given_its_start(self, byzfl: SimpleNamespace) -> None:
        x, start = np.random.default_rng(8).normal(size=(9, 4)), np.full(4, 50.0)
        with pytest.raises(TypeError, match="m must be of type"):
            byzfl.CenteredClipping(m=start)
        estimate, _ = CenteredClipping(2, threshold=1.0).advance(x, start)
        assert np.linalg.norm(estimate - start) <= 1.0

    def test_a_number_of_faults_of_numpy_is_refused(self, byzfl: SimpleNamespace) -> None:
        for name in ("TrMean", "Krum", "MultiKrum", "MDA", "MoNNA", "Meamed", "CAF", "SMEA"):
            with pytest.raises(ValueError, match="non-negative integer"):
                getattr(byzfl, name)(np.int64(2))
        for rule in {**RULES, **PRE_AGGREGATIONS}.values():
            assert (rule(np.int64(2))(np.ones((9, 4))) == 1.0).all()

    def test_buckets_of_which_faults_are_no_minority_pass(self, byzfl: SimpleNamespace) -> None:
        """Four of six buckets may hold one of four faults; ByzFL's does not know of any."""
        x = np.ones((12, 3))
        assert byzfl.Bucketing(2)(x).shape == (6, 3)
        with pytest.raises(ParameterError, match="not a minority"):
            Bucketing(num_byzantine=4, size=2)(x)

    def test_shuffles_and_noise_come_from_the_global_generator(
        self, byzfl: SimpleNamespace
    ) -> None:
        x = np.random.default_rng(9).normal(size=(12, 3))
        for draw in (byzfl.Bucketing(2), byzfl.Gaussian()):
            assert not np.array_equal(draw(x), draw(x))
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        assert np.array_equal(Bucketing(size=2)(x), Bucketing(size=2)(x))
        assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002

    def test_memory_of_nnm_is_that_of_all_neighbourhoods(self, byzfl: SimpleNamespace) -> None:
        x = np.random.default_rng(10).normal(size=(30, 20_000))

        def peak(rule: Any) -> float:
            rule(x[:, :10])
            tracemalloc.start()
            try:
                rule(x)
                return tracemalloc.get_traced_memory()[1] / x.nbytes
            finally:
                tracemalloc.stop()

        assert peak(byzfl.NNM(6)) >= 24.0
        assert peak(NearestNeighbourMixing(6)) < 3.0


class TestDefinitions:
    """Not errors: where two definitions are in use, and a default had to be chosen."""

    def test_rows_that_agree_win_krum_as_published_if_they_are_all_but_half(
        self, byzfl: SimpleNamespace
    ) -> None:
        x = np.random.default_rng(12).normal(size=(11, 3))
        x[:5] = 1e6
        assert np.array_equal(Krum(5)(x), x[0])
        assert np.array_equal(Krum(5, neighbours="n-f-1")(x), byzfl.Krum(5)(x))
        assert np.abs(byzfl.Krum(5)(x)).max() < 5.0

    def test_krum_counts_one_neighbour_more(self, byzfl: SimpleNamespace) -> None:
        x = np.array([[0.0], [1.0], [2.0], [4.0], [9.0], [10.0], [11.0]])
        assert byzfl.Krum(2)(x) == Krum(2, neighbours="n-f-1")(x) == 4.0
        assert Krum(2)(x) == 2.0
        x = np.random.default_rng(6).normal(size=(15, 3))
        theirs = byzfl.MultiKrum(6)(x)
        np.testing.assert_allclose(MultiKrum(6, neighbours="n-f-1")(x), theirs)
        assert not np.allclose(MultiKrum(6)(x), theirs)

    def test_geometric_medians_of_infinite_rows_and_of_zeros(self, byzfl: SimpleNamespace) -> None:
        """ByzFL's leaves such rows out; here they count as zeros, as on the wire."""
        x = with_hostile_rows(np.inf)
        np.testing.assert_allclose(byzfl.GeometricMedian()(x), byzfl.GeometricMedian()(x[:7]))
        zeroed = with_hostile_rows(0.0)
        np.testing.assert_allclose(GeometricMedian(2)(x), GeometricMedian(2)(zeroed))
