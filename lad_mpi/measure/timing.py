"""Wall times of calls that are held against each other."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Timing:
    """Wall times of one call, repeated.

    Parameters
    ----------
    times_s : tuple of float
        One a round, after a warm-up; empty where the call was refused.
    refusal : str
        Why, in the component's words.
    """

    times_s: tuple[float, ...]
    refusal: str = ""

    @property
    def median_s(self) -> float:
        """Median of the times; NaN without any."""
        return median(self.times_s) if self.times_s else float("nan")

    @property
    def spread_s(self) -> float:
        """Longest less shortest time; NaN without any."""
        return max(self.times_s) - min(self.times_s) if self.times_s else float("nan")


def measure_times(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Timing]:
    """Time calls in turn, ``repeats`` rounds after one for warming up."""
    times_s: dict[str, list[float]] = {name: [] for name in calls}
    for round_number in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if round_number > 0:
                times_s[name].append(time.perf_counter() - start)
    return {name: Timing(tuple(found)) for name, found in times_s.items()}
