"""The suite's broadcast and gather, compared with plain MPI calls of as many bytes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.columns import server_ranges
from lad_mpi.compression import NoCompression
from lad_mpi.errors import UsageError
from lad_mpi.measure.bare import Bare
from lad_mpi.measure.timing import Timing
from lad_mpi.training.iteration import plan_exchange
from lad_mpi.types import broadcast_bytes
from lad_mpi.wire import MessageFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lad_mpi.transport import Layout, Link

_ITEM_BYTES = 8
_NAMES = ("suite_bcast", "bare_bcast", "suite_gather", "bare_gatherv", "bare_gather")


@dataclass(frozen=True, slots=True)
class CollectiveBench:
    """Times of both collectives at one dimension.

    Parameters
    ----------
    dimension : int
        Q; messages are uncompressed float64.
    downlink_bytes, uplink_bytes : int
        Sizes of the broadcast, and of all messages together.
    times : dict of Timing
        ``suite_bcast``, ``bare_bcast``, ``suite_gather``, ``bare_gatherv`` (the same number
        of bytes from each rank) and ``bare_gather`` (equal blocks from all ranks, including
        rank 0, with at least as many bytes from the others).
    """

    dimension: int
    downlink_bytes: int
    uplink_bytes: int
    times: dict[str, Timing]

    def ratio(self, suite: str, bare: str) -> float:
        """Return the median of the suite over that of plain MPI."""
        return self.times[suite].median_s / self.times[bare].median_s


def bench_collectives(
    link: Link, layout: Layout, dimensions: Sequence[int], repeats: int
) -> list[CollectiveBench]:
    """Time the broadcast and the gather of a run, and plain MPI calls. This is collective.

    Parameters
    ----------
    link : Link
        Link of this rank; there are at least two ranks.
    layout : Layout
        N, and the numbers of ranks and of servers. Plain MPI has one root.
    dimensions : sequence of int
        Values of Q.
    repeats : int
        Number of timed rounds, after one for warm-up. A round calls each collective once.

    Returns
    -------
    list of CollectiveBench
        One for each dimension on the server, empty on other ranks. The time of a collective
        is the largest over ranks.

    Raises
    ------
    UsageError
        There is only one rank.
    """
    if link.communicator is None:
        raise UsageError(
            "there is only one rank, and collectives need two or more",
            hint="mpirun -n 3 lad-mpi bench collectives",
        )
    bare = Bare(link.communicator)
    benches = [_bench(link, layout, bare, dimension, repeats) for dimension in dimensions]
    return [bench for bench in benches if bench is not None]


def _bench(
    link: Link, layout: Layout, bare: Bare, dimension: int, repeats: int
) -> CollectiveBench | None:
    """Time the collectives at one dimension; return None on ranks without the server."""
    ranges = {
        number: part
        for number, part in enumerate(server_ranges(dimension, layout.num_servers))
        if part.start < part.stop
    }
    messages = MessageFormat(NoCompression(), dimension, np.dtype(np.float64), ranges=ranges)
    own = [number for number in layout.servers_of(link.rank) if number in ranges]
    exchange = plan_exchange(
        link,
        layout,
        messages,
        messages.only(own) if own else None,
        dimension,
        lambda shape: np.zeros(shape, dtype=np.uint8),
    )
    downlink_bytes = broadcast_bytes(dimension, _ITEM_BYTES)
    slot_bytes = messages.message_bytes

    def broadcast() -> None:
        exchange.announce()
        exchange.spread()

    with contextlib.closing(exchange):
        calls = [
            broadcast,
            bare.broadcast_call(np.zeros(downlink_bytes, dtype=np.uint8)),
            exchange.gather,
            bare.gatherv_call((layout.counts * slot_bytes).tolist()),
            bare.gather_call(layout.num_devices * slot_bytes),
        ]
        table = link.collect(bare.time_together(calls, repeats))
    if table is None:
        return None
    times = {
        name: Timing(tuple(samples.tolist()))
        for name, samples in zip(_NAMES, table.max(axis=0), strict=True)
    }
    return CollectiveBench(dimension, downlink_bytes, layout.num_devices * slot_bytes, times)
