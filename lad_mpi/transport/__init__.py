"""Messages, ranks and the two collectives of an iteration."""

from lad_mpi.transport.arriving import ArrivingMessages
from lad_mpi.transport.base import SERVER, Exchange, Layout, Link, SlicedGather
from lad_mpi.transport.emulated import EmulatedExchange
from lad_mpi.transport.guardian import Guardian
from lad_mpi.transport.launch import open_link
from lad_mpi.transport.loopback import Loopback
from lad_mpi.transport.packing import Packing, packing_for, warm_up
from lad_mpi.transport.staged import StagedExchange
from lad_mpi.transport.wire import HEADER_BYTES, MessageFormat

__all__ = [
    "HEADER_BYTES",
    "SERVER",
    "ArrivingMessages",
    "EmulatedExchange",
    "Exchange",
    "Guardian",
    "Layout",
    "Link",
    "Loopback",
    "MessageFormat",
    "Packing",
    "SlicedGather",
    "StagedExchange",
    "open_link",
    "packing_for",
    "warm_up",
]
