"""Measure the phases of an iteration with a monotonic clock."""

from __future__ import annotations

from enum import IntEnum
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from lad_mpi.types import HostFloats


class Phase(IntEnum):
    """A phase of an iteration; the number is its index on the log's phase axis."""

    BROADCAST = 0
    COMPUTE = 1
    ENCODE = 2
    ATTACK = 3
    PACK = 4
    GATHER = 5
    UNPACK = 6
    SIMULATE = 7
    AGGREGATE = 8
    UPDATE = 9
    EVALUATE = 10


#: Names of the phases, in the order of the log.
PHASE_NAMES = [phase.name.lower() for phase in Phase]

#: Phases that count as training time. Attacks and evaluation exist only in an experiment.
TRAINING_PHASES = [
    phase.name.lower()
    for phase in Phase
    if phase not in {Phase.ATTACK, Phase.SIMULATE, Phase.EVALUATE}
]

_DEVICE_PHASES = (Phase.COMPUTE, Phase.ENCODE, Phase.ATTACK, Phase.PACK)
_SERVER_PHASES = (
    Phase.UNPACK,
    Phase.SIMULATE,
    Phase.AGGREGATE,
    Phase.UPDATE,
    Phase.EVALUATE,
)


class Clock:
    """Seconds of one rank, by iteration and phase.

    ``with clock(Phase.COMPUTE): …`` adds to the current iteration. Times of the same phase
    in one iteration add up.

    Parameters
    ----------
    capacity : int
        Maximum number of iterations between two flushes.
    serves, hosts_devices : bool
        Role of the rank. Phases that it never enters are NaN.
    synchronize : callable
        Waits for the GPU; called at the start and end of every phase.

    Attributes
    ----------
    table : ndarray of float64, shape (capacity, phases)
        Seconds of the iterations since the last flush.
    """

    def __init__(
        self,
        capacity: int,
        *,
        serves: bool,
        hosts_devices: bool,
        synchronize: Callable[[], None],
    ) -> None:
        self._empty = np.zeros(len(Phase))
        if not serves:
            self._empty[list(_SERVER_PHASES)] = np.nan
        if not hosts_devices:
            self._empty[list(_DEVICE_PHASES)] = np.nan
        self.table: HostFloats = np.tile(self._empty, (capacity, 1))
        self._row: list[float] = self._empty.tolist()
        self._spans = [_Span(self._row, phase, synchronize) for phase in Phase]

    def __call__(self, phase: Phase) -> _Span:
        """Return a context manager that times a phase."""
        return self._spans[phase]

    def commit(self, slot: int) -> None:
        """Store the current iteration in row ``slot`` of ``table`` and start the next one."""
        self.table[slot] = self._row
        self._row[:] = self._empty.tolist()


class _Span:
    __slots__ = ("_phase", "_row", "_start", "_synchronize")

    def __init__(self, row: list[float], phase: Phase, synchronize: Callable[[], None]) -> None:
        self._row = row
        self._phase = int(phase)
        self._synchronize = synchronize
        self._start = 0.0

    def __enter__(self) -> None:
        self._synchronize()
        self._start = perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._synchronize()
        self._row[self._phase] += perf_counter() - self._start
