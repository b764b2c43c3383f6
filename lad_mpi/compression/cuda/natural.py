"""The codec ``natural`` on a GPU.

Encoding and decoding are one pass over memory each, without large temporaries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import namespace
from lad_mpi.compression.base import Rejection
from lad_mpi.compression.cuda.launch import (
    Program,
    as_bits,
    launch,
    parts,
    program,
    raised,
    refuse,
    stream,
)

if TYPE_CHECKING:
    from typing import Any

    from lad_mpi.compression.base import Channel
    from lad_mpi.types import Array, HostInts


def encode(vectors: Array, channel: Channel, payloads: Array) -> None:
    """Round, and separate signs from exponents; see :meth:`GpuCodec.encode_on_gpu`."""
    xp, (num_rows, dimension) = namespace(vectors), vectors.shape
    launch(
        xp,
        _program(channel.dtype),
        "pack_powers",
        num_rows * parts(dimension),
        *as_bits(vectors),
        dimension,
        xp.asarray(channel.devices),
        *stream(channel),
        payloads,
        payloads.strides[0],
    )


def decode(payloads: Array, channel: Channel) -> tuple[Array, HostInts]:
    """Combine signs and exponents; see :meth:`GpuCodec.decode_on_gpu`."""
    xp, num_rows = namespace(payloads), len(payloads)
    vectors = xp.empty((num_rows, channel.dimension), dtype=channel.dtype)
    flags = xp.zeros((num_rows, 2), dtype=np.int32)
    launch(
        xp,
        _program(channel.dtype),
        "unpack_powers",
        num_rows * parts(channel.dimension),
        payloads,
        payloads.strides[0],
        channel.dimension,
        as_bits(vectors)[0],
        flags,
    )
    not_finite, unclean = raised(flags)
    return refuse(vectors, (not_finite, Rejection.NOT_FINITE), (unclean, Rejection.PADDING))


def _program(dtype: np.dtype[Any]) -> Program:
    return program(dtype, "random", "codes", "natural")
