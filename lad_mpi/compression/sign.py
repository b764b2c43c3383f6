"""Scaled signs: one number and one bit a coordinate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lad_mpi.compression.base import Rejection
from lad_mpi.compression.bits import BYTE_BITS, clean_ends
from lad_mpi.compression.buckets import (
    Bucket,
    bucket_size,
    bucketed_bytes,
    first_of_buckets,
    in_buckets,
)
from lad_mpi.compression.rows import (
    bucket_groups,
    first_reasons,
    from_bytes,
    pieces,
    to_bytes,
)
from lad_mpi.parameters import check_parameters

if TYPE_CHECKING:
    from lad_mpi.compression.base import Channel
    from lad_mpi.types import Array, HostBytes, HostFloats, HostInts

_WIDTH = 1
#: The eight signs that a byte stands for, shape (256, 8): a set bit is −1.
_SIGNS = 1.0 - 2.0 * BYTE_BITS


@dataclass(frozen=True, slots=True)
class Sign:
    r"""Send the sign of every coordinate and the mean magnitude.

    The mean is that of the whole vector, or of the coordinate's bucket. A payload holds the
    buckets in order: the mean, in the dtype of the run, and one bit for each coordinate, set
    where it is negative.

    Parameters
    ----------
    error_feedback : bool
        Whether devices keep the error of a message and add it to the next vector.
    bucket : int, optional
        B, the number of adjacent coordinates that share a scale. The last bucket may be
        smaller. 4096 is usual for large models. If left out, all coordinates share one scale.

    Notes
    -----
    For each bucket v of B coordinates,

    .. math:: C(v)_j = \frac{\|v\|_1}{B} \, \mathrm{sign}(v_j), \qquad
              \|C(v) - v\|^2 = \Bigl(1 - \frac{\|v\|_1^2}{B \|v\|^2}\Bigr) \|v\|^2,

    with sign(0) = 1, and B = Q without buckets. The codec is biased, so it has no δ of an
    unbiased compressor. It contracts most if all magnitudes are similar, and needs error
    feedback to converge. The squared error of a whole vector is at most
    :math:`(1 - 1/B) \|v\|^2`, and cutting buckets into smaller ones never increases it.
    Messages can be cut between buckets.

    The mean is taken of ratios to the largest magnitude, in float64. It does not
    overflow, and is exact if all magnitudes are equal. If the scale is zero, as for the
    zero vector, no bit is set.

    References
    ----------
    Karimireddy, Rebjock, Stich, Jaggi, "Error feedback fixes SignSGD and other
    gradient compression schemes", ICML 2019, arXiv:1901.09847.
    """

    error_feedback: bool = False
    bucket: Bucket = None

    kind: ClassVar[str] = "sign"
    cost: ClassVar[str] = "b ⌈Q/B⌉ + Q/8 bytes"
    wire_code: ClassVar[int] = 4
    unbiased: ClassVar[bool] = False
    delta_is_exact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_parameters(self)

    def check(self, dimension: int) -> None:
        """Accept any dimension."""

    def payload_bytes(self, dimension: int, dtype: np.dtype[Any]) -> int:
        """Return the size of a payload, a scale for each bucket and Q bits."""
        return bucketed_bytes(dimension, self.bucket, _WIDTH, dtype)

    def delta(self, dimension: int) -> float:  # noqa: ARG002
        """Return NaN: the codec is biased."""
        return math.nan

    def encode(self, vectors: HostFloats, channel: Channel) -> HostBytes:
        """Average the magnitudes and pack the signs; see :meth:`Codec.encode`."""
        dimension, dtype = channel.dimension, channel.dtype
        payloads = np.empty((len(vectors), self.payload_bytes(dimension, dtype)), dtype=np.uint8)
        for values, target in in_buckets(vectors, payloads, self.bucket, _WIDTH):
            for rows, buckets in bucket_groups(*values.shape):
                _encode(values[rows, buckets], target[rows, buckets])
        return payloads

    def decode(self, payloads: HostBytes, channel: Channel) -> tuple[HostFloats, HostInts]:
        """Multiply the scales by the signs; see :meth:`Codec.decode`."""
        vectors = np.empty((len(payloads), channel.dimension), dtype=channel.dtype)
        columns = slice(0, channel.dimension)
        return vectors, self.decode_columns(payloads, columns, channel, vectors)

    @property
    def column_unit(self) -> int | None:
        """The bucket; see :class:`ColumnCodec`."""
        return self.bucket

    def column_bytes(self, columns: slice, dtype: np.dtype[Any]) -> slice:
        """Return the bytes of a payload that hold a range of columns."""
        return slice(
            self.payload_bytes(columns.start, dtype), self.payload_bytes(columns.stop, dtype)
        )

    def decode_columns(
        self,
        payloads: HostBytes,
        columns: slice,  # noqa: ARG002
        channel: Channel,  # noqa: ARG002
        out: HostFloats,
    ) -> HostInts:
        """Multiply the scales of some columns by their signs; see :class:`ColumnCodec`."""
        found = [
            _decode(source, values)
            for values, source in in_buckets(out, payloads, self.bucket, _WIDTH)
        ]
        reasons = first_of_buckets(np.concatenate(found, axis=1))
        if reasons.any():
            out[reasons != 0] = 0
        return reasons

    def encode_on_gpu(self, vectors: Array, channel: Channel, payloads: Array) -> None:
        """Average the magnitudes and pack the signs; see :meth:`GpuCodec.encode_on_gpu`."""
        from lad_mpi.compression.cuda import sign  # noqa: PLC0415  (for runs on a GPU)

        sign.encode(vectors, bucket_size(channel.dimension, self.bucket), payloads)

    def decode_on_gpu(self, payloads: Array, channel: Channel) -> tuple[Array, HostInts]:
        """Multiply the scale by the signs; see :meth:`GpuCodec.decode_on_gpu`."""
        from lad_mpi.compression.cuda import sign  # noqa: PLC0415  (for runs on a GPU)

        return sign.decode(payloads, bucket_size(channel.dimension, self.bucket), channel)


def _encode(values: HostFloats, payloads: HostBytes) -> None:
    """Encode buckets, shape (n, k, B), into bytes, shape (n, k, m)."""
    size = values.itemsize
    scales = _mean_magnitudes(values).astype(values.dtype)
    payloads[..., :size] = to_bytes(scales[..., None])
    for _, columns in pieces(1, values.shape[-1]):
        first = size + columns.start // 8
        bits = np.packbits(values[..., columns] < 0, axis=-1, bitorder="little")
        payloads[..., first : first + bits.shape[-1]] = bits
    payloads[scales == 0, size:] = 0


def _decode(payloads: HostBytes, out: HostFloats) -> HostInts:
    """Decode buckets, shape (n, k, B); return why each must be refused, shape (n, k), or 0."""
    size, dimension = out.itemsize, out.shape[-1]
    scales, bits = from_bytes(payloads[..., :size], out.dtype), payloads[..., size:].copy()
    signs = _SIGNS.astype(out.dtype)
    with np.errstate(all="ignore"):
        for rows, buckets in bucket_groups(*out.shape):
            for _, columns in pieces(1, dimension):
                part = bits[rows, buckets, columns.start // 8 : -(-columns.stop // 8)]
                # Twice as fast as signs[part].
                whole = signs.take(part, axis=0).reshape(*part.shape[:-1], -1)
                np.multiply(
                    whole[..., : columns.stop - columns.start],
                    scales[rows, buckets],
                    out=out[rows, buckets, columns],
                )
    scale = scales[..., 0]
    idle = scale == 0
    idle[idle] = bits[idle].any(axis=-1)
    return first_reasons(
        scale.shape,
        (~np.isfinite(scale), Rejection.NOT_FINITE),
        (~clean_ends(bits, dimension), Rejection.PADDING),
        (np.signbit(scale) | idle, Rejection.SCALE),
    )


def _mean_magnitudes(buckets: HostFloats) -> HostFloats:
    """Return the mean magnitude of each bucket, float64; NaN where it is not finite.

    Parameters
    ----------
    buckets : ndarray, shape (n, k, B)

    Returns
    -------
    ndarray of float64, shape (n, k)
    """
    size = buckets.shape[-1]
    largest, totals = np.zeros(buckets.shape[:2]), np.zeros(buckets.shape[:2])
    with np.errstate(all="ignore"):
        for _, columns in pieces(1, size):
            part = buckets[..., columns]
            ends = np.maximum(np.abs(part.max(axis=-1)), np.abs(part.min(axis=-1)))
            largest = np.maximum(largest, ends)
        # Avoid a division by zero. Infinity over infinity makes the mean NaN.
        divisors = np.where(largest == 0, 1.0, largest)[..., None]
        for _, columns in pieces(1, size):
            ratios = np.abs(buckets[..., columns].astype(np.float64, order="C"))
            ratios /= divisors
            # np.sum along contiguous rows adds each in an order that depends on its length alone.
            totals += ratios.sum(axis=-1)
        # At most 1, so that no product is larger than the largest magnitude.
        means: HostFloats = totals / size * largest
    return means
