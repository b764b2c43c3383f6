"""The link and the exchange over MPI; the only module that imports mpi4py.

Importing it loads the MPI library; :func:`initialise` initialises it.
"""

from __future__ import annotations

import json
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import mpi4py
import numpy as np

from lad_mpi.errors import ExitCode
from lad_mpi.transport.base import SERVER, Layout
from lad_mpi.transport.shared_memory import check_shared_memory
from lad_mpi.transport.watchdog import Watchdog
from lad_mpi.types import COMMAND_BYTES

# MPI_Init may crash, so `initialise` checks shared memory first.
mpi4py.rc(initialize=False, finalize=True)
from mpi4py import MPI  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lad_mpi.transport.base import Communicator, Downlink, Slots
    from lad_mpi.types import Array, HostBytes, HostFloats


_BROADCAST = "the broadcast of an iteration"
_SERVERS = "an exchange among servers"
_THREAD_LEVELS = {
    "single": MPI.THREAD_SINGLE,
    "funneled": MPI.THREAD_FUNNELED,
    "serialized": MPI.THREAD_SERIALIZED,
    "multiple": MPI.THREAD_MULTIPLE,
}


class MpiExchange:
    """The collectives of an iteration over buffers that live as long as the run.

    A message is one element of its own datatype, so counts stay small however large messages
    are, and nothing is copied to send a part of a slot. With several servers, each of them is
    the root of a gather of its own, and all gathers are under way at once.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        layout: Layout,
        sent: Slots,
        received: Slots | None,
        downlink: Downlink,
        *,
        allocate: Callable[[tuple[int, ...]], Array],
        watchdog: Watchdog,
    ) -> None:
        self._comm = comm
        self._watchdog = watchdog
        _, own = layout.block(comm.rank)
        self.downlink = allocate((downlink.num_bytes,))
        self.uplink = allocate((own, sent.slot_bytes))
        self.inbox: Array | None = None
        if received is not None:
            self.inbox = allocate((layout.num_devices, received.slot_bytes))
        # After the buffers: if memory runs out, it does so where Python says it, not in MPI.
        receive = None
        self._types = [_message_type(sent.slot_bytes, blocks) for blocks in sent.messages]
        if received is not None:
            self._types.append(_message_type(received.slot_bytes, received.messages[0]))
            receive = [self.inbox, _blocks(layout), self._types[-1]]
        # With size and type given, mpi4py does not inspect the buffer at every call.
        self._gathers = [
            ([self.uplink, own, kind], receive if server == comm.rank else None, server)
            for server, kind in enumerate(self._types[: len(sent.messages)])
        ]
        first = COMMAND_BYTES if len(downlink.parts) > 1 else downlink.num_bytes
        self._command = [self.downlink[:first], first, MPI.BYTE]
        self._models = [
            ([self.downlink[part], part.stop - part.start, MPI.BYTE], server)
            for server, part in enumerate(downlink.parts)
        ]
        self._bcast, self._gatherv = comm.Bcast, comm.Gatherv

    def announce(self) -> None:
        """Send the command to all ranks; with a single server, the model as well."""
        # Not `with self._watchdog(…)`: its calls take a fifth of a small broadcast.
        watchdog = self._watchdog
        watchdog.place = _BROADCAST
        watchdog.since = monotonic()
        try:
            self._bcast(self._command, SERVER)
        finally:
            watchdog.since = None

    def spread(self) -> None:
        """Send each server's part of the model to all ranks, if there are several servers."""
        if len(self._models) > 1:
            with self._watchdog(_BROADCAST):
                MPI.Request.Waitall([self._comm.Ibcast(part, root) for part, root in self._models])

    def gather(self) -> None:
        """Collect all ``uplink`` in the servers' ``inbox``."""
        watchdog = self._watchdog
        watchdog.place = "the gather of an iteration"
        watchdog.since = monotonic()
        try:
            if len(self._gathers) == 1:
                self._gatherv(*self._gathers[0])
            else:
                MPI.Request.Waitall([self._comm.Igatherv(*one) for one in self._gathers])
        finally:
            watchdog.since = None

    def close(self) -> None:
        """Free the types of messages."""
        for kind in self._types:
            kind.Free()


