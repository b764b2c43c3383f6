"""What it takes to reach a loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.spent import iterations_before, seconds_before, uplink_bytes_before
from analysis.statistics import Estimate, estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lad_mpi.logs import RunLog
    from lad_mpi.types import HostFloats


@dataclass(frozen=True, slots=True)
class Reach:
    """What the runs of a method spent until a model was evaluated that is good enough.

    Parameters
    ----------
    loss : float
        The target.
    reached, launches : int
        How many runs got there, of how many.
    iterations, seconds, uplink_bytes : Estimate or None
        Spent until then, over launches; None unless all of them got there. Seconds
        are training time from the first iteration on, warm-up included.
    """

    loss: float
    reached: int
    launches: int
    iterations: Estimate | None
    seconds: Estimate | None
    uplink_bytes: Estimate | None


def reach(runs: Sequence[RunLog], loss: float) -> Reach:
    """Return what it took to get to a loss, or below, for the first time."""
    steps = [step for run in runs if (step := first_step(run, loss)) is not None]
    found: list[Estimate | None] = [None] * 3
    if len(steps) == len(runs):
        pairs = list(zip(runs, steps, strict=True))
        spent = (iterations_before, seconds_before, uplink_bytes_before)
        found = [estimate([float(before(run)[step]) for run, step in pairs]) for before in spent]
    return Reach(loss, len(steps), len(runs), *found)


def first_step(run: RunLog, error: float, metric: str = "loss") -> int | None:
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
