"""Buffer the records of iterations between two flushes of the log."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.compression import Rejection
from lad_mpi.logs import LogBlock
from lad_mpi.metrics import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lad_mpi.coding import DecodeStatus
    from lad_mpi.logs import LogWriter
    from lad_mpi.types import HostFloats, HostInts, Metric


class Recorder:
    """Collects records of iterations on the server and writes them to the log in blocks.

    Parameters
    ----------
    log : LogWriter
        The open log.
    capacity : int
        Maximum number of iterations between two flushes.
    first_iteration : int
        Iteration of the first record.
    metrics : sequence of Metric
        The metrics to record.
    uplink_bytes, downlink_bytes : int
        Traffic per iteration.
    """

    def __init__(
        self,
        log: LogWriter,
        capacity: int,
        first_iteration: int,
        metrics: Sequence[Metric],
        *,
        uplink_bytes: int,
        downlink_bytes: int,
    ) -> None:
        self._log = log
        self._traffic = {names.UPLINK_BYTES: uplink_bytes, names.DOWNLINK_BYTES: downlink_bytes}
        self._evaluated = {metric.name: np.full(capacity, math.nan) for metric in metrics}
        self._decoder_status = np.zeros(capacity, dtype=np.int64)
        self._refusals = np.zeros((capacity, len(Rejection)), dtype=np.int64)
        self._first = first_iteration
        self._rows = 0

    def add(
        self, evaluated: dict[str, float], refusals: HostInts, decoder_status: DecodeStatus
    ) -> None:
        """Record one iteration. Metrics that were not evaluated are NaN.

        Parameters
        ----------
        evaluated : dict of str to float
            Metrics by name.
        refusals : ndarray of int64, shape (reasons,)
            Number of messages per :class:`~lad_mpi.compression.Rejection`.
        decoder_status : DecodeStatus
            Outcome of the decoder.
        """
        for name, values in self._evaluated.items():
            values[self._rows] = evaluated.get(name, math.nan)
        self._refusals[self._rows] = refusals
        self._decoder_status[self._rows] = int(decoder_status)
        self._rows += 1

    def flush(self, seconds: HostFloats) -> None:
        """Write the recorded iterations.

        Parameters
        ----------
        seconds : ndarray of float64, shape (ranks, capacity, phases)
            Every rank's clock table. Rows after the recorded iterations are ignored.
        """
        rows = self._rows
        if rows == 0:
            return
        # Rejection.NONE is not a reason, so skip column 0.
        refusals = self._refusals[:rows, 1:].copy()
        self._log.append(
            LogBlock(
                first_iteration=self._first,
                metrics={
                    **{name: values[:rows] for name, values in self._evaluated.items()},
                    names.MESSAGES_REJECTED: refusals.sum(axis=1),
                    names.DECODER_STATUS: self._decoder_status[:rows],
                },
                refusals=refusals,
                seconds=seconds[:, :rows].transpose(1, 0, 2),
                traffic={
                    name: np.full(rows, value, dtype=np.int64)
                    for name, value in self._traffic.items()
                },
            )
        )
        self._first += rows
        self._rows = 0
