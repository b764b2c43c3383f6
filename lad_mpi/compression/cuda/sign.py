"""The codec ``sign`` on a GPU.

Encoding reads the vectors twice: for their signs and largest magnitudes, then for the mean ratio
to these. Decoding writes them once. Temporaries take Q/512 bytes a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import namespace, to_host
from lad_mpi.compression.base import Rejection
from lad_mpi.compression.cuda.launch import (
    SPAN,
    Program,
    as_bits,
    bits,
    first_numbers,
    launch,
    parts,
    program,
    raised,
    refuse,
)

if TYPE_CHECKING:
    from typing import Any

    from lad_mpi.compression.base import Channel
    from lad_mpi.types import Array, HostInts


def encode(vectors: Array, payloads: Array) -> None:
    """Average magnitudes and pack signs; see :meth:`GpuCodec.encode_on_gpu`."""
    xp, (num_rows, dimension) = namespace(vectors), vectors.shape
    of, given = _program(vectors.dtype), (*as_bits(vectors), dimension)
    target = (payloads, payloads.strides[0])
    largest = xp.zeros(num_rows, dtype=bits(vectors.dtype))
    launch(xp, of, "pack_signs", num_rows * parts(dimension), *given, largest, *target)
    num_sums = num_rows * parts(dimension, SPAN)
    sums = xp.empty(num_sums, dtype=np.float64)
    launch(xp, of, "sum_ratios", num_sums, *given, largest, sums)
    launch(xp, of, "write_scales", num_rows, sums, largest, dimension, *target)


def decode(payloads: Array, channel: Channel) -> tuple[Array, HostInts]:
    """Multiply the scales by the signs; see :meth:`GpuCodec.decode_on_gpu`."""
    xp, num_rows = namespace(payloads), len(payloads)
    scale_bits = first_numbers(payloads, channel.dtype)
    vectors = xp.empty((num_rows, channel.dimension), dtype=channel.dtype)
    flags = xp.zeros((num_rows, 2), dtype=np.int32)
    launch(
        xp,
        _program(channel.dtype),
        "unpack_signs",
        num_rows * parts(channel.dimension),
        payloads,
        payloads.strides[0],
        channel.dimension,
        scale_bits,
        as_bits(vectors)[0],
        flags,
    )
    some_set, unclean = raised(flags)
    scale = to_host(scale_bits).view(channel.dtype)
    return refuse(
        vectors,
        (~np.isfinite(scale), Rejection.NOT_FINITE),
        (unclean, Rejection.PADDING),
        (np.signbit(scale) | ((scale == 0) & some_set), Rejection.SCALE),
    )


def _program(dtype: np.dtype[Any]) -> Program:
    return program(dtype, "codes", "sums", "sign")
