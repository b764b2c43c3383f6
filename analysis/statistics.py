"""Medians and intervals, without assumptions on a distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


#: Least coverage of a confidence interval.
CONFIDENCE = 0.95
#: Coverage of each of two intervals that hold together with ``CONFIDENCE`` (Bonferroni).
EACH_OF_TWO = 1 - (1 - CONFIDENCE) / 2


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median over runs, with an interval.

    Parameters
    ----------
    median : float
        Median of the sample.
    low, high : float
        Ends of the interval.
    count : int
        n, number of values.
    coverage : float or None
        Probability that the interval contains the median of the population; at least the
        requested confidence. None if n is too small. The interval then goes from the
        smallest to the largest value.
    """

    median: float
    low: float
    high: float
    count: int
    coverage: float | None


def least_count(confidence: float = CONFIDENCE) -> int:
    """Return the least number of values for a confidence interval.

    Examples
    --------
    >>> least_count(0.95), least_count(0.975)
    (6, 7)
    """
    return math.ceil(1 - math.log2(1 - confidence))


def estimate(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    r"""Return the median with the narrowest rank-based confidence interval.

    Parameters
    ----------
    values : sequence of float
        Independent values, at least one.
    confidence : float
        Least coverage of the interval.

    Returns
    -------
    Estimate

    Notes
    -----
    The interval between the r-th smallest and the r-th largest of n values contains the
    median of the population with probability at least

    .. math:: 1 - 2^{1-n} \sum_{i=0}^{r-1} \binom{n}{i},

    with equality for continuous distributions (Conover, "Practical nonparametric
    statistics", 3rd ed., section 3.2). The function takes the largest r for which this is
    at least ``confidence``. :func:`least_count` returns how many values that needs.
    """
    if not values:
        raise ValueError("an estimate needs at least one value")
    ordered = sorted(values)
    count = len(ordered)
    middle = count // 2
    median = ordered[middle] if count % 2 else _midpoint(ordered[middle - 1], ordered[middle])
    rank, coverage = _interval_rank(count, confidence)
    if coverage is None:
        return Estimate(median, ordered[0], ordered[-1], count, None)
    return Estimate(median, ordered[rank - 1], ordered[-rank], count, coverage)


def estimate_over(groups: Mapping[int, Sequence[float]]) -> Estimate:
    """Return the median of grouped values, such as the launches of several seeds.

    The launches of one seed share its data and its Byzantine devices, so they say nothing
    about other seeds. Each group therefore counts as one value, its median, and the interval
    is over groups. If there is only one group, its values are replicates, and the interval
    is over them.

    Parameters
    ----------
    groups : mapping of sequence of float
        Values by group, at least one.

    Returns
    -------
    Estimate
        Its ``count`` is the number of groups, or of values if there is one group.

    Notes
    -----
    The outermost level of nested data decides the variance (Davison and Hinkley, "Bootstrap
    methods and their application", section 3.8). A rank-based interval needs no resampling
    and has the stated coverage for any number of groups.
    """
    if len(groups) == 1:
        return estimate(next(iter(groups.values())))
    return estimate([estimate(values).median for values in groups.values()])


def _midpoint(low: float, high: float) -> float:
    # The sum of two large values may overflow.
    return low / 2 + high / 2


def _interval_rank(count: int, confidence: float) -> tuple[int, float | None]:
    rank, coverage = 0, None
    outside = 0
    for i in range(count // 2):
        outside += math.comb(count, i)
        inside = 1 - 2 * outside / 2**count
        if inside < confidence:
            break
        rank, coverage = i + 1, inside
    return rank, coverage


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with an interval, such as a prediction.

    Parameters
    ----------
    value, low, high : float
        The value and the ends of the interval, in one unit.
    coverage : float or None
        Stated coverage of the interval; None for a range without a stated coverage.
    """

    value: float
    low: float
    high: float
    coverage: float | None = None

    def times(self, other: Interval) -> Interval:
        """Return the product of two nonnegative values.

        The interval of the product holds if both intervals hold. By Bonferroni's inequality
        this has at least the probability 1 − (1 − p) − (1 − q). If one factor is a range
        without a coverage, so is the product.
        """
        coverage = None
        if self.coverage is not None and other.coverage is not None:
            coverage = self.coverage + other.coverage - 1
        return Interval(
            self.value * other.value, self.low * other.low, self.high * other.high, coverage
        )

    def holds(self, value: float) -> bool:
        """Return whether the interval contains a value."""
        return self.low <= value <= self.high
