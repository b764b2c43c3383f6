"""Plain MPI calls and their times, to compare the suite's collectives with."""

from __future__ import annotations

import time
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.transport import SERVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.transport import Communicator
    from lad_mpi.types import HostBytes, HostFloats

_PAUSE_S = 1e-3


class Bare:
    """MPI calls on byte buffers.

    All methods are collective, except that the ``*_call`` methods only return a function,
    which is collective.

    Parameters
    ----------
    comm : Communicator
        Communicator of a link, with all ranks.
    """

    def __init__(self, comm: Communicator) -> None:
        self._comm = comm

    def wait_quietly(self) -> None:
        """Wait for all ranks. Unlike MPI's barrier, this keeps no processor busy."""
        request = self._comm.Ibarrier()
        while not request.Test():
            time.sleep(_PAUSE_S)

    def start_together(self) -> None:
        """Wait for all ranks, so that they continue at nearly the same time."""
        self._comm.Barrier()

    def ping_pong(self, partner: int, size_bytes: int, repeats: int) -> list[float]:
        """Send a message from rank 0 to a partner and back.

        Parameters
        ----------
        partner : int
            The other rank. All others wait.
        size_bytes : int
            Size of the message.
        repeats : int
            Number of timed round trips, after one for warm-up.

        Returns
        -------
        list of float
            Half of each round trip, in seconds, on rank 0; empty on other ranks.
        """
        comm, times_s = self._comm, []
        message = np.zeros(size_bytes, dtype=np.uint8)
        for repeat in range(repeats + 1):
            if comm.rank == SERVER:
                start = perf_counter()
                comm.Send(message, dest=partner)
                comm.Recv(message, source=partner)
                if repeat:
                    times_s.append((perf_counter() - start) / 2)
            elif comm.rank == partner:
                comm.Recv(message, source=SERVER)
                comm.Send(message, dest=SERVER)
        self.wait_quietly()
        return times_s

    def broadcast_call(self, buffer: HostBytes) -> Callable[[], None]:
        """Return a function that broadcasts a buffer from rank 0."""
        return lambda: self._comm.Bcast(buffer, root=SERVER)

    def gather_call(self, size_bytes: int) -> Callable[[], None]:
        """Return a function that gathers equal blocks on rank 0.

        Parameters
        ----------
        size_bytes : int
            Least number of bytes that rank 0 receives from all others together. Rank 0
            contributes a block as well.
        """
        block = -(-size_bytes // (self._comm.size - 1))
        send = np.zeros(block, dtype=np.uint8)
        root = self._comm.rank == SERVER
        receive = np.zeros((self._comm.size, block), dtype=np.uint8) if root else None
        return lambda: self._comm.Gather(send, receive, root=SERVER)

    def gatherv_call(self, counts_bytes: list[int]) -> Callable[[], None]:
        """Return a function that gathers the given number of bytes from each rank on rank 0."""
        send = np.zeros(counts_bytes[self._comm.rank], dtype=np.uint8)
        receive = None
        if self._comm.rank == SERVER:
            receive = [np.zeros(sum(counts_bytes), dtype=np.uint8), counts_bytes]
        return lambda: self._comm.Gatherv(send, receive, root=SERVER)

    def time_together(self, calls: list[Callable[[], None]], repeats: int) -> HostFloats:
        """Time collectives one after another, each after a barrier.

        Parameters
        ----------
        calls : list of callable
            Collectives, the same on all ranks.
        repeats : int
            Number of timed rounds, after one for warm-up. The order of the calls changes from
            round to round, so that no call always runs with the caches that another one
            left. It is the same on all ranks.

        Returns
        -------
        ndarray of float64, shape (calls, repeats)
            Seconds on this rank, from the end of the barrier to the end of the call. The time
            of a collective is the largest over ranks.
        """
        times_s = np.zeros((len(calls), repeats))
        order = np.random.Generator(np.random.PCG64(0))
        for repeat in range(-1, repeats):
            for number in order.permutation(len(calls)):
                call = calls[number]
                self._comm.Barrier()
                start = perf_counter()
                call()
                times_s[number, max(repeat, 0)] = perf_counter() - start
        return times_s
