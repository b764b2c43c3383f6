"""How many iterations a method takes to an error, as its logs have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.forecast.interval import Interval
from analysis.statistics import EACH_OF_TWO, estimate
from analysis.target import error_curve, first_step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lad_mpi.logs import RunLog

#: What a target can be set for: evaluated by iteration, and of the final model.
METRICS = ("loss", "gradient_norm", "distance_to_optimum")


@dataclass(frozen=True, slots=True)
class Target:
    """An error that is to be reached.

    Parameters
    ----------
    metric : str
        One of :data:`METRICS`.
    value : float
        It is reached where the metric is at or below this.
    """

    metric: str
    value: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the runs of a method came.

    Parameters
    ----------
    iterations : Interval or None
        Updates up to the target, over seeds: median, and an interval that with that of
        another quantity makes one of ``CONFIDENCE``, or the least and the greatest where
        there are too few seeds. None where a seed did not reach it.
    seeds, reached : int
        All seeds, and those that reached it.
    within : int
        Iterations that were run.
    least : float
        The least error of all evaluations, median over seeds.
    """

    iterations: Interval | None
    seeds: int
    reached: int
    within: int
    least: float


def progress_to(target: Target, runs: Iterable[RunLog]) -> Progress:
    """Count the iterations to a target over the seeds of one method.

    Launches of a seed have the same errors, so each seed counts once. A run may have been
    at the target before it was evaluated there.
    """
    by_seed = {run.spec["seed"]: run for run in runs}
    counts = [first_step(run, target.value, target.metric) for run in by_seed.values()]
    reached = [count for count in counts if count is not None]
    iterations = None
    if len(reached) == len(counts):
        found = estimate([float(count) for count in reached], EACH_OF_TWO)
        iterations = Interval(found.median, found.low, found.high, found.coverage)
    return Progress(
        iterations=iterations,
        seeds=len(counts),
        reached=len(reached),
        within=max(run.recorded for run in by_seed.values()),
        least=float(
            np.median([np.nanmin(error_curve(run, target.metric)) for run in by_seed.values()])
        ),
    )
