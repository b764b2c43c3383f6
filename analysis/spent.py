"""What a run has spent before each iteration, and in all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.timing import iteration_seconds

if TYPE_CHECKING:
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
    return _before(run.traffic["uplink_bytes"])


def _before(amounts: Any) -> HostFloats:
    total: HostFloats = np.concatenate([[0.0], np.cumsum(amounts, dtype=np.float64)])
    return total
