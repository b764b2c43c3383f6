"""The link and the exchange of a single rank, which is the server and hosts all devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.transport.base import Communicator, Downlink, Layout, Slots
    from lad_mpi.types import Array, HostFloats


class LoopbackExchange:
    """Both ends in one process: the inbox is the uplink."""

    def __init__(self, downlink: Array, uplink: Array) -> None:
        self.downlink = downlink
        self.uplink = uplink
        self.inbox: Array | None = uplink

    def announce(self) -> None:
        """Nothing to send: sender and receiver share the buffer."""

    def spread(self) -> None:
        """Nothing to send: sender and receiver share the buffer."""

    def gather(self) -> None:
        """Nothing to send: sender and receiver share the buffer."""

    def close(self) -> None:
        """Nothing to free."""


@dataclass(frozen=True)
class Loopback:
    """The link of a single rank.

    Parameters
    ----------
    library : str
        Name and version of the MPI library, if it is initialised.
    """

    library: str = ""
    rank: int = 0
    size: int = 1
    is_server: bool = True
    communicator: Communicator | None = None

    def plan(
        self,
        layout: Layout,
        sent: Slots,
        received: Slots | None,  # noqa: ARG002
        downlink: Downlink,
        allocate: Callable[[tuple[int, ...]], Array],
    ) -> LoopbackExchange:
        """Allocate the buffers of a run."""
        return LoopbackExchange(
            allocate((downlink.num_bytes,)), allocate((layout.num_devices, sent.slot_bytes))
        )

    def servers(self, count: int) -> None:
        """There are no others."""

    def share(self, text: str) -> str:
        """Return the text."""
        return text

    def gather_texts(self, text: str) -> list[str]:
        """Return the text of the only rank."""
        return [text]

    def collect(
        self,
        table: HostFloats,
        room: HostFloats | None = None,  # noqa: ARG002
    ) -> HostFloats | None:
        """Return the table with a leading axis of one rank."""
        return table[None]

    def gather_rows(
        self,
        layout: Layout,  # noqa: ARG002
        rows: HostFloats,
        room: HostFloats | None = None,  # noqa: ARG002
    ) -> HostFloats | None:
        """Return the rows."""
        return rows

    def scatter_rows(
        self,
        layout: Layout,  # noqa: ARG002
        rows: HostFloats | None,
        shape: tuple[int, ...],
        dtype: Any,
    ) -> HostFloats:
        """Return the rows."""
        return np.empty((0, *shape), dtype=dtype) if rows is None else rows

    def meet(self, place: str) -> None:
        """Nothing to wait for."""

    def set_timeout(self, timeout_s: float) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Nothing to wait for."""

    def abort(self, exit_code: int) -> None:
        """End the process."""
        raise SystemExit(exit_code)
