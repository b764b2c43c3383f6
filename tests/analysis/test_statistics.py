"""Medians and their intervals are those of the textbooks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.statistics import CONFIDENCE, estimate, estimate_over

finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=50)
@given(st.lists(finite, min_size=1, max_size=40))
def test_the_median_is_numpys_and_lies_in_its_interval(values):
    found = estimate(values)
    ordered = sorted(values)
    middle = ordered[(len(values) - 1) // 2 : len(values) // 2 + 1]
    assert middle[0] <= found.median <= middle[-1]
    assert found.low <= found.median <= found.high
    assert found.count == len(values)
    assert np.isfinite(found.median)


def test_an_even_number_averages_the_middle_two():
    assert estimate([4.0, 1.0, 2.0, 9.0]).median == 3.0


@pytest.mark.parametrize("count", range(1, 60))
def test_the_interval_is_the_narrowest_that_covers_enough(count):
    # Ranks stand for values: low is the rank r, high its mirror image.
    found = estimate([float(rank) for rank in range(1, count + 1)])
    coverages = {
        rank: 1 - 2 * stats.binom.cdf(rank - 1, count, 0.5) for rank in range(1, count // 2 + 1)
    }
    enough = [rank for rank, coverage in coverages.items() if coverage >= CONFIDENCE]
    if count < 6:
        assert enough == []
        assert (found.low, found.high, found.coverage) == (1, count, None)
    else:
        assert found.low == max(enough)
        assert found.high == count + 1 - max(enough)
        assert found.coverage == pytest.approx(coverages[max(enough)])


def test_nothing_has_no_estimate():
    with pytest.raises(ValueError, match="at least one"):
        estimate([])


def test_launches_of_a_seed_count_once():
    found = estimate_over({1: [1.0, 3.0], 2: [10.0], 3: [4.0, 5.0, 60.0]})
    assert (found.median, found.low, found.high) == (5.0, 2.0, 10.0)
    assert (found.count, found.coverage) == (3, None)


def test_launches_of_one_seed_are_replicates():
    launches = [float(number) for number in range(8)]
    assert estimate_over({1: launches}) == estimate(launches)


@pytest.mark.parametrize(
    ("seeds", "launches"), [(3, 2), (5, 4), (6, 1), (8, 5), (10, 3), (17, 2), (1, 6), (1, 9)]
)
def test_intervals_cover_what_they_state(seeds, launches):
    """Seeds differ much more than the launches of one, as in times to a target."""
    draw = np.random.default_rng(seeds * 100 + launches)
    trials, held, stated = 4000, 0, None
    for _ in range(trials):
        # Of one seed the median over launches is asked for, of several that over seeds.
        of_seed = draw.lognormal(0.0, 1.0 if seeds > 1 else 0.0, seeds)
        times = of_seed[:, None] * draw.lognormal(0.0, 0.1, (seeds, launches))
        found = estimate_over(dict(enumerate(times.tolist())))
        stated = found.coverage
        held += found.low <= 1.0 <= found.high
    if stated is None:
        assert max(seeds, launches if seeds == 1 else 0) < 6
        return
    assert stated >= CONFIDENCE
    error = np.sqrt(stated * (1 - stated) / trials)
    assert held / trials == pytest.approx(stated, abs=4 * error)
