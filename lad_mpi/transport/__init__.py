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
    "Slots",
    "describe_mpi",
    "from_server",
    "open_link",
    "together",
]
