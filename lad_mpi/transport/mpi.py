"""The link and the exchange over MPI; the only module that imports mpi4py.

Importing it loads the MPI library; :func:`initialise` initialises it.
"""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import mpi4py
import numpy as np

from lad_mpi.errors import ExitCode
from lad_mpi.transport.base import SERVER, Layout
from lad_mpi.transport.shared_memory import check_shared_memory
from lad_mpi.transport.watchdog import Watchdog

# MPI_Init may crash, so `initialise` checks shared memory first.
mpi4py.rc(initialize=False, finalize=True)
from mpi4py import MPI  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.transport.base import Communicator
    from lad_mpi.types import Array, HostBytes, HostFloats


_THREAD_LEVELS = {
    "single": MPI.THREAD_SINGLE,
    "funneled": MPI.THREAD_FUNNELED,
    "serialized": MPI.THREAD_SERIALIZED,
    "multiple": MPI.THREAD_MULTIPLE,
}


class MpiExchange:
    """One Bcast and one Gatherv over buffers that live as long as the run.

    A slot is one element of its own datatype, so counts stay small however large messages
    are.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        layout: Layout,
        slot_bytes: int,
        downlink: Array,
        *,
        allocate: Callable[[tuple[int, ...]], Array],
        watchdog: Watchdog,
    ) -> None:
        self._comm = comm
        self._watchdog = watchdog
        _, own = layout.block(comm.rank)
        self.downlink = downlink
        self.uplink = allocate((own, slot_bytes))
        self.inbox: Array | None = None
        if comm.rank == SERVER:
            self.inbox = allocate((layout.num_devices, slot_bytes))
        self._blocks = _blocks(layout)
        self._slot = MPI.BYTE.Create_contiguous(slot_bytes).Commit()
        self._receive = None
        if comm.rank == SERVER:
            self._receive = [self.inbox, self._blocks, self._slot]
        self._send = [self.uplink, own, self._slot]
        # With size and type given, mpi4py does not inspect the buffer at every call.
        self._model = [downlink, downlink.size, MPI.BYTE]
        self._bcast, self._gatherv = comm.Bcast, comm.Gatherv

    def broadcast(self) -> None:
        """Send ``downlink`` from the server to all ranks."""
        # Not `with self._watchdog(…)`: its calls take a fifth of a small broadcast.
        watchdog = self._watchdog
        watchdog.place = "the broadcast of an iteration"
        watchdog.since = monotonic()
        try:
            self._bcast(self._model, SERVER)
        finally:
            watchdog.since = None

    def gather(self) -> None:
        """Collect all ``uplink`` in the server's ``inbox``."""
        watchdog = self._watchdog
        watchdog.place = "the gather of an iteration"
        watchdog.since = monotonic()
        try:
            self._gatherv(self._send, self._receive, SERVER)
        finally:
            watchdog.since = None

    def close(self) -> None:
        """Free the type of slots."""
        self._slot.Free()


