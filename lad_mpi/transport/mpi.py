"""MPI: the only module that imports mpi4py. Importing it initialises MPI."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from mpi4py import MPI

from lad_mpi.transport.base import SERVER, Layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.types import HostBytes, HostFloats


class MpiExchange:
    """One Bcast and one Gatherv over buffers that live as long as the run.

    Slots are counted by a datatype of their own, so that counts stay small
    however large a message is.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        layout: Layout,
        slot_bytes: int,
        downlink: HostBytes,
        allocate: Callable[[tuple[int, ...]], HostBytes],
    ) -> None:
        self._comm = comm
        _, own = layout.block(comm.rank)
        self.downlink = downlink
        self.uplink = allocate((own, slot_bytes))
        self.inbox: HostBytes | None = None
        self._slot = MPI.BYTE.Create_contiguous(slot_bytes).Commit()
        self._receive = None
        if comm.rank == SERVER:
            self.inbox = allocate((layout.num_devices, slot_bytes))
            counts = layout.counts
            first = np.concatenate([[0], np.cumsum(counts)[:-1]])
            self._receive = [self.inbox, (counts.tolist(), first.tolist()), self._slot]
        self._send = [self.uplink, own, self._slot]

    def broadcast(self) -> None:
        """Send ``downlink`` from the server to all ranks."""
        self._comm.Bcast(self.downlink, root=SERVER)

    def gather(self) -> None:
        """Collect all ``uplink`` in the server's ``inbox``."""
        self._comm.Gatherv(self._send, self._receive, root=SERVER)

    def close(self) -> None:
        """Free the slot type."""
        self._slot.Free()


class MpiLink:
    """The link of a rank in a world of several.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        A communicator of at least two ranks; it is duplicated, so that the
        suite's collectives cannot meet those of others.
    """

    def __init__(self, comm: MPI.Intracomm) -> None:
        self._comm = comm.Dup()
        self.rank = self._comm.rank
        self.size = self._comm.size
        self.library = library_version()
        self.is_server = self.rank == SERVER
        self.hosts_devices = not self.is_server

    def plan(
        self,
        layout: Layout,
        slot_bytes: int,
        downlink_bytes: int,
        allocate: Callable[[tuple[int, ...]], HostBytes],
    ) -> MpiExchange:
        """Allocate the buffers of a run and plan its collectives."""
        return MpiExchange(self._comm, layout, slot_bytes, allocate((downlink_bytes,)), allocate)

    def share(self, text: str) -> str:
        """Return the server's text on every rank."""
        encoded = np.frombuffer(text.encode(), dtype=np.uint8).copy()
        length = np.array([encoded.size], dtype=np.int64)
        self._comm.Bcast(length, root=SERVER)
        data = encoded if self.is_server else np.empty(int(length[0]), dtype=np.uint8)
        self._comm.Bcast(data, root=SERVER)
        return data.tobytes().decode()

    def gather_texts(self, text: str) -> list[str]:
        """Return every rank's text on every rank."""
        data = np.frombuffer(text.encode(), dtype=np.uint8).copy()
        sizes = np.empty(self.size, dtype=np.int64)
        self._comm.Allgather(np.array([data.size], dtype=np.int64), sizes)
        everything = np.empty(int(sizes.sum()), dtype=np.uint8)
        self._comm.Allgatherv(data, [everything, sizes.tolist()])
        pieces = np.split(everything, np.cumsum(sizes)[:-1])
        return [piece.tobytes().decode() for piece in pieces]

    def collect(self, table: HostFloats) -> HostFloats | None:
        """Gather equally shaped float64 tables on the server."""
        table = np.ascontiguousarray(table)
        gathered = np.empty((self.size, *table.shape)) if self.is_server else None
        self._comm.Gather(table, gathered, root=SERVER)
        return gathered

    def abort(self, exit_code: int) -> None:
        """End all ranks at once."""
        self._comm.Abort(exit_code)


def world() -> MPI.Intracomm:
    """Return the communicator of all ranks."""
    return MPI.COMM_WORLD


def library_version() -> str:
    """Return the first line of the MPI library's own description of itself."""
    return " ".join(MPI.Get_library_version().rstrip("\0").splitlines()[0].split())
