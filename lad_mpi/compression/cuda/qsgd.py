"""The codec ``qsgd`` on a GPU.

Encoding reads the vectors twice, for their norms and for their codes, and in float64 a third
time, for their largest magnitudes. Decoding writes them once. Temporaries take Q/512 bytes a
row.
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
    stream,
)

if TYPE_CHECKING:
    from typing import Any

    from lad_mpi.compression.base import Channel
    from lad_mpi.types import Array, HostInts


def encode(vectors: Array, levels: int, channel: Channel, payloads: Array) -> None:
    """Quantise and pack; see :meth:`GpuCodec.encode_on_gpu`."""
    quantize(vectors, norms(vectors), levels, channel, payloads)


def norms(vectors: Array) -> Array:
    """Return the norms of vectors, rounded to their dtype, as bits.

    They are summed in float64, of float64 vectors after scaling by a power of two.

    Returns
    -------
    CuPy array of unsigned integers, shape (n,)
        Of NaN where a norm is not finite.
    """
    xp, (num_rows, dimension) = namespace(vectors), vectors.shape
    found = xp.empty(num_rows, dtype=bits(vectors.dtype))
    largest = xp.zeros(num_rows, dtype=bits(vectors.dtype))
    num_blocks = num_rows * parts(dimension, SPAN)
    sums = xp.empty(num_blocks, dtype=np.float64)
    of, given = _program(vectors.dtype), (*as_bits(vectors), dimension)
    if of.wide:
        launch(xp, of, "find_largest", num_blocks, *given, largest)
    launch(xp, of, "sum_squares", num_blocks, *given, largest, sums)
    launch(xp, of, "find_norms", num_rows, sums, largest, dimension, found)
    return found


def quantize(
    vectors: Array, norm_bits: Array, levels: int, channel: Channel, payloads: Array
) -> None:
    """Write norms, and coordinates rounded at random to steps of them."""
    num_rows, dimension = vectors.shape
    xp = namespace(vectors)
    launch(
        xp,
        _program(vectors.dtype),
        "quantize",
        num_rows * parts(dimension),
        *as_bits(vectors),
        dimension,
        norm_bits,
        np.uint32(levels),
        np.int32(_width(levels)),
        xp.asarray(channel.devices),
        *stream(channel),
        payloads,
        payloads.strides[0],
    )


def decode(payloads: Array, levels: int, channel: Channel) -> tuple[Array, HostInts]:
    """Unpack and multiply by the norms; see :meth:`GpuCodec.decode_on_gpu`."""
    xp, num_rows = namespace(payloads), len(payloads)
    norm_bits = first_numbers(payloads, channel.dtype)
    vectors = xp.empty((num_rows, channel.dimension), dtype=channel.dtype)
    flags = xp.zeros((num_rows, 3), dtype=np.int32)
    launch(
        xp,
        _program(channel.dtype),
        "dequantize",
        num_rows * parts(channel.dimension),
        payloads,
        payloads.strides[0],
        channel.dimension,
        norm_bits,
        np.uint32(levels),
        np.int32(_width(levels)),
        as_bits(vectors)[0],
        flags,
    )
    beyond, moved, unclean = raised(flags)
    norm = to_host(norm_bits).view(channel.dtype)
    return refuse(
        vectors,
        (~np.isfinite(norm), Rejection.NOT_FINITE),
        (np.signbit(norm) | ((norm == 0) & moved), Rejection.SCALE),
        (beyond, Rejection.LEVEL),
        (unclean, Rejection.PADDING),
    )


def _width(levels: int) -> int:
    return (2 * levels).bit_length()


def _program(dtype: np.dtype[Any]) -> Program:
    return program(dtype, "random", "codes", "sums", "qsgd")
