"""Wall times of calls that are compared with each other."""

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
        Seconds, one for each round after warm-up; empty if the call was refused.
    refusal : str
        Message of the component that refused.
    """

    times_s: tuple[float, ...]
    refusal: str = ""

    @property
    def median_s(self) -> float:
        """Median of the times; NaN if there are none."""
        return median(self.times_s) if self.times_s else float("nan")

    @property
    def spread_s(self) -> float:
        """Longest time minus the shortest; NaN if there are none."""
        return max(self.times_s) - min(self.times_s) if self.times_s else float("nan")


def measure_times(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Timing]:
    """Time calls in turn, for ``repeats`` rounds after one for warm-up.

    Each round makes every call once. A machine that is slow for a while is therefore slow
    for all calls.
    """
    times_s: dict[str, list[float]] = {name: [] for name in calls}
    for round_number in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if round_number > 0:
                times_s[name].append(time.perf_counter() - start)
    return {name: Timing(tuple(found)) for name, found in times_s.items()}
