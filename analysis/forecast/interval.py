"""A value and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass


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
