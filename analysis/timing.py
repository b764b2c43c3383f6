"""Parallel times from every rank's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from lad_mpi.logs import RunLog
    from lad_mpi.types import HostFloats

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


def phase_seconds(run: RunLog) -> dict[str, float]:
    """Split the training time of an iteration into phases.

    A phase that is work takes as long as on its slowest rank. Collectives, in
    which all ranks take part, are mostly waiting for others at work, so they are
    not counted as such: what the work leaves of the iteration is
    ``communication``, waiting for uneven ranks included.

    Returns
    -------
    dict of float
        Medians over iterations after warm-up, in seconds. They add up to that of
        :func:`iteration_seconds` unless the work alone exceeds it.
    """
    seconds = after_warmup(run, run.seconds)
    total = float(np.median(after_warmup(run, iteration_seconds(run))))
    present = np.asarray(np.isfinite(seconds).any(axis=0))
    work: dict[str, float] = {}
    for phase in run.training_phases:
        column = run.phases.index(phase)
        if _is_collective(run, present[:, column]):
            continue
        taking_part = seconds[:, present[:, column], column]
        if taking_part.size:
            slowest = np.fmax.reduce(taking_part, axis=1)
            work[phase] = float(np.median(np.nan_to_num(slowest)))
    return {**work, COMMUNICATION: max(0.0, total - sum(work.values()))}


def after_warmup(run: RunLog, rows: HostFloats) -> HostFloats:
    """Leave out the warm-up, unless there is nothing else."""
    warm: HostFloats = rows[run.is_warm()]
    return warm if len(warm) else rows


def _is_collective(run: RunLog, present: npt.NDArray[np.bool_]) -> bool:
    return run.ranks > 1 and bool(present.all())
