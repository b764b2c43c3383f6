"""Compressors: vectors to packed bytes and back."""

from lad_mpi.compression.base import Channel, Codec, ColumnCodec, Rejection
from lad_mpi.compression.none import NoCompression
from lad_mpi.compression.qsgd import Qsgd
from lad_mpi.compression.rand_k import RandK
from lad_mpi.compression.top_k import TopK

#: Every codec of the suite by the name that a spec uses.
CODECS: dict[str, type[Codec]] = {
    "none": NoCompression,
    "rand_k": RandK,
    "qsgd": Qsgd,
    "top_k": TopK,
}

__all__ = [
    "CODECS",
    "Channel",
    "Codec",
    "ColumnCodec",
    "NoCompression",
    "Qsgd",
    "RandK",
    "Rejection",
    "TopK",
]
