"""How many iterations a method takes to an error, as its logs have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.forecast.interval import Interval

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
        Updates up to the target: median, least and greatest over seeds; None where a
        seed did not reach it.
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

    Launches of a seed have the same errors, so each seed counts once.
    """
    by_seed = {run.spec["seed"]: run for run in runs}
    counts = [iterations_to(target, run) for run in by_seed.values()]
    reached = [count for count in counts if count is not None]
    iterations = None
    if len(reached) == len(counts):
        iterations = Interval(float(np.median(reached)), float(min(reached)), float(max(reached)))
    return Progress(
        iterations=iterations,
        seeds=len(counts),
        reached=len(reached),
        within=max(run.recorded for run in by_seed.values()),
        least=float(np.median([np.nanmin(_errors(target, run)) for run in by_seed.values()])),
    )


def iterations_to(target: Target, run: RunLog) -> int | None:
    """Return the updates after which a run was first seen at or below a target, or None.

    It may have been there earlier, by up to the interval of evaluation.
    """
    found = np.flatnonzero(_errors(target, run) <= target.value)
    return int(found[0]) if found.size else None


def _errors(target: Target, run: RunLog) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the error after 0, 1, …, T updates; NaN where it was not evaluated."""
    final = np.nan if run.final is None else getattr(run.final, target.metric)
    return np.append(np.asarray(run.metrics[target.metric], dtype=np.float64), final)
