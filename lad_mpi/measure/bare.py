"""MPI's own calls, timed as they are: what the suite's collectives are held against."""

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
    """MPI's calls on plain byte buffers.

    Every method is called by all ranks together.

    Parameters
    ----------
    comm : Communicator
        That of a link, of all ranks.
    """

    def __init__(self, comm: Communicator) -> None:
        self._comm = comm

    def wait_quietly(self) -> None:
        """Wait for all ranks without keeping a processor busy, as MPI's own barrier would."""
        request = self._comm.Ibarrier()
        while not request.Test():
            time.sleep(_PAUSE_S)

    def start_together(self) -> None:
        """Wait for all ranks, to go on at nearly the same moment."""
        self._comm.Barrier()

    def ping_pong(self, partner: int, size_bytes: int, repeats: int) -> list[float]:
        """Send a message from rank 0 to a partner and back.

        Parameters
        ----------
        partner : int
            The other rank; all others wait quietly.
        size_bytes : int
            Of the message.
        repeats : int
            Timed round trips, after one that is not timed.

        Returns
        -------
        list of float
            Half of each round trip, in seconds, on rank 0; empty elsewhere.
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
        """Return the call that broadcasts a buffer from rank 0."""
        return lambda: self._comm.Bcast(buffer, root=SERVER)

    def gather_call(self, size_bytes: int) -> Callable[[], None]:
        """Return the call that collects equal blocks on rank 0.

        Parameters
        ----------
        size_bytes : int
            What reaches rank 0 from the others together, at least; rank 0
            contributes a block as well.
        """
        block = -(-size_bytes // (self._comm.size - 1))
        send = np.zeros(block, dtype=np.uint8)
        root = self._comm.rank == SERVER
        receive = np.zeros((self._comm.size, block), dtype=np.uint8) if root else None
        return lambda: self._comm.Gather(send, receive, root=SERVER)

    def gatherv_call(self, counts_bytes: list[int]) -> Callable[[], None]:
        """Return the call that collects so many bytes of each rank on rank 0."""
        send = np.zeros(counts_bytes[self._comm.rank], dtype=np.uint8)
        receive = None
        if self._comm.rank == SERVER:
            receive = [np.zeros(sum(counts_bytes), dtype=np.uint8), counts_bytes]
        return lambda: self._comm.Gatherv(send, receive, root=SERVER)

    def time_together(self, calls: list[Callable[[], None]], repeats: int) -> HostFloats:
        """Time collectives in turn, each after a barrier.

        Parameters
        ----------
        calls : list of callable
            Collectives, the same on all ranks.
        repeats : int
            Rounds, after one that is not timed. Each has an order of its own, the same
            on all ranks: what a call leaves in the caches falls to all others alike.

        Returns
        -------
        ndarray of float64, shape (calls, repeats)
            Seconds of this rank, from leaving the barrier to leaving the call. Of
            a collective counts the greatest over ranks.
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
