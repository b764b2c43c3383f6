"""Gather messages in slices of columns, and work on one slice while the next arrives.

Validation is the same as for a gather in one piece. A rule only receives finite values.
The checksum of a message is known once the message is complete. If a rule has used columns
of a message that is then refused, aggregation starts again. So the bits of the result are
those of a gather in one piece.
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
    """Gather and unpack the messages, and aggregate them as they arrive.

    It is one collective and replaces the gather in one piece.

    Parameters
    ----------
    iteration : int
        Iteration t.
    setup, exchange, clock
        The run, its planned collectives and this rank's clock.
    server : Server or None
        The server on rank 0; None on other ranks.

    Returns
    -------
    vectors : ndarray, shape (N, Q)
    rejections : ndarray of int64, shape (N,)
        As from :meth:`Server.receive`. The vectors are valid until the next iteration.
    begun : Arriving or None
        The aggregation of these vectors, to be finished; None if it must start again.

    On all ranks but the server, it returns None.

    Raises
    ------
    RunFailedError
        See :meth:`Server.receive`.
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
        # Also after an error, because the other ranks complete this collective.
        gather.finish()
    return vectors, rejections, None if messages.used_refused else begun


class _Work:
    """Times work during a gather, and how much of the work overlaps with the gather.

    An interval of work counts as overlapped if data were still arriving at its start. Between
    intervals MPI moves data, which counts as gather.
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
        """End an interval of work and start the next."""
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
