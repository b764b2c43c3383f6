"""Messages: header, checksum, packing, and what is refused."""

from lad_mpi.wire.arriving import ArrivingMessages
from lad_mpi.wire.message import HEADER_BYTES, MessageFormat
from lad_mpi.wire.packing import Packing, packing_for, warm_up

__all__ = [
    "HEADER_BYTES",
    "ArrivingMessages",
    "MessageFormat",
    "Packing",
    "packing_for",
    "warm_up",
]
