"""Medians and intervals, without assumptions on a distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


#: Coverage that an interval must reach to be called a confidence interval.
CONFIDENCE = 0.95
#: What each of two intervals must reach for both to hold at once so often (Bonferroni).
EACH_OF_TWO = 1 - (1 - CONFIDENCE) / 2


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median over runs, with an interval.

    Parameters
    ----------
    median : float
        The sample's median.
    low, high : float
        Ends of the interval.
    count : int
        n, number of values.
    coverage : float or None
        Probability that the interval holds the median of the population, at least what was
        asked for; None where n is too small for that, and the interval is the least and
        the greatest value.
    """

    median: float
    low: float
    high: float
    count: int
    coverage: float | None


def least_count(confidence: float = CONFIDENCE) -> int:
    """Return how many values an interval needs at the least.

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
        Coverage that the interval must reach.

    Returns
    -------
    Estimate

    Notes
    -----
    The interval between the r-th least and the r-th greatest of n values holds the
    population's median with probability at least

    .. math:: 1 - 2^{1-n} \sum_{i=0}^{r-1} \binom{n}{i},

    with equality for continuous distributions (Conover, "Practical nonparametric
    statistics", 3rd ed., section 3.2). The greatest r that keeps it at
    ``confidence`` or above is taken; :func:`least_count` says how many values that needs.
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
    """Return the median of values that are not all independent, such as launches of seeds.

    Launches of one seed share its data and its faulty devices, so they say nothing
    about other seeds. Each group counts as one value, its median, and the interval is
    over groups. The values of a single group are independent of each other: they are
    replicates of the same thing, and the interval is over them.

    Parameters
    ----------
    groups : mapping of sequence of float
        Values by what they share, at least one.

    Returns
    -------
    Estimate
        Its ``count`` is that of groups, or of values where there is one group.

    Notes
    -----
    Davison and Hinkley, "Bootstrap methods and their application", section 3.8: of
    nested data, the outermost level decides the variance. A rank-based interval needs no
    resampling, and covers what it states for any number of groups.
    """
    if len(groups) == 1:
        return estimate(next(iter(groups.values())))
    return estimate([estimate(values).median for values in groups.values()])


def _midpoint(low: float, high: float) -> float:
    # Halves first: the sum of two large values may overflow.
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
    """A value with the ends of its interval.

    Parameters
    ----------
    value, low, high : float
        In one unit.
    coverage : float or None
        Probability that the interval is stated to hold; None for a range that states none.
    """

    value: float
    low: float
    high: float
    coverage: float | None = None

    def times(self, other: Interval) -> Interval:
        """Return the product of two values that are not negative.

        Its interval holds where both do, which has at least the probability
        1 − (1 − p) − (1 − q) by Bonferroni's inequality; a range makes the product one.
        """
        coverage = None
        if self.coverage is not None and other.coverage is not None:
            coverage = self.coverage + other.coverage - 1
        return Interval(
            self.value * other.value, self.low * other.low, self.high * other.high, coverage
        )

    def holds(self, value: float) -> bool:
        """Tell whether a value is in the interval."""
        return self.low <= value <= self.high
