"""Records of the last iterations, on their way to the log."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.logs import LogBlock

if TYPE_CHECKING:
    from lad_mpi.logs import LogWriter
    from lad_mpi.types import HostFloats

EVALUATED = (
    "loss",
    "gradient_norm",
    "distance_to_optimum",
    "aggregation_error",
    "beta_squared",
    "honest_dispersion",
    "honest_dispersion_predicted",
)
COUNTED = ("messages_rejected", "decoder_status")


class Recorder:
    """Collects what the server sees and hands it to the log block by block.

    Parameters
    ----------
    log : LogWriter
        The open log.
    capacity : int
        Most iterations between two flushes.
    uplink_bytes, downlink_bytes : int
        Traffic of an iteration.
    """

    def __init__(
        self, log: LogWriter, capacity: int, *, uplink_bytes: int, downlink_bytes: int
    ) -> None:
        self._log = log
        self._traffic = {"uplink_bytes": uplink_bytes, "downlink_bytes": downlink_bytes}
        self._evaluated = {name: np.full(capacity, math.nan) for name in EVALUATED}
        self._counted = {name: np.zeros(capacity, dtype=np.int64) for name in COUNTED}
        self._first = 0
        self._rows = 0

    def add(self, evaluated: dict[str, float], counted: dict[str, int]) -> None:
        """Record one iteration; what was not evaluated is NaN."""
        for name, values in self._evaluated.items():
            values[self._rows] = evaluated.get(name, math.nan)
        for name, counts in self._counted.items():
            counts[self._rows] = counted[name]
        self._rows += 1

    def flush(self, seconds: HostFloats) -> None:
        """Write the recorded iterations.

        Parameters
        ----------
        seconds : ndarray of float64, shape (ranks, capacity, phases)
            Every rank's clock table; rows beyond the recorded ones are ignored.
        """
        rows = self._rows
        if rows == 0:
            return
        columns = {**self._evaluated, **self._counted}
        self._log.append(
            LogBlock(
                first_iteration=self._first,
                metrics={name: values[:rows] for name, values in columns.items()},
                seconds=np.ascontiguousarray(seconds[:, :rows].transpose(1, 0, 2)),
                traffic={
                    name: np.full(rows, value, dtype=np.int64)
                    for name, value in self._traffic.items()
                },
            )
        )
        self._first += rows
        self._rows = 0