class MpiLink:
    """The link of one of several ranks.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        A communicator. The link works on a duplicate, so that its collectives cannot be mixed
        up with those of other code.
    watchdog : Watchdog, optional
        The watchdog of this rank, if it has one already.
    """

    def __init__(self, comm: MPI.Intracomm, watchdog: Watchdog | None = None) -> None:
        self.rank = comm.rank
        self._watchdog = watchdog or Watchdog(comm.rank, lambda: comm.Abort(int(ExitCode.FAILED)))
        self._on_host: MpiLink | None = None
        with self._watchdog("the start"):
            self._comm = comm.Dup()
        self.size = self._comm.size
        self.library = library_version()
        self.is_server = self.rank == SERVER
        self.hosts_devices = not self.is_server
        self.communicator: Communicator | None = self._comm

    def plan(
        self,
        layout: Layout,
        slot_bytes: int,
        downlink_bytes: int,
        allocate: Callable[[tuple[int, ...]], Array],
    ) -> MpiExchange:
        """Allocate the buffers of a run and plan its collectives."""
        return MpiExchange(
            self._comm,
            layout,
            slot_bytes,
            allocate((downlink_bytes,)),
            allocate=allocate,
            watchdog=self._watchdog,
        )

    def on_host(self) -> MpiLink:
        """Return the link of the ranks on this rank's host; all ranks make it together."""
        if self._on_host is None:
            with self._watchdog("the split of ranks by host"):
                comm = MPI.Intracomm(self._comm.Split_type(MPI.COMM_TYPE_SHARED, key=self.rank))
            self._on_host = MpiLink(comm, self._watchdog)
            comm.Free()
        return self._on_host

    def share(self, text: str) -> str:
        """Return the server's text on every rank."""
        encoded = _encoded(text)
        length = np.array([encoded.size], dtype=np.int64)
        with self._watchdog("a broadcast of text"):
            _wait(self._comm.Ibcast(length, root=SERVER))
            data = encoded if self.is_server else np.empty(int(length[0]), dtype=np.uint8)
            _wait(self._comm.Ibcast(data, root=SERVER))
        return _decoded(data)

    def gather_texts(self, text: str) -> list[str]:
        """Return every rank's text on every rank."""
        data = _encoded(text)
        sizes = np.empty(self.size, dtype=np.int64)
        with self._watchdog("a gather of texts"):
            _wait(self._comm.Iallgather(np.array([data.size], dtype=np.int64), sizes))
            everything = np.empty(int(sizes.sum()), dtype=np.uint8)
            _wait(self._comm.Iallgatherv(data, [everything, sizes.tolist()]))
        pieces = np.split(everything, np.cumsum(sizes)[:-1])
        return [_decoded(piece) for piece in pieces]

    def collect(self, table: HostFloats, room: HostFloats | None = None) -> HostFloats | None:
        """Gather equally shaped float64 tables on the server."""
        table = np.ascontiguousarray(table)
        gathered = room
        if gathered is None and self.is_server:
            gathered = np.empty((self.size, *table.shape))
        with self._watchdog("the collection of times"):
            self._comm.Gather(table, gathered, root=SERVER)
        return gathered

    def gather_rows(
        self, layout: Layout, rows: HostFloats, room: HostFloats | None = None
    ) -> HostFloats | None:
        """Collect one row a device from all ranks on the server."""
        rows = np.ascontiguousarray(rows)
        row = MPI.BYTE.Create_contiguous(_row_bytes(rows)).Commit()
        gathered = room
        receive = None
        if self.is_server:
            if gathered is None:
                gathered = np.empty((layout.num_devices, *rows.shape[1:]), dtype=rows.dtype)
            receive = [gathered, _blocks(layout), row]
        with self._watchdog("the gather of a checkpoint"):
            self._comm.Gatherv([rows, len(rows), row], receive, root=SERVER)
        row.Free()
        return gathered

    def scatter_rows(
        self, layout: Layout, rows: HostFloats | None, shape: tuple[int, ...], dtype: Any
    ) -> HostFloats:
        """Hand every rank the rows of its devices."""
        _, count = layout.block(self.rank)
        own = np.empty((count, *shape), dtype=dtype)
        row = MPI.BYTE.Create_contiguous(_row_bytes(own)).Commit()
        send = None if rows is None else [np.ascontiguousarray(rows), _blocks(layout), row]
        with self._watchdog("the scatter of a checkpoint"):
            self._comm.Scatterv(send, [own, count, row], root=SERVER)
        row.Free()
        return own

    def meet(self, place: str) -> None:
        """Wait for all ranks; the watchdog names ``place`` if one does not come."""
        with self._watchdog(place):
            _wait(self._comm.Ibarrier())

    def set_timeout(self, timeout_s: float) -> None:
        """Set the longest time that a collective may take, in seconds; 0 for no limit."""
        self._watchdog.set_timeout(timeout_s)

    def close(self) -> None:
        """Wait until all ranks have finished.

        ``MPI_Finalize`` waits as well, but holds the interpreter lock, so the watchdog
        could not run.
        """
        self.meet("the end")
        self._watchdog.close()

    def abort(self, exit_code: int) -> None:
        """End all ranks at once."""
        self._comm.Abort(exit_code)


def _wait(request: MPI.Request) -> None:
    """Wait for a collective outside of the iterations, and leave the core to other ranks.

    A blocking call of MPI keeps its core busy. If ranks share cores, they would hold up the rank
    that they wait for. Sleeping makes a wait longer by a tenth of its time or 10 ms at most.
    """
    start = monotonic()
    while not request.Test():
        sleep(min((monotonic() - start) / 10, 0.01))


def _blocks(layout: Layout) -> tuple[list[int], list[int]]:
    """Return the number of rows of each rank, and its first row."""
    counts = layout.counts
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return counts.tolist(), first.tolist()


def _encoded(text: str) -> HostBytes:
    # File names may hold bytes that are not UTF-8; Python keeps these as lone surrogates.
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8).copy()


def _decoded(data: HostBytes) -> str:
    return data.tobytes().decode("utf-8", "surrogatepass")


def _row_bytes(rows: HostFloats) -> int:
    return int(np.prod(rows.shape[1:], dtype=np.int64)) * rows.dtype.itemsize


def initialise() -> None:
    """Initialise MPI as ``mpi4py.rc`` says, unless it is initialised already.

    Raises
    ------
    SharedMemoryError
        The shared memory of this host is too small, so MPI would crash.
    """
    if MPI.Is_initialized():
        return
    check_shared_memory(MPI.Get_library_version())
    MPI.Init_thread(_THREAD_LEVELS[mpi4py.rc.thread_level if mpi4py.rc.threads else "single"])


def world() -> MPI.Intracomm:
    """Initialise MPI if necessary, and return the communicator of all ranks."""
    initialise()
    return MPI.COMM_WORLD


def library_version() -> str:
    """Return the first line of the MPI library's description."""
    return " ".join(MPI.Get_library_version().rstrip("\0").splitlines()[0].split())


def describe() -> dict[str, str]:
    """Return ``library`` (the library's whole description, on one line) and ``standard``."""
    return {
        "library": " ".join(MPI.Get_library_version().rstrip("\0").split()),
        "standard": ".".join(map(str, MPI.Get_version())),
    }
