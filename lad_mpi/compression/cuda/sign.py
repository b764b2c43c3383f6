"""The codec ``sign`` on a GPU.

Encoding reads the vectors twice: for their signs and largest magnitudes, then for the mean ratio
to these. Decoding writes them once. Temporaries take Q/512 bytes a row, and
at most 16 bytes a bucket.
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
)

if TYPE_CHECKING:
    from typing import Any

    from lad_mpi.compression.base import Channel
    from lad_mpi.types import Array, HostInts


def encode(vectors: Array, bucket: int, payloads: Array) -> None:
    """Average magnitudes and pack signs; see :meth:`GpuCodec.encode_on_gpu`."""
    xp, (num_rows, dimension) = namespace(vectors), vectors.shape
    of, given = _program(vectors.dtype), (*as_bits(vectors), dimension, bucket)
    target = (payloads, payloads.strides[0])
    num_buckets = num_rows * parts(dimension, bucket)
    largest = xp.zeros(num_buckets, dtype=bits(vectors.dtype))
    launch(xp, of, "pack_signs", num_buckets * parts(bucket), *given, largest, *target)
    num_sums = num_buckets * parts(bucket, SPAN)
    sums = xp.empty(num_sums, dtype=np.float64)
    launch(xp, of, "sum_ratios", num_sums, *given, largest, sums)
    launch(xp, of, "write_scales", num_buckets, sums, largest, dimension, bucket, *target)


def decode(payloads: Array, bucket: int, channel: Channel) -> tuple[Array, HostInts]:
    """Multiply the scales by the signs; see :meth:`GpuCodec.decode_on_gpu`."""
    xp, num_rows = namespace(payloads), len(payloads)
    num_buckets = num_rows * parts(channel.dimension, bucket)
    vectors = xp.empty((num_rows, channel.dimension), dtype=channel.dtype)
    flags = xp.zeros((num_buckets, 3), dtype=np.int32)
    launch(
        xp,
        _program(channel.dtype),
        "unpack_signs",
        num_buckets * parts(bucket),
        payloads,
        payloads.strides[0],
        channel.dimension,
        bucket,
        as_bits(vectors)[0],
        flags,
    )
    not_finite, unclean, wrong_scale = raised(flags)
    return refuse(
        vectors,
        (not_finite, Rejection.NOT_FINITE),
        (unclean, Rejection.PADDING),
        (wrong_scale, Rejection.SCALE),
    )


def _program(dtype: np.dtype[Any]) -> Program:
    return program(dtype, "codes", "sums", "sign")
