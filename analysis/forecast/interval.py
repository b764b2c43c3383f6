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
    """

    value: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Tell whether a value is in the interval."""
        return self.low <= value <= self.high
