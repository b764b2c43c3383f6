"""The codec ``qsgd`` on a GPU.

Encoding reads the vectors twice, for their norms and for their codes, and in float64 a third
time, for their largest magnitudes. Decoding writes them once. Temporaries take Q/512 bytes a
row, and at most 24 bytes a bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import namespace
from lad_mpi.compression.base import Rejection
from lad_mpi.compression.cuda.launch import (
    SPAN,
    Program,
    as_bits,
    bits,
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


def encode(vectors: Array, levels: int, bucket: int, channel: Channel, payloads: Array) -> None:
    """Quantise and pack; see :meth:`GpuCodec.encode_on_gpu`."""
    quantize(vectors, norms(vectors, bucket), (levels, bucket), channel, payloads)


def norms(vectors: Array, bucket: int) -> Array:
    """Return the norms of buckets, rounded to their dtype, as bits.

    They are summed in float64, of float64 vectors after scaling by a power of two.

    Returns
    -------
    CuPy array of unsigned integers, shape (n * k,)
        Those of the k buckets of each row; of NaN where a norm is not finite.
    """
    xp, (num_rows, dimension) = namespace(vectors), vectors.shape
    num_buckets = num_rows * parts(dimension, bucket)
    found = xp.empty(num_buckets, dtype=bits(vectors.dtype))
    largest = xp.zeros(num_buckets, dtype=bits(vectors.dtype))
    num_blocks = num_buckets * parts(bucket, SPAN)
    sums = xp.empty(num_blocks, dtype=np.float64)
    of, given = _program(vectors.dtype), (*as_bits(vectors), dimension, bucket)
    if of.wide:
        launch(xp, of, "find_largest", num_blocks, *given, largest)
    launch(xp, of, "sum_squares", num_blocks, *given, largest, sums)
    launch(xp, of, "find_norms", num_buckets, sums, largest, bucket, found)
    return found


def quantize(
    vectors: Array, norm_bits: Array, sizes: tuple[int, int], channel: Channel, payloads: Array
) -> None:
    """Write norms, and coordinates rounded at random to steps of them."""
    levels, bucket = sizes
    dimension = vectors.shape[1]
    xp = namespace(vectors)
    launch(
        xp,
        _program(vectors.dtype),
        "quantize",
        len(norm_bits) * parts(bucket),
        *as_bits(vectors),
        dimension,
        bucket,
        norm_bits,
        np.uint32(levels),
        np.int32(_width(levels)),
        xp.asarray(channel.devices),
        *stream(channel),
        payloads,
        payloads.strides[0],
    )


def decode(payloads: Array, levels: int, bucket: int, channel: Channel) -> tuple[Array, HostInts]:
    """Unpack and multiply by the norms; see :meth:`GpuCodec.decode_on_gpu`."""
    xp, num_rows = namespace(payloads), len(payloads)
    num_buckets = num_rows * parts(channel.dimension, bucket)
    vectors = xp.empty((num_rows, channel.dimension), dtype=channel.dtype)
    flags = xp.zeros((num_buckets, 4), dtype=np.int32)
    launch(
        xp,
        _program(channel.dtype),
        "dequantize",
        num_buckets * parts(bucket),
        payloads,
        payloads.strides[0],
        channel.dimension,
        bucket,
        np.uint32(levels),
        np.int32(_width(levels)),
        as_bits(vectors)[0],
        flags,
    )
    not_finite, wrong_norm, beyond, unclean = raised(flags)
    return refuse(
        vectors,
        (not_finite, Rejection.NOT_FINITE),
        (wrong_norm, Rejection.SCALE),
        (beyond, Rejection.LEVEL),
        (unclean, Rejection.PADDING),
    )


def _width(levels: int) -> int:
    return (2 * levels).bit_length()


def _program(dtype: np.dtype[Any]) -> Program:
    return program(dtype, "random", "codes", "sums", "qsgd")
