"""Parallel times from every rank's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from lad_mpi.logs import Launch, RunLog
    from lad_mpi.types import HostBools, HostFloats

#: What is left of an iteration when the work of all phases is taken out of it.
COMMUNICATION = "communication"


def iteration_seconds(run: RunLog) -> HostFloats:
    """Return the training time of every iteration, warm-up included.

    See :meth:`lad_mpi.logs.RunLog.training_seconds`.

    Returns
    -------
    ndarray of float64, shape (T,)
        In seconds.
    """
    return run.training_seconds()


def split_iterations(run: RunLog, launch: Launch | None = None) -> dict[str, HostFloats]:
    """Split the training time of every iteration after warm-up into phases.

    A phase that is work takes as long as on its slowest rank. Collectives, in
    which all ranks take part, are mostly waiting for others at work, so they are
    not counted as such: what the work leaves of the iteration is
    ``communication``, waiting for uneven ranks included.

    Parameters
    ----------
    run : RunLog
        The run.
    launch : Launch, optional
        A launch of it, whose iterations are taken; all of the run if left out.

    Returns
    -------
    dict of ndarray of float64, shape (n,)
        In seconds. They add up to :func:`iteration_seconds`, unless the work alone
        exceeds it.
    """
    counted = counted_iterations(run, launch)
    ranks = run.ranks if launch is None else launch.ranks
    seconds = run.seconds[counted, :ranks]
    present = np.asarray(np.isfinite(seconds).any(axis=0))
    parts: dict[str, HostFloats] = {}
    for phase in run.training_phases:
        column = run.phases.index(phase)
        taking_part = seconds[:, present[:, column], column]
        if taking_part.size and not _is_collective(present[:, column]):
            parts[phase] = np.nan_to_num(np.fmax.reduce(taking_part, axis=1))
    total = iteration_seconds(run)[counted]
    work = np.sum(list(parts.values()), axis=0) if parts else 0.0
    return {**parts, COMMUNICATION: np.maximum(total - work, 0.0)}


def phase_seconds(
    run: RunLog,
    launch: Launch | None = None,
    statistic: Callable[[HostFloats], np.floating] = np.median,
) -> dict[str, float]:
    """Return a statistic over iterations of each part of :func:`split_iterations`.

    Parameters
    ----------
    run, launch
        As there.
    statistic : callable
        Of an array. Means add up to the mean iteration, medians to nothing.

    Returns
    -------
    dict of float
        In seconds.
    """
    return {phase: float(statistic(part)) for phase, part in split_iterations(run, launch).items()}


def counted_iterations(run: RunLog, launch: Launch | None = None) -> HostBools:
    """Tell which iterations times are taken from: those after warm-up, or all if there are none.

    Parameters
    ----------
    run, launch
        As for :func:`split_iterations`.

    Returns
    -------
    ndarray of bool, shape (T,)
    """
    own = np.ones(len(run.iteration), dtype=bool)
    if launch is not None:
        own[: launch.first] = False
        own[launch.stop :] = False
    warm: HostBools = own & run.is_warm()
    return warm if warm.any() else own


def after_warmup(run: RunLog, rows: HostFloats) -> HostFloats:
    """Leave out the warm-up, unless there is nothing else."""
    return rows[counted_iterations(run)]


def _is_collective(present: npt.NDArray[np.bool_]) -> bool:
    """Tell from the ranks that take part in a phase whether it is a collective."""
    return len(present) > 1 and bool(present.all())
