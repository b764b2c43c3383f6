"""Compressors: vectors to packed bytes and back."""

from lad_mpi.compression.base import (
    Channel,
    Codec,
    ColumnCodec,
    FeedbackCodec,
    GpuCodec,
    PlainCodec,
    Rejection,
    column_codec,
)
from lad_mpi.compression.cast import Cast
from lad_mpi.compression.natural import Natural
from lad_mpi.compression.none import NoCompression
from lad_mpi.compression.qsgd import Qsgd
from lad_mpi.compression.rand_k import RandK
from lad_mpi.compression.sign import Sign
from lad_mpi.compression.top_k import TopK

#: Every codec of the suite by the name that a spec uses.
CODECS: dict[str, type[Codec]] = {
    "none": NoCompression,
    "rand_k": RandK,
    "qsgd": Qsgd,
    "top_k": TopK,
    "sign": Sign,
    "cast": Cast,
    "natural": Natural,
}

__all__ = [
    "CODECS",
    "Cast",
    "Channel",
    "Codec",
    "ColumnCodec",
    "FeedbackCodec",
    "GpuCodec",
    "Natural",
    "NoCompression",
    "PlainCodec",
    "Qsgd",
    "RandK",
    "Rejection",
    "Sign",
    "TopK",
    "column_codec",
]
