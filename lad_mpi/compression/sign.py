"""Scaled signs: one number and one bit a coordinate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lad_mpi.compression.base import Rejection
from lad_mpi.compression.bits import BYTE_BITS, clean_ends, packed_bytes
from lad_mpi.compression.rows import from_bytes, pieces, refuse, to_bytes

if TYPE_CHECKING:
    from lad_mpi.compression.base import Channel
    from lad_mpi.types import Array, HostBytes, HostFloats, HostInts

#: The eight signs that a byte stands for, shape (256, 8): a set bit is −1.
_SIGNS = 1.0 - 2.0 * BYTE_BITS


@dataclass(frozen=True, slots=True)
class Sign:
    r"""Send the sign of every coordinate and the mean magnitude.

    A payload is the scale, in the dtype of the run, and one bit for each
    coordinate, set where it is negative.

    Parameters
    ----------
    error_feedback : bool
        Whether devices keep the error of a message and add it to the next vector.

    Notes
    -----
    .. math:: C(v)_j = \frac{\|v\|_1}{Q} \, \mathrm{sign}(v_j), \qquad
              \|C(v) - v\|^2 = \Bigl(1 - \frac{\|v\|_1^2}{Q \|v\|^2}\Bigr) \|v\|^2,

    with sign(0) = 1. The codec is biased, so it has no δ of an unbiased compressor. It
    contracts most if all magnitudes are similar, and needs error feedback to converge.
    The mean is taken of ratios to the largest magnitude, in float64. It does not
    overflow, and is exact if all magnitudes are equal. If the scale is zero, as for the
    zero vector, no bit is set.

    References
    ----------
    Karimireddy, Rebjock, Stich, Jaggi, "Error feedback fixes SignSGD and other
    gradient compression schemes", ICML 2019, arXiv:1901.09847.
    """

    error_feedback: bool = False

    kind: ClassVar[str] = "sign"
    cost: ClassVar[str] = "b + Q/8 bytes"
    wire_code: ClassVar[int] = 4
    unbiased: ClassVar[bool] = False
    delta_is_exact: ClassVar[bool] = False

    def check(self, dimension: int) -> None:
        """Accept any dimension."""

    def payload_bytes(self, dimension: int, dtype: np.dtype[Any]) -> int:
        """Return the size of a payload, a scale and Q bits."""
        return dtype.itemsize + packed_bytes(dimension, 1)

    def delta(self, dimension: int) -> float:  # noqa: ARG002
        """Return NaN: the codec is biased."""
        return math.nan

    def encode(self, vectors: HostFloats, channel: Channel) -> HostBytes:
        """Average the magnitudes and pack the signs; see :meth:`Codec.encode`."""
        size = channel.dtype.itemsize
        payloads = np.empty(
            (len(vectors), self.payload_bytes(channel.dimension, channel.dtype)), dtype=np.uint8
        )
        scales = _mean_magnitudes(vectors).astype(channel.dtype)
        payloads[:, :size] = to_bytes(scales[:, None])
        for rows, columns in pieces(*vectors.shape):
            first = size + columns.start // 8
            bits = np.packbits(vectors[rows, columns] < 0, axis=1, bitorder="little")
            payloads[rows, first : first + bits.shape[1]] = bits
        payloads[scales == 0, size:] = 0
        return payloads

    def decode(self, payloads: HostBytes, channel: Channel) -> tuple[HostFloats, HostInts]:
        """Multiply the scale by the signs; see :meth:`Codec.decode`."""
        size = channel.dtype.itemsize
        scales, bits = from_bytes(payloads[:, :size], channel.dtype), payloads[:, size:]
        vectors = np.empty((len(payloads), channel.dimension), dtype=channel.dtype)
        signs = _SIGNS.astype(channel.dtype)
        with np.errstate(all="ignore"):
            for rows, columns in pieces(*vectors.shape):
                part = bits[rows, columns.start // 8 : -(-columns.stop // 8)]
                whole = signs[part].reshape(len(part), -1)
                np.multiply(
                    whole[:, : columns.stop - columns.start],
                    scales[rows],
                    out=vectors[rows, columns],
                )
        scale = scales[:, 0]
        idle = (scale == 0) & bits.any(axis=1)
        return vectors, refuse(
            vectors,
            (~np.isfinite(scale), Rejection.NOT_FINITE),
            (~clean_ends(bits, channel.dimension), Rejection.PADDING),
            (np.signbit(scale) | idle, Rejection.SCALE),
        )

    def encode_on_gpu(self, vectors: Array, channel: Channel, payloads: Array) -> None:  # noqa: ARG002
        """Average the magnitudes and pack the signs; see :meth:`GpuCodec.encode_on_gpu`."""
        from lad_mpi.compression.cuda import sign  # noqa: PLC0415  (for runs on a GPU)

        sign.encode(vectors, payloads)

    def decode_on_gpu(self, payloads: Array, channel: Channel) -> tuple[Array, HostInts]:
        """Multiply the scale by the signs; see :meth:`GpuCodec.decode_on_gpu`."""
        from lad_mpi.compression.cuda import sign  # noqa: PLC0415  (for runs on a GPU)

        return sign.decode(payloads, channel)


def _mean_magnitudes(vectors: HostFloats) -> HostFloats:
    """Return the mean magnitude of each row, float64, shape (n,); NaN where it is not finite."""
    num_rows, dimension = vectors.shape
    largest, totals = np.zeros((num_rows, 1)), np.zeros(num_rows)
    with np.errstate(all="ignore"):
        for rows, columns in pieces(num_rows, dimension):
            part = vectors[rows, columns]
            ends = np.maximum(np.abs(part.max(axis=1)), np.abs(part.min(axis=1)))
            largest[rows, 0] = np.maximum(largest[rows, 0], ends)
        # Avoid a division by zero. Infinity over infinity makes the mean NaN.
        divisors = np.where(largest == 0, 1.0, largest)
        for rows, columns in pieces(num_rows, dimension):
            ratios = np.abs(vectors[rows, columns].astype(np.float64, order="C"))
            ratios /= divisors[rows]
            # np.sum along contiguous rows adds each in an order that depends on its length alone.
            totals[rows] += ratios.sum(axis=1)
        # At most 1, so that no product is larger than the largest magnitude.
        means: HostFloats = totals / dimension * largest[:, 0]
    return means
