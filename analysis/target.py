"""The cost of reaching a loss, and what a run has spent before each iteration."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.statistics import Estimate, estimate, estimate_over
from analysis.timing import iteration_seconds
from lad_mpi.metrics.names import LOSS, UPLINK_BYTES

if TYPE_CHECKING:
    from analysis.methods import Method, TimedLaunches
    from lad_mpi.logs import RunLog
    from lad_mpi.types import HostFloats


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
class Reach:
    """What a method spent until an evaluated model reached the target.

    Parameters
    ----------
    loss : float
        The target.
    reached, seeds : int
        Number of seeds that reached it, and of all seeds.
    iterations, uplink_bytes : Estimate or None
        Iterations and bytes until then, over seeds; None unless all seeds reached it.
    """

    loss: float
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


def reach(method: Method, loss: float) -> Reach:
    """Return what it took to reach a loss for the first time."""
    runs = list(method.by_seed.values())
    steps = [(run, step) for run in runs if (step := first_step(run, loss)) is not None]
    iterations = uplink_bytes = None
    if len(steps) == len(runs):
        iterations = estimate([float(step) for _, step in steps])
        uplink_bytes = estimate([float(uplink_bytes_before(run)[step]) for run, step in steps])
    return Reach(loss, len(steps), len(runs), iterations, uplink_bytes)


def time_to_reach(timing: TimedLaunches, loss: float) -> TimeToReach | None:
    """Return the time to reach a loss for the first time.

    Launches of one seed have the same errors. Each seed therefore counts once, with the
    median over its launches.

    Returns
    -------
    TimeToReach or None
        None if no run had these conditions from the first iteration to the last, or if one
        of these runs did not reach the loss.
    """
    steps: dict[int, int] = {}
    seconds: dict[int, list[float]] = defaultdict(list)
    for run in timing.whole_runs:
        step = first_step(run, loss)
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


def first_step(run: RunLog, error: float, metric: str = LOSS) -> int | None:
    """Return the number of iterations after which an error was first reached; None if never.

    Parameters
    ----------
    run : RunLog
        The run.
    error : float
        The error is reached if the metric is at or below this value.
    metric : str
        The metric, as in :func:`error_curve`.
    """
    # Iterations without an evaluation are NaN, which compares as False.
    good = np.flatnonzero(error_curve(run, metric) <= error)
    return int(good[0]) if good.size else None


def error_curve(run: RunLog, metric: str) -> HostFloats:
    """Return an error after 0, 1, …, T iterations; NaN if it was not evaluated.

    Parameters
    ----------
    run : RunLog
        The run.
    metric : {"loss", "gradient_norm", "distance_to_optimum"}
        The error.
    """
    final = np.nan if run.final is None else run.final.metrics.get(metric, np.nan)
    curve: HostFloats = np.array([*run.metrics[metric], final])
    return curve
