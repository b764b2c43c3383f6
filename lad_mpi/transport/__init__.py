"""Ranks, and the two collectives of an iteration."""

from lad_mpi.transport.base import SERVER, Communicator, Exchange, Layout, Link, SlicedGather
from lad_mpi.transport.emulated import EmulatedExchange
from lad_mpi.transport.launch import open_link
from lad_mpi.transport.loopback import Loopback
from lad_mpi.transport.staged import StagedExchange

__all__ = [
    "SERVER",
    "Communicator",
    "EmulatedExchange",
    "Exchange",
    "Layout",
    "Link",
    "Loopback",
    "SlicedGather",
    "StagedExchange",
    "open_link",
]
