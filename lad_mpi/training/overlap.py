"""Messages gathered in slices of columns: one is worked on while the next is under way.

Nothing is trusted earlier for it. Values are seen to be finite before a rule sees
them; whether a message is sound is known when all of it is there, and where one
was used that is not, aggregation begins again. So bits are those of a gather in
one piece.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from lad_mpi.training.clock import Clock, Phase
from lad_mpi.training.server import rule_errors_named

if TYPE_CHECKING:
    from types import TracebackType

    from lad_mpi.aggregation import Arriving
    from lad_mpi.training.server import Server
    from lad_mpi.training.setup import Setup
    from lad_mpi.transport import Exchange, SlicedGather
    from lad_mpi.types import HostFloats, HostInts


def gather_in_slices(
    iteration: int, setup: Setup, exchange: Exchange, clock: Clock, server: Server | None
) -> tuple[HostFloats, HostInts, Arriving | None] | None:
    """Gather and unpack the messages, and aggregate as much as can be of what has arrived.

    It is one collective, in place of a gather in one piece.

    Parameters
    ----------
    iteration : int
        t.
    setup, exchange, clock
        The run, its planned collectives and this rank's clock.
    server : Server or None
        On rank 0.

    Returns
    -------
    vectors : ndarray, shape (N, Q)
    rejections : ndarray of int64, shape (N,)
        As by :meth:`Server.receive`. The vectors are valid until the next iteration.
    begun : Arriving or None
        Aggregation of these vectors, to be ended; None where it is still to begin.

    On other ranks than the server's, None.

    Raises
    ------
    RunFailedError
        As by :meth:`Server.receive`.
    """
    with clock(Phase.GATHER):
        gather = exchange.start_gather(setup.messages.edges(setup.slices))
        if server is None or exchange.inbox is None:
            gather.finish()
            return None
    try:
        with _Work(Phase.AGGREGATE, clock, gather):
            messages, begun = server.arriving(exchange.inbox, iteration)
        for number, columns in enumerate(setup.slices):
            with clock(Phase.GATHER):
                gather.wait(number)
            with _Work(Phase.UNPACK, clock, gather):
                messages.extend(columns)
            if messages.used_refused:
                begun = None
            if begun is not None:
                with _Work(Phase.AGGREGATE, clock, gather) as work, rule_errors_named():
                    begun.extend(columns.stop, work.poll)
        with clock(Phase.UNPACK):
            vectors, rejections = messages.finish()
            server.check_honest(rejections, iteration)
    finally:
        # Whatever went wrong, the other ranks are on their way to the next collective.
        gather.finish()
    return vectors, rejections, None if messages.used_refused else begun


class _Work:
    """Times work beside a gather: what of it was hidden, and what the gather took of its time.

    A stretch of work counts as hidden if something was still under way at its
    beginning. Between stretches MPI gets a moment to move data, which counts as gather.
    """

    def __init__(self, phase: Phase, clock: Clock, gather: SlicedGather) -> None:
        self._phase = phase
        self._clock = clock
        self._gather = gather
        self._under_way = False
        self._since = 0.0

    def __enter__(self) -> _Work:
        self._since = perf_counter()
        self._move_data()
        return self

    def poll(self) -> None:
        """End a stretch of work and begin another."""
        now = perf_counter()
        self._clock.add(self._phase, now - self._since)
        if self._under_way:
            self._clock.add(Phase.OVERLAPPED, now - self._since)
        self._since = now
        self._move_data()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.poll()

    def _move_data(self) -> None:
        self._under_way = self._gather.poll()
        now = perf_counter()
        self._clock.add(Phase.GATHER, now - self._since)
        self._since = now
