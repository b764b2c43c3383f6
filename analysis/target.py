"""What a run has spent before each iteration, and what it takes to reach a loss."""

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
    """Return the training time before each iteration and of the run, float64, shape (T + 1,)."""
    return _before(iteration_seconds(run))


def uplink_bytes_before(run: RunLog) -> HostFloats:
    """Return the uplink traffic before each iteration and of the run, float64, shape (T + 1,)."""
    return _before(run.traffic[UPLINK_BYTES])


def _before(amounts: Any) -> HostFloats:
    total: HostFloats = np.concatenate([[0.0], np.cumsum(amounts, dtype=np.float64)])
    return total


@dataclass(frozen=True, slots=True)
class Reach:
    """What a method spent until a model was evaluated that is good enough.

    Parameters
    ----------
    loss : float
        The target.
    reached, seeds : int
        How many seeds got there, of how many.
    iterations, uplink_bytes : Estimate or None
        Spent until then, over seeds; None unless all of them got there.
    """

    loss: float
    reached: int
    seeds: int
    iterations: Estimate | None
    uplink_bytes: Estimate | None


@dataclass(frozen=True, slots=True)
class TimeToReach:
    """How long it took under the same conditions, by the runs that were made under them.

    Parameters
    ----------
    seeds : int
        Of these runs.
    iterations : Estimate
        Until the model was good enough, over seeds.
    iteration_s, seconds : Estimate
        Mean training time of these iterations, and training time of all of them, warm-up
        included; the median over the launches of a seed, then over seeds.
    """

    seeds: int
    iterations: Estimate
    iteration_s: Estimate
    seconds: Estimate


def reach(method: Method, loss: float) -> Reach:
    """Return what it took to get to a loss, or below, for the first time."""
    runs = list(method.by_seed.values())
    steps = [(run, step) for run in runs if (step := first_step(run, loss)) is not None]
    iterations = uplink_bytes = None
    if len(steps) == len(runs):
        iterations = estimate([float(step) for _, step in steps])
        uplink_bytes = estimate([float(uplink_bytes_before(run)[step]) for run, step in steps])
    return Reach(loss, len(steps), len(runs), iterations, uplink_bytes)


def time_to_reach(timing: TimedLaunches, loss: float) -> TimeToReach | None:
    """Return how long it took to get to a loss, or below, for the first time.

    Launches of one seed have the same iterations, and share all that makes seeds
    differ. So each seed counts once, with the median over its launches.

    Returns
    -------
    TimeToReach or None
        None if no run was made under these conditions from the first iteration on to
        the last, or one of those that were did not get there.
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
    """Return after how many iterations the model was first evaluated as good; None if never.

    Parameters
    ----------
    run : RunLog
        The run.
    error : float
        At or below which it is good.
    metric : str
        Of what, as of :func:`error_curve`.
    """
    # What was not evaluated is NaN, and no better than anything.
    good = np.flatnonzero(error_curve(run, metric) <= error)
    return int(good[0]) if good.size else None


def error_curve(run: RunLog, metric: str) -> HostFloats:
    """Return an error after 0, 1, …, T iterations; NaN where it was not evaluated.

    Parameters
    ----------
    run : RunLog
        The run.
    metric : {"loss", "gradient_norm", "distance_to_optimum"}
        Which error.
    """
    final = np.nan if run.final is None else run.final.metrics.get(metric, np.nan)
    curve: HostFloats = np.array([*run.metrics[metric], final])
    return curve
