"""Copy messages between the GPU and host memory, for MPI that does not take GPU arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.transport.loopback import Arrived

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lad_mpi.arrays import Backend
    from lad_mpi.transport.base import Exchange
    from lad_mpi.types import Array


class StagedExchange:
    """An exchange with buffers on a GPU, around an exchange with buffers in host memory.

    Packed messages are copied, so they cross the bus in the size they have on the wire.
    The bits are those of a direct transfer.

    Parameters
    ----------
    exchange : Exchange
        Moves the bytes between buffers in pinned host memory.
    backend : Backend
        The GPU.
    """

    def __init__(self, exchange: Exchange, backend: Backend) -> None:
        self._exchange = exchange
        self._backend = backend

        def like(buffer: Array) -> Array:
            return backend.xp.zeros(buffer.shape, dtype=np.uint8)

        self.downlink = like(exchange.downlink)
        self.uplink = like(exchange.uplink)
        self.inbox: Array | None = None if exchange.inbox is None else like(exchange.inbox)

    def broadcast(self) -> None:
        """Send ``downlink`` from the server to all ranks."""
        is_server = self.inbox is not None
        if is_server:
            self._backend.to_host(self.downlink, self._exchange.downlink)
        self._exchange.broadcast()
        if not is_server:
            self._backend.copy_in(self._exchange.downlink, self.downlink)

    def gather(self) -> None:
        """Collect all ``uplink`` in the server's ``inbox``."""
        if len(self.uplink):
            self._backend.to_host(self.uplink, self._exchange.uplink)
        self._exchange.gather()
        if self.inbox is not None:
            self._backend.copy_in(self._exchange.inbox, self.inbox)

    def start_gather(self, edges: Sequence[int]) -> Arrived:  # noqa: ARG002
        """Collect all messages in one piece."""
        self.gather()
        return Arrived()

    def close(self) -> None:
        """Free what the wrapped exchange holds."""
        self._exchange.close()
