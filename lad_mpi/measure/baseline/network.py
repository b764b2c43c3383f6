"""Messages between two ranks and the two collectives of an iteration, by MPI alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.records import Quantity

if TYPE_CHECKING:
    from lad_mpi.measure.bare import Bare
    from lad_mpi.measure.baseline.effort import Effort
    from lad_mpi.transport import Link


def measure_network(link: Link, bare: Bare, effort: Effort) -> list[Quantity]:
    """Measure ``ping_pong``, ``bcast`` and ``gather``; all ranks call this together.

    Parameters
    ----------
    link : Link
        Of this rank.
    bare : Bare
        MPI's own calls.
    effort : Effort
        Sizes and repetitions.

    Returns
    -------
    list of Quantity
        In seconds; on the server, empty elsewhere. A collective takes as long as on
        the rank that it takes longest on.
    """
    found = []
    for partner in partners(link.size, effort.partners):
        for size_bytes in effort.messages_bytes:
            times_s = bare.ping_pong(partner, size_bytes, effort.repeats)
            if link.is_server:
                name = f"rank 0 – rank {partner}"
                found.append(Quantity("ping_pong", "s", tuple(times_s), size_bytes, name))
    for size_bytes in effort.messages_bytes:
        calls = [
            bare.broadcast_call(np.zeros(size_bytes, dtype=np.uint8)),
            bare.gather_call(size_bytes),
        ]
        times = link.collect(bare.time_together(calls, effort.repeats))
        if times is not None:
            for name, samples in zip(("bcast", "gather"), times.max(axis=0), strict=True):
                found.append(Quantity(name, "s", tuple(samples.tolist()), size_bytes))
    return found


def partners(size: int, most: int) -> list[int]:
    """Return at most so many ranks beside rank 0, the first and the last among them.

    Examples
    --------
    >>> partners(4, 16), partners(101, 3)
    ([1, 2, 3], [1, 50, 100])
    """
    if size - 1 <= most:
        return list(range(1, size))
    return sorted({int(rank) for rank in np.linspace(1, size - 1, most)})