class MpiServers:
    """The servers that hold columns, as one of them sees them."""

    def __init__(self, comm: MPI.Intracomm, watchdog: Watchdog) -> None:
        self._comm = comm
        self._watchdog = watchdog

    def exchange(self, own: HostFloats) -> list[HostFloats]:
        """Return every server's array; see :class:`lad_mpi.columns.Servers`."""
        own = np.ascontiguousarray(own, dtype=np.float64)
        counts = np.empty(self._comm.size, dtype=np.int64)
        with self._watchdog(_SERVERS):
            self._comm.Allgather(np.array([len(own)], dtype=np.int64), counts)
            found = np.empty((int(counts.sum()), *own.shape[1:]))
            sizes = (counts * (own.size // max(1, len(own)) or found[:1].size)).tolist()
            self._comm.Allgatherv(own, [found, sizes])
        return np.split(found, np.cumsum(counts)[:-1])

    def collect(self, own: HostFloats, counts: Sequence[int]) -> HostFloats | None:
        """Join the servers' arrays on the first of them; see :class:`ServerGroup`."""
        own = np.ascontiguousarray(own)
        item = MPI.BYTE.Create_contiguous(own.itemsize).Commit()
        whole = np.empty(sum(counts), dtype=own.dtype) if self._comm.rank == SERVER else None
        receive = None if whole is None else [whole, list(counts), item]
        with self._watchdog(_SERVERS):
            self._comm.Gatherv([own, len(own), item], receive, root=SERVER)
        item.Free()
        return whole

    def share_arrays(self, arrays: dict[str, HostFloats] | None) -> dict[str, HostFloats]:
        """Return the first server's arrays on all of them; see :class:`ServerGroup`."""
        shapes = {name: (a.shape, a.dtype.str) for name, a in (arrays or {}).items()}
        found = {}
        with self._watchdog(_SERVERS):
            for name, (shape, dtype) in json.loads(_share(self._comm, json.dumps(shapes))).items():
                array = np.empty(shape, dtype) if arrays is None else arrays[name]
                found[name] = np.ascontiguousarray(array)
                self._comm.Bcast([found[name], MPI.BYTE], root=SERVER)
        return found


def _message_type(slot_bytes: int, blocks: Sequence[slice]) -> MPI.Datatype:
    """Return the type of a message in a slot; adjacent elements are a slot apart."""
    sizes = [block.stop - block.start for block in blocks]
    picked = MPI.BYTE.Create_hindexed(sizes, [block.start for block in blocks])
    kind = picked.Create_resized(0, slot_bytes).Commit()
    picked.Free()
    return kind


def _share(comm: MPI.Intracomm, text: str) -> str:
    """Return the text of rank 0 on all ranks of a communicator."""
    data = _encoded(text)
    length = np.array([data.size], dtype=np.int64)
    _wait(comm.Ibcast(length, root=SERVER))
    if comm.rank != SERVER:
        data = np.empty(int(length[0]), dtype=np.uint8)
    _wait(comm.Ibcast(data, root=SERVER))
    return _decoded(data)


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
        # Kept for further runs, because an MPI library has few communicators.
        self._on_host: MpiLink | None = None
        self._servers: dict[int, MpiServers | None] = {}
        with self._watchdog("the start"):
            self._comm = comm.Dup()
        self.size = self._comm.size
        self.library = library_version()
        self.is_server = self.rank == SERVER
        self.communicator: Communicator | None = self._comm

    def plan(
        self,
        layout: Layout,
        sent: Slots,
        received: Slots | None,
        downlink: Downlink,
        allocate: Callable[[tuple[int, ...]], Array],
    ) -> MpiExchange:
        """Allocate the buffers of a run and plan its collectives."""
        return MpiExchange(
            self._comm,
            layout,
            sent,
            received,
            downlink,
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

    def servers(self, count: int) -> MpiServers | None:
        """Join the first ``count`` ranks; None on other ranks. All ranks call it."""
        if count not in self._servers:
            with self._watchdog("the start"):
                comm: Any = self._comm.Split(0 if self.rank < count else MPI.UNDEFINED, self.rank)
            joined = None if comm == MPI.COMM_NULL else MpiServers(comm, self._watchdog)
            self._servers[count] = joined
        return self._servers[count]

    def share(self, text: str) -> str:
        """Return the server's text on every rank."""
        with self._watchdog("a broadcast of text"):
            return _share(self._comm, text)

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
            self._comm.Barrier()

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
