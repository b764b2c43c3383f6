"""Protocols of the link and the exchange, and the layout of devices on ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lad_mpi.columns import Servers
from lad_mpi.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lad_mpi.types import Array, HostFloats, HostInts

SERVER = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """Which ranks are servers, and which rank hosts which devices.

    Ranks 0 … S−1 are servers and host none. The others host contiguous blocks, as even as
    possible. A single rank is all servers and hosts all devices.

    Parameters
    ----------
    num_devices : int
        N.
    num_ranks : int
        P.
    num_servers : int
        S.

    Raises
    ------
    UsageError
        A rank would host no device, or no rank would.
    """

    num_devices: int
    num_ranks: int
    num_servers: int = 1

    def __post_init__(self) -> None:
        """Refuse ranks without devices, and devices without ranks."""
        if self.num_ranks == 1:
            return
        hosts = self.num_ranks - self.num_servers
        if hosts < 1:
            raise UsageError(
                f"{self.num_ranks} ranks for {self.num_servers} servers and devices: none would "
                "host devices",
                hint=f"start at least {self.num_servers + 1} ranks, or lower server.ranks",
            )
        if hosts > self.num_devices:
            servers = "a server" if self.num_servers == 1 else f"{self.num_servers} servers"
            raise UsageError(
                f"{self.num_ranks} ranks for {servers} and {self.num_devices} devices: "
                f"{hosts - self.num_devices} would have nothing to do",
                hint=f"start at most {self.num_devices + self.num_servers} ranks, or increase "
                "devices.count",
            )

    def servers_of(self, rank: int) -> range:
        """Return the servers that a rank is."""
        if self.num_ranks == 1:
            return range(self.num_servers)
        return range(rank, min(rank + 1, self.num_servers))

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
        hosts = self.num_ranks - self.num_servers
        bounds = np.arange(hosts + 1, dtype=np.int64) * self.num_devices // hosts
        return np.concatenate([np.zeros(self.num_servers, dtype=np.int64), bounds])


@dataclass(frozen=True, slots=True)
class Slots:
    """Where messages lie in the memory of a rank.

    Parameters
    ----------
    slot_bytes : int
        Bytes between two devices.
    messages : tuple of tuple of slice
        For each message in a slot, the bytes that it consists of.
    """

    slot_bytes: int
    messages: tuple[tuple[slice, ...], ...]

    @classmethod
    def of_one_message(cls, num_bytes: int) -> Slots:
        """Return slots that consist of one message."""
        return cls(num_bytes, ((slice(0, num_bytes),),))


@dataclass(frozen=True, slots=True)
class Downlink:
    """The layout of the broadcast.

    Parameters
    ----------
    num_bytes : int
        Size of the command and the model.
    parts : tuple of slice
        The bytes of the model that each server sends, if there are several.
    """

    num_bytes: int
    parts: tuple[slice, ...] = (slice(0),)


class Exchange(Protocol):
    """The two collectives of an iteration, with buffers, counts and types planned once.

    Synchronise the GPU before a collective on its buffers: MPI does not wait for the
    stream.

    Attributes
    ----------
    downlink : array of uint8, shape (downlink bytes,)
        The broadcast: the command, then the model.
    uplink : array of uint8, shape (devices of this rank, slot_bytes)
        Messages of this rank's devices.
    inbox : array of uint8, shape (N, slot_bytes), or None
        Messages to this server in the order of devices; None on other ranks.
    """

    downlink: Array
    uplink: Array
    inbox: Array | None

    def announce(self) -> None:
        """Send the command to all ranks; with a single server, the model as well."""

    def spread(self) -> None:
        """Send each server's part of the model to all ranks, if there are several servers."""

    def gather(self) -> None:
        """Collect all ``uplink`` in the servers' ``inbox``."""

    def close(self) -> None:
        """Free the MPI datatypes."""


class ServerGroup(Servers, Protocol):
    """The servers that hold columns, as one of them sees them."""

    def collect(self, own: HostFloats, counts: Sequence[int]) -> HostFloats | None:
        """Join the servers' arrays on the first of them; None on the others.

        Parameters
        ----------
        own : ndarray, shape (q,)
            This server's columns.
        counts : sequence of int
            Number of columns of each server.
        """

    def share_arrays(self, arrays: dict[str, HostFloats] | None) -> dict[str, HostFloats]:
        """Return the first server's arrays, by name, on all of them."""


class Communicator(Protocol):
    """The calls of an ``mpi4py.MPI.Intracomm`` that benchmarks time."""

    @property
    def rank(self) -> int:
        """Number of this rank, 0 … size−1."""

    @property
    def size(self) -> int:
        """P, the number of ranks."""

    def Barrier(self) -> None:  # noqa: N802
        """Wait for all ranks."""

    def Ibarrier(self) -> Any:  # noqa: N802
        """Start a barrier without waiting."""

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
        """Name and version of the MPI library; empty without MPI."""

    @property
    def is_server(self) -> bool:
        """Whether this is rank 0."""

    @property
    def communicator(self) -> Communicator | None:
        """The communicator of all ranks, for benchmarks of MPI; None for one rank."""

    def plan(
        self,
        layout: Layout,
        sent: Slots,
        received: Slots | None,
        downlink: Downlink,
        allocate: Callable[[tuple[int, ...]], Array],
    ) -> Exchange:
        """Allocate the buffers of a run and plan its collectives.

        Parameters
        ----------
        layout : Layout
            Which ranks are servers, and which rank hosts which devices.
        sent : Slots
            The messages of a device, one to each server.
        received : Slots or None
            The message of a device to this server; None on other ranks.
        downlink : Downlink
            The broadcast.
        allocate : callable
            Takes a shape and returns an array of uint8, in host memory or, if the MPI
            library takes arrays of a GPU, in its memory.
        """

    def servers(self, count: int) -> ServerGroup | None:
        """Join the first ``count`` ranks; None on other ranks. All ranks call it."""

    def share(self, text: str) -> str:
        """Broadcast the server's text. For start-up, not for data."""

    def gather_texts(self, text: str) -> list[str]:
        """Return the texts of all ranks, in rank order, on every rank. For start-up and errors."""

    def collect(self, table: HostFloats, room: HostFloats | None = None) -> HostFloats | None:
        """Gather tables of one shape, float64: shape (P, …) on the server, None elsewhere.

        The server may give an array for the result, ``room``, so that it runs out of memory
        before the other ranks wait for it.
        """

    def gather_rows(
        self, layout: Layout, rows: HostFloats, room: HostFloats | None = None
    ) -> HostFloats | None:
        """Gather one row per device: shape (N, …) on the server, None elsewhere.

        The server may give an array for the result, ``room``.
        """

    def scatter_rows(
        self, layout: Layout, rows: HostFloats | None, shape: tuple[int, ...], dtype: Any
    ) -> HostFloats:
        """Scatter one row per device to the ranks that host the devices.

        Parameters
        ----------
        layout : Layout
            Which rank hosts which devices.
        rows : ndarray, shape (N, …), or None
            All rows, on the server.
        shape, dtype
            Shape and type of one row, given on every rank.

        Returns
        -------
        ndarray, shape (devices of this rank, …)
        """

    def meet(self, place: str) -> None:
        """Wait for all ranks; the watchdog names ``place`` if one does not come."""

    def set_timeout(self, timeout_s: float) -> None:
        """Set the longest time that a collective may take, in seconds; 0 for no limit."""

    def close(self) -> None:
        """Wait until all ranks have finished, under the watchdog."""

    def abort(self, exit_code: int) -> None:
        """End all ranks at once."""
