"""Servers that share the columns of messages, as threads of one process."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from lad_mpi.columns import SharedColumns, server_ranges, shared_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.types import HostFloats

    Result = TypeVar("Result")

_TIMEOUT_S = 60.0


class ThreadServers:
    """What servers exchange, as one of them sees it; see :class:`lad_mpi.columns.Servers`."""

    def __init__(self, number: int, slots: list[HostFloats | None], meet: threading.Barrier):
        self._number = number
        self._slots = slots
        self._meet = meet

    def exchange(self, own: HostFloats) -> list[HostFloats]:
        """Return every server's array."""
        self._slots[self._number] = own
        self._meet.wait()
        found = [slot for slot in self._slots if slot is not None]
        self._meet.wait()
        return found


def on_servers(
    num_columns: int, num_servers: int, work: Callable[[slice], Result], unit: int = 1
) -> list[Result]:
    """Run the same work on several servers that share columns.

    Parameters
    ----------
    num_columns, num_servers : int
        Q and S. Messages must be long enough to be shared by S servers.
    work : callable
        Gets the columns of a server.
    unit : int
        Columns are cut only at multiples of it.

    Returns
    -------
    list
        The results, in the order of the servers.
    """
    ranges = server_ranges(num_columns, num_servers, unit)
    slots: list[HostFloats | None] = [None] * num_servers
    meet = threading.Barrier(num_servers, timeout=_TIMEOUT_S)

    def serve(number: int) -> Result:
        servers = ThreadServers(number, slots, meet)
        columns = ranges[number]
        try:
            with shared_columns(SharedColumns(columns, num_columns, servers)):
                return work(columns)
        except BaseException:
            meet.abort()
            raise

    with ThreadPoolExecutor(num_servers) as threads:
        return list(threads.map(serve, range(num_servers)))
