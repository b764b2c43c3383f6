"""The message format: header, checksum, packing and validation."""

from lad_mpi.wire.message import HEADER_BYTES, MessageFormat
from lad_mpi.wire.packing import Packing, packing_for, warm_up

__all__ = [
    "HEADER_BYTES",
    "MessageFormat",
    "Packing",
    "packing_for",
    "warm_up",
]
