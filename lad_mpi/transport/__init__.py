"""Messages, ranks and the two collectives of an iteration."""

from lad_mpi.transport.arriving import ArrivingMessages
from lad_mpi.transport.base import SERVER, Exchange, Layout, Link, SlicedGather
from lad_mpi.transport.guardian import start_guardian
from lad_mpi.transport.launch import open_link
from lad_mpi.transport.loopback import Loopback
from lad_mpi.transport.wire import HEADER_BYTES, MessageFormat

__all__ = [
    "HEADER_BYTES",
    "SERVER",
    "ArrivingMessages",
    "Exchange",
    "Layout",
    "Link",
    "Loopback",
    "MessageFormat",
    "SlicedGather",
    "open_link",
    "start_guardian",
]
