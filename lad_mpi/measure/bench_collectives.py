"""The suite's two collectives beside MPI's own of the same bytes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.errors import UsageError
from lad_mpi.measure.bare import Bare
from lad_mpi.measure.timing import Timing
from lad_mpi.transport import Layout
from lad_mpi.types import broadcast_bytes
from lad_mpi.wire import HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lad_mpi.transport import Link

_ITEM_BYTES = 8
_NAMES = ("suite_bcast", "bare_bcast", "suite_gather", "bare_gatherv", "bare_gather")


@dataclass(frozen=True, slots=True)
class CollectiveBench:
    """Both collectives for one dimension.

    Parameters
    ----------
    dimension : int
        Q; messages are uncompressed float64.
    downlink_bytes, uplink_bytes : int
        Of the broadcast, and of all messages together.
    times : dict of Timing
        ``suite_bcast``, ``bare_bcast``, ``suite_gather``, ``bare_gatherv`` (the same
        bytes of the same ranks) and ``bare_gather`` (equal blocks of all ranks, rank 0
        among them, at least as many bytes from the others).
    """

    dimension: int
    downlink_bytes: int
    uplink_bytes: int
    times: dict[str, Timing]

    def ratio(self, suite: str, bare: str) -> float:
        """Return the suite's median over the bare one's."""
        return self.times[suite].median_s / self.times[bare].median_s


def bench_collectives(
    link: Link, num_devices: int, dimensions: Sequence[int], repeats: int
) -> list[CollectiveBench]:
    """Time broadcast and gather of a run and of MPI alone, in turn; on all ranks together.

    Parameters
    ----------
    link : Link
        Of this rank, of a world of at least two.
    num_devices : int
        N.
    dimensions : sequence of int
        Q.
    repeats : int
        Rounds, in each of which everything is called once, after one for warming up.

    Returns
    -------
    list of CollectiveBench
        One a dimension on the server, empty elsewhere. A collective takes as long as on
        the rank that it takes longest on.

    Raises
    ------
    UsageError
        There is one rank only, or there are more ranks than devices allow.
    """
    if link.communicator is None:
        raise UsageError(
            "one rank has nobody to send to", hint="mpirun -n 3 lad-mpi bench collectives"
        )
    bare, layout = Bare(link.communicator), Layout(num_devices, link.size)
    found = []
    for dimension in dimensions:
        slot_bytes = HEADER_BYTES + _ITEM_BYTES * dimension
        downlink_bytes = broadcast_bytes(dimension, _ITEM_BYTES)
        exchange = link.plan(
            layout, slot_bytes, downlink_bytes, lambda shape: np.zeros(shape, dtype=np.uint8)
        )
        with contextlib.closing(exchange):
            calls = [
                exchange.broadcast,
                bare.broadcast_call(np.zeros(downlink_bytes, dtype=np.uint8)),
                exchange.gather,
                bare.gatherv_call((layout.counts * slot_bytes).tolist()),
                bare.gather_call(num_devices * slot_bytes),
            ]
            table = link.collect(bare.time_together(calls, repeats))
        if table is not None:
            times = dict(zip(_NAMES, table.max(axis=0), strict=True))
            found.append(
                CollectiveBench(
                    dimension,
                    downlink_bytes,
                    num_devices * slot_bytes,
                    {name: Timing(tuple(samples.tolist())) for name, samples in times.items()},
                )
            )
    return found
