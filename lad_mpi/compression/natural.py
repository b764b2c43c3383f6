"""Natural compression: signs and exponents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lad_mpi.compression.base import Rejection
from lad_mpi.compression.bits import BYTE_BITS, clean_ends, packed_bytes
from lad_mpi.compression.rows import pieces, refuse

if TYPE_CHECKING:
    from lad_mpi.compression.base import Channel
    from lad_mpi.types import Array, HostBytes, HostFloats, HostInts

_NOT_FINITE = 255
#: The sign bits of the eight float32 numbers whose signs a byte holds, shape (256, 8).
_SIGN_BITS = BYTE_BITS.astype(np.uint32) << np.uint32(31)


@dataclass(frozen=True, slots=True)
class Natural:
    r"""Round every coordinate at random to one of the two powers of two around it.

    A payload is the signs, one bit for each coordinate, set where it is
    negative, and then the exponents, one byte each: c > 0 stands for
    2^(c − 127), as in float32, and 0 for 0.

    Notes
    -----
    For :math:`2^a ≤ |v_j| < 2^{a+1}`,

    .. math:: |C(v)_j| = 2^{a+1} \text{ with probability } 2^{-a} |v_j| - 1,
              \text{ else } 2^a, \qquad
              \mathbb{E}\|C(v) - v\|^2 \le \frac{1}{8} \|v\|^2,

    for any dtype. Below 2⁻¹²⁶, where the exponents of float32 end, a coordinate becomes
    2⁻¹²⁶ with probability :math:`2^{126} |v_j|`, or else 0. This is unbiased, with a variance of at
    most :math:`2^{-126} |v_j|`, so the bound δ does not hold for vectors of such numbers. A
    coordinate above 2¹²⁷ cannot be sent, in float64 as well. It gets exponent 255 and is
    refused as not finite. In float32 a coordinate takes half a random word, and the
    probabilities are exact. In float64 it takes a whole word, and they are exact, or to
    2⁻⁵³ below 2⁻¹²⁶.

    References
    ----------
    Horváth, Ho, Horváth, Sahu, Canini, Richtárik, "Natural compression for
    distributed deep learning", MSML 2022, arXiv:1905.10988.
    """

    kind: ClassVar[str] = "natural"
    cost: ClassVar[str] = "9 Q/8 bytes"
    wire_code: ClassVar[int] = 6
    unbiased: ClassVar[bool] = True
    delta_is_exact: ClassVar[bool] = False

    def check(self, dimension: int) -> None:
        """Accept any dimension."""

    def payload_bytes(self, dimension: int, dtype: np.dtype[Any]) -> int:  # noqa: ARG002
        """Return the size of a payload, Q signs and Q exponents."""
        return packed_bytes(dimension, 9)

    def delta(self, dimension: int) -> float:  # noqa: ARG002
        """Return the bound δ = 1/8."""
        return 1 / 8

    def encode(self, vectors: HostFloats, channel: Channel) -> HostBytes:
        """Round, and separate signs from exponents; see :meth:`Codec.encode`."""
        from lad_mpi.compression import kernels  # noqa: PLC0415  (imports Numba)

        payloads = np.empty(
            (len(vectors), self.payload_bytes(channel.dimension, channel.dtype)), dtype=np.uint8
        )
        split = packed_bytes(channel.dimension, 1)
        for rows, columns in pieces(*vectors.shape):
            bits = np.packbits(np.signbit(vectors[rows, columns]), axis=1, bitorder="little")
            first = columns.start // 8
            payloads[rows, first : first + bits.shape[1]] = bits
        kernels.natural_exponents(vectors, channel, payloads, first=split)
        return payloads

    def decode(self, payloads: HostBytes, channel: Channel) -> tuple[HostFloats, HostInts]:
        """Combine signs and exponents; see :meth:`Codec.decode`."""
        split = packed_bytes(channel.dimension, 1)
        signs, exponents = payloads[:, :split], payloads[:, split:]
        vectors = np.empty((len(payloads), channel.dimension), dtype=channel.dtype)
        largest = np.zeros(len(payloads), dtype=np.uint8)
        with np.errstate(all="ignore"):
            for rows, columns in pieces(*vectors.shape):
                part = exponents[rows, columns]
                largest[rows] = np.maximum(largest[rows], part.max(axis=1))
                bits = part.astype(np.uint32, order="C")
                bits <<= np.uint32(23)
                packed = signs[rows, columns.start // 8 : -(-columns.stop // 8)]
                bits |= _SIGN_BITS.take(packed, axis=0).reshape(len(part), -1)[:, : part.shape[1]]
                vectors[rows, columns] = bits.view(np.float32)
        return vectors, refuse(
            vectors,
            (largest == _NOT_FINITE, Rejection.NOT_FINITE),
            (~clean_ends(signs, channel.dimension), Rejection.PADDING),
        )

    def encode_on_gpu(self, vectors: Array, channel: Channel, payloads: Array) -> None:
        """Round, and separate signs from exponents; see :meth:`GpuCodec.encode_on_gpu`."""
        from lad_mpi.compression.cuda import natural  # noqa: PLC0415  (for runs on a GPU)

        natural.encode(vectors, channel, payloads)

    def decode_on_gpu(self, payloads: Array, channel: Channel) -> tuple[Array, HostInts]:
        """Combine signs and exponents; see :meth:`GpuCodec.decode_on_gpu`."""
        from lad_mpi.compression.cuda import natural  # noqa: PLC0415  (for runs on a GPU)

        return natural.decode(payloads, channel)
