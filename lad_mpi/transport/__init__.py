"""Ranks, and the two collectives of an iteration."""

from lad_mpi.transport.agreement import AgreedError, together
from lad_mpi.transport.base import SERVER, Communicator, Exchange, Layout, Link, SlicedGather
from lad_mpi.transport.emulated import EmulatedExchange
from lad_mpi.transport.guardian import Guardian
from lad_mpi.transport.launch import open_link
from lad_mpi.transport.loopback import Loopback

__all__ = [
    "SERVER",
    "AgreedError",
    "Communicator",
    "EmulatedExchange",
    "Exchange",
    "Guardian",
    "Layout",
    "Link",
    "Loopback",
    "SlicedGather",
    "open_link",
    "together",
]
