"""What the training loop asks of the machine: who am I, one broadcast, one gather."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lad_mpi.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lad_mpi.types import Array, HostFloats, HostInts

SERVER = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """Which rank hosts which devices.

    Rank 0 is the server and hosts none, ranks 1…P−1 host contiguous blocks as
    even as possible; a single rank is server and host of all.

    Parameters
    ----------
    num_devices : int
        N.
    num_ranks : int
        P.

    Raises
    ------
    UsageError
        Some rank would host no device.
    """

    num_devices: int
    num_ranks: int

    def __post_init__(self) -> None:
        """Refuse more ranks than there is work for."""
        if self.num_ranks > self.num_devices + 1:
            raise UsageError(
                f"{self.num_ranks} ranks for a server and {self.num_devices} devices: "
                f"{self.num_ranks - self.num_devices - 1} would have nothing to do",
                hint=f"start at most {self.num_devices + 1} ranks, or raise devices.count",
            )

    @property
    def counts(self) -> HostInts:
        """Number of devices of each rank, int64, shape (P,)."""
        return np.diff(self._bounds())

    def block(self, rank: int) -> tuple[int, int]:
        """Return the first device of a rank and the number of its devices."""
        bounds = self._bounds()
        return int(bounds[rank]), int(bounds[rank + 1] - bounds[rank])

    def _bounds(self) -> HostInts:
        if self.num_ranks == 1:
            return np.array([0, self.num_devices], dtype=np.int64)
        hosts = self.num_ranks - 1
        bounds = np.arange(hosts + 1, dtype=np.int64) * self.num_devices // hosts
        return np.concatenate([np.zeros(1, dtype=np.int64), bounds])


class SlicedGather(Protocol):
    """A gather under way, in slices of the slots' bytes that arrive in order."""

    def wait(self, number: int) -> None:
        """Return when the slice of this number, and those before it, are in the inbox."""

    def poll(self) -> bool:
        """Give MPI a moment to move data; tell whether something is still under way."""

    def finish(self) -> None:
        """Return when all slices are in the inbox, or on other ranks have been sent."""


class Exchange(Protocol):
    """The two collectives of an iteration, planned once: buffers, counts and types.

    Buffers in the memory of a GPU have to be as its stream leaves them before a
    collective begins: no library waits for the stream.

    Attributes
    ----------
    downlink : array of uint8, shape (downlink_bytes,)
        What the server broadcasts; on the other ranks, what they receive.
    uplink : array of uint8, shape (devices of this rank, slot_bytes)
        Messages of this rank's devices.
    inbox : array of uint8, shape (N, slot_bytes), or None
        All messages, in the order of devices; on the server only.
    """

    downlink: Array
    uplink: Array
    inbox: Array | None

    def broadcast(self) -> None:
        """Send ``downlink`` from the server to all ranks."""

    def gather(self) -> None:
        """Collect all ``uplink`` in the server's ``inbox``."""

    def start_gather(self, edges: Sequence[int]) -> SlicedGather:
        """Begin to collect all ``uplink`` in the server's ``inbox``, slice by slice.

        It is one collective, as :meth:`gather` is, and takes the place of it: all ranks
        begin it with the same edges and finish it before the next collective.

        Parameters
        ----------
        edges : sequence of int
            Bytes of a slot at which slices begin, ascending from 0, and ``slot_bytes``.
        """

    def close(self) -> None:
        """Free what the plan holds in the MPI library."""


class Communicator(Protocol):
    """The calls of an ``mpi4py.MPI.Intracomm`` that benchmarks time.

    Only :mod:`lad_mpi.transport.mpi` imports mpi4py.
    """

    @property
    def rank(self) -> int:
        """Number of this rank."""

    @property
    def size(self) -> int:
        """P."""

    def Barrier(self) -> None:  # noqa: N802
        """Wait for all ranks."""

    def Ibarrier(self) -> Any:  # noqa: N802
        """Begin to wait for all ranks."""

    def Bcast(self, buf: Any, root: int) -> None:  # noqa: N802
        """Send from the root to all."""

    def Gather(self, sendbuf: Any, recvbuf: Any, root: int) -> None:  # noqa: N802
        """Collect equal blocks of all ranks on the root."""

    def Gatherv(self, sendbuf: Any, recvbuf: Any, root: int) -> None:  # noqa: N802
        """Collect blocks of all ranks on the root."""

    def Send(self, buf: Any, dest: int) -> None:  # noqa: N802
        """Send to one rank."""

    def Recv(self, buf: Any, source: int) -> Any:  # noqa: N802
        """Receive from one rank."""


class Link(Protocol):
    """One rank's view of the world."""

    @property
    def rank(self) -> int:
        """Number of this rank, 0 … size−1."""

    @property
    def size(self) -> int:
        """P, the number of ranks."""

    @property
    def library(self) -> str:
        """Name and version of the MPI library; empty where none is used."""

    @property
    def is_server(self) -> bool:
        """Whether this is rank 0."""

    @property
    def hosts_devices(self) -> bool:
        """Whether this rank hosts devices."""

    @property
    def communicator(self) -> Communicator | None:
        """The communicator of all ranks, for benchmarks of MPI itself; None for one rank."""

    def plan(
        self,
        layout: Layout,
        slot_bytes: int,
        downlink_bytes: int,
        allocate: Callable[[tuple[int, ...]], Array],
    ) -> Exchange:
        """Allocate the buffers of a run, by ``allocate(shape)``, and plan its collectives.

        ``allocate`` returns arrays of uint8 in the memory of the host, or of a GPU of
        which :func:`~lad_mpi.doctor.gpu_probe.probe_gpu_transfers` says ``direct``.
        """

    def share(self, text: str) -> str:
        """Return the server's text on every rank. For start-up, not for data."""

    def gather_texts(self, text: str) -> list[str]:
        """Return every rank's text on every rank, in rank order. For start-up and errors."""

    def collect(self, table: HostFloats, room: HostFloats | None = None) -> HostFloats | None:
        """Gather equally shaped float64 tables: shape (P, …) on the server, None elsewhere.

        They are gathered into ``room`` if the server gives it. A server that has no memory
        left should know before the others wait for it.
        """

    def gather_rows(
        self, layout: Layout, rows: HostFloats, room: HostFloats | None = None
    ) -> HostFloats | None:
        """Collect one row a device from all ranks: shape (N, …) on the server, None elsewhere.

        They are gathered into ``room`` if the server gives it.
        """

    def scatter_rows(
        self, layout: Layout, rows: HostFloats | None, shape: tuple[int, ...], dtype: Any
    ) -> HostFloats:
        """Hand every rank the rows of its devices.

        Parameters
        ----------
        layout : Layout
            Which rank hosts which devices.
        rows : ndarray, shape (N, …), or None
            On the server.
        shape, dtype
            Of one row, known to every rank.

        Returns
        -------
        ndarray, shape (devices of this rank, …)
        """

    def meet(self, place: str) -> None:
        """Return when all ranks have come here; ``place`` names it, should one not come."""

    def set_timeout(self, timeout_s: float) -> None:
        """Let no collective take longer than ``timeout_s`` seconds from now on; 0 for ever."""

    def close(self) -> None:
        """Wait until all ranks have come to their end, which leaving MPI would do unwatched."""

    def abort(self, exit_code: int) -> None:
        """End all ranks at once."""
