"""Medians and their intervals are those of the textbooks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.statistics import CONFIDENCE, estimate

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
