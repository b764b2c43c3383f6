"""Ranks and what they exchange: a link for each rank, and the collectives of an iteration."""

from lad_mpi.transport.agreement import from_server, together
from lad_mpi.transport.base import (
    SERVER,
    Communicator,
    Downlink,
    Exchange,
    Layout,
    Link,
    ServerGroup,
    Slots,
)
from lad_mpi.transport.emulated import EmulatedExchange
from lad_mpi.transport.launch import describe_mpi, open_link
from lad_mpi.transport.loopback import Loopback
from lad_mpi.transport.shared_block import SharedBlock, arrays_in, map_block, size_of

__all__ = [
    "SERVER",
    "Communicator",
    "Downlink",
    "EmulatedExchange",
    "Exchange",
    "Layout",
    "Link",
    "Loopback",
    "ServerGroup",
    "SharedBlock",
    "Slots",
    "arrays_in",
    "describe_mpi",
    "from_server",
    "map_block",
    "open_link",
    "size_of",
    "together",
]
