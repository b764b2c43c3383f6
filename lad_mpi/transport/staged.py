"""Messages of a GPU by way of the host, for MPI libraries that do not take its arrays."""

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
    """An exchange whose buffers are on a GPU, around one that moves copies in host memory.

    Messages are copied as they are packed, so they cross the bus in their size on the
    wire, and are the same bits as where MPI takes them from the GPU.

    Parameters
    ----------
    exchange : Exchange
        Moves the bytes, between buffers in pinned memory of the host.
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
        """Collect all messages in one piece; no slice is there before the others."""
        self.gather()
        return Arrived()

    def close(self) -> None:
        """Free what the wrapped exchange holds."""
        self._exchange.close()
