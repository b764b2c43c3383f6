"""The cost of reaching a target, and what a run has spent before each iteration."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.metrics import find_metric, metric_curve, title_of
from analysis.statistics import Estimate, estimate, estimate_over
from analysis.timing import iteration_seconds
from lad_mpi.errors import UsageError
from lad_mpi.metrics.names import LOSS, UPLINK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analysis.methods import Method, TimedLaunches
    from lad_mpi.logs import RunLog
    from lad_mpi.types import HostFloats, Metric


def iterations_before(run: RunLog) -> HostFloats:
    """Return 0, 1, …, T, float64, shape (T + 1,)."""
    return np.arange(len(run.iteration) + 1, dtype=np.float64)


def seconds_before(run: RunLog) -> HostFloats:
    """Return the training time before each iteration and at the end, float64, shape (T + 1,)."""
    return _before(iteration_seconds(run))


def uplink_bytes_before(run: RunLog) -> HostFloats:
    """Return the uplink traffic before each iteration and at the end, float64, shape (T + 1,)."""
    return _before(run.traffic[UPLINK_BYTES])


def _before(amounts: Any) -> HostFloats:
    total: HostFloats = np.concatenate([[0.0], np.cumsum(amounts, dtype=np.float64)])
    return total


@dataclass(frozen=True, slots=True)
class Target:
    """A value of a metric to reach.

    Parameters
    ----------
    metric : Metric
        A metric with a better direction.
    value : float
        The target is reached if the metric is at this value or better.
    """

    metric: Metric
    value: float

    def __str__(self) -> str:
        """Return for example ``test accuracy ≥ 0.9``."""
        sign = "≥" if self.metric.better == "higher" else "≤"
        return f"{title_of(self.metric)} {sign} {self.value:g}"


def find_target(text: str, runs: Iterable[RunLog]) -> Target:
    """Parse a target such as ``test_accuracy=0.9``. A number alone is a loss.

    Parameters
    ----------
    text : str
        ``METRIC=VALUE`` or ``VALUE``.
    runs : iterable of RunLog
        The logs, which say in which direction the metric is better.

    Raises
    ------
    UsageError
        The value is not a finite number, no log has the metric, or neither direction is
        better.
    """
    name, _, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(
            f"--target {text}: expected a finite number",
            hint="write METRIC=VALUE, such as test_accuracy=0.9, or a loss alone",
        )
    metric = find_metric(name.strip() or LOSS, runs)
    if not metric.better:
        raise UsageError(f"--target {text}: neither direction of {metric.name!r} is better")
    return Target(metric, value)


@dataclass(frozen=True, slots=True)
class Reach:
    """What a method spent until an evaluated model reached the target.

    Parameters
    ----------
    target : Target
        The target.
    reached, seeds : int
        Number of seeds that reached it, and of all seeds.
    iterations, uplink_bytes : Estimate or None
        Iterations and bytes until then, over seeds; None unless all seeds reached it.
    """

    target: Target
    reached: int
    seeds: int
    iterations: Estimate | None
    uplink_bytes: Estimate | None


@dataclass(frozen=True, slots=True)
class TimeToReach:
    """The time to the target of runs that were timed under the same conditions.

    Parameters
    ----------
    seeds : int
        Number of seeds of these runs.
    iterations : Estimate
        Iterations to the target, over seeds.
    iteration_s, seconds : Estimate
        Mean training time of these iterations, and their total, including warm-up; medians
        over the launches of a seed, then over seeds.
    """

    seeds: int
    iterations: Estimate
    iteration_s: Estimate
    seconds: Estimate


def reach(method: Method, target: Target) -> Reach:
    """Return what it took to reach a target for the first time, in runs with the metric."""
    runs = [run for run in method.by_seed.values() if target.metric.name in run.metrics]
    steps = [(run, step) for run in runs if (step := first_step(run, target)) is not None]
    iterations = uplink_bytes = None
    if runs and len(steps) == len(runs):
        iterations = estimate([float(step) for _, step in steps])
        uplink_bytes = estimate([float(uplink_bytes_before(run)[step]) for run, step in steps])
    return Reach(target, len(steps), len(runs), iterations, uplink_bytes)


def time_to_reach(timing: TimedLaunches, target: Target) -> TimeToReach | None:
    """Return the time to reach a target for the first time.

    Launches of one seed have the same errors. Each seed therefore counts once, with the
    median over its launches.

    Returns
    -------
    TimeToReach or None
        None if no run had these conditions from the first iteration to the last, or if one
        of these runs did not reach the target.
    """
    steps: dict[int, int] = {}
    seconds: dict[int, list[float]] = defaultdict(list)
    for run in timing.whole_runs:
        step = first_step(run, target)
        if step is None:
            return None
        seed = run.spec["seed"]
        steps[seed] = step
        seconds[seed].append(float(seconds_before(run)[step]))
    if not steps:
        return None
    each = {
        seed: [spent / max(1, steps[seed]) for spent in found] for seed, found in seconds.items()
    }
    return TimeToReach(
        seeds=len(steps),
        iterations=estimate([float(step) for step in steps.values()]),
        iteration_s=estimate_over(each),
        seconds=estimate_over(seconds),
    )


def first_step(run: RunLog, target: Target) -> int | None:
    """Return the number of iterations after which a target was first reached; None if never.

    Only evaluated iterations count, so the target may have been reached some iterations
    earlier.
    """
    curve = metric_curve(run, target.metric.name)
    # Iterations without an evaluation are NaN, which compares as False.
    is_higher_better = target.metric.better == "higher"
    good = np.flatnonzero(curve >= target.value if is_higher_better else curve <= target.value)
    return int(good[0]) if good.size else None
