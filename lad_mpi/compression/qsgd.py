"""Random quantisation (QSGD): one norm and a few bits a coordinate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lad_mpi.compression.base import Rejection
from lad_mpi.compression.bits import pack_bits, packed_bytes, unpack_bits
from lad_mpi.compression.rows import from_bytes, groups, refuse, to_bytes
from lad_mpi.errors import ParameterError

if TYPE_CHECKING:
    from lad_mpi.compression.base import Channel
    from lad_mpi.types import HostBytes, HostFloats, HostInts

_MOST_LEVELS = 2**31 - 1  # so that a code fits in 32 bits


@dataclass(frozen=True, slots=True)
class Qsgd:
    r"""Round every coordinate at random to one of s equal steps of the vector's norm.

    A payload is the norm, in the dtype of the run, and one code for each
    coordinate, its signed level plus s, in ⌈log₂(2s+1)⌉ bits without gaps.

    Parameters
    ----------
    levels : int
        s, steps between zero and the norm, 1 ≤ s < 2³¹.

    Notes
    -----
    With u_j uniform in [0, 1),

    .. math:: C(v)_j = \|v\| \, \mathrm{sign}(v_j) \,
              \frac{1}{s} \left\lfloor \frac{s |v_j|}{\|v\|} + u_j \right\rfloor,
              \qquad
              \mathbb{E}\|C(v) - v\|^2 \le \min(Q/s^2, \sqrt{Q}/s) \|v\|^2.

    The norm is summed row by row in float64 after scaling by the largest
    magnitude, so it neither overflows on the way nor depends on the other
    rows. A vector whose norm exceeds the dtype cannot be sent: its norm
    travels as NaN and is refused. The zero vector is norm 0 with all levels 0,
    and no other levels are valid beside norm 0.

    References
    ----------
    Alistarh, Grubic, Li, Tomioka, Vojnovic, "QSGD: communication-efficient SGD via
    gradient quantization and encoding", NeurIPS 2017, arXiv:1610.02132.
    """

    levels: int

    kind: ClassVar[str] = "qsgd"
    cost: ClassVar[str] = "b + Q⌈log₂(2s+1)⌉/8 bytes"
    wire_code: ClassVar[int] = 2
    unbiased: ClassVar[bool] = True
    delta_is_exact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse a number of levels that no code can hold."""
        if not 1 <= self.levels <= _MOST_LEVELS:
            raise ParameterError(
                "levels", f"must be between 1 and {_MOST_LEVELS}, not {self.levels}"
            )

    @property
    def _width(self) -> int:
        return (2 * self.levels).bit_length()

    def check(self, dimension: int) -> None:
        """Accept any dimension."""

    def payload_bytes(self, dimension: int, dtype: np.dtype[Any]) -> int:
        """Return the size of a payload, a norm and Q codes."""
        return dtype.itemsize + packed_bytes(dimension, self._width)

    def delta(self, dimension: int) -> float:
        """Return the bound δ = min(Q/s², √Q/s)."""
        return min(dimension / self.levels**2, math.sqrt(dimension) / self.levels)

    def encode(self, vectors: HostFloats, channel: Channel) -> HostBytes:
        """Quantise and pack; see :meth:`Codec.encode`."""
        size = self.payload_bytes(channel.dimension, channel.dtype)
        payloads = np.empty((len(vectors), size), dtype=np.uint8)
        for rows, part in groups(channel):
            norms, codes = self._quantize(vectors[rows], part)
            payloads[rows, : channel.dtype.itemsize] = to_bytes(norms)
            payloads[rows, channel.dtype.itemsize :] = pack_bits(codes, self._width)
        return payloads

    def decode(self, payloads: HostBytes, channel: Channel) -> tuple[HostFloats, HostInts]:
        """Unpack and multiply by the norm; see :meth:`Codec.decode`."""
        vectors = np.empty((len(payloads), channel.dimension), dtype=channel.dtype)
        rejections = np.empty(len(payloads), dtype=np.int64)
        for rows, part in groups(channel):
            vectors[rows], rejections[rows] = self._decode_group(payloads[rows], part)
        return vectors, rejections

    def _quantize(self, vectors: HostFloats, channel: Channel) -> tuple[HostFloats, HostInts]:
        """Return norms, shape (n, 1) of the channel's dtype, and codes, shape (n, Q)."""
        wide = np.ascontiguousarray(vectors, dtype=np.float64)
        with np.errstate(all="ignore"):
            magnitudes = np.abs(wide)
            norms = _norms(magnitudes, channel.dtype)
            # Comparing with NaN is false: what has no norm is sent with all levels 0.
            scaled = np.where(norms > 0, magnitudes / norms * self.levels, 0.0)
        below = np.floor(scaled)
        steps = below + (channel.uniforms(channel.dimension) < scaled - below)
        codes = np.copysign(steps, wide) + self.levels
        return norms, codes.astype(np.int64)

    def _decode_group(self, payloads: HostBytes, channel: Channel) -> tuple[HostFloats, HostInts]:
        size = channel.dtype.itemsize
        norms = from_bytes(payloads[:, :size], channel.dtype)
        codes, clean = unpack_bits(payloads[:, size:], channel.dimension, self._width)
        steps = codes - self.levels
        norm = norms[:, 0]
        with np.errstate(all="ignore"):
            # A fraction of at most 1 times a finite norm cannot overflow.
            vectors = (steps / self.levels * norms).astype(channel.dtype)
        rejections = refuse(
            vectors,
            (~np.isfinite(norm), Rejection.NOT_FINITE),
            (np.signbit(norm) | ((norm == 0) & np.any(steps != 0, axis=1)), Rejection.SCALE),
            (np.any(steps > self.levels, axis=1), Rejection.LEVEL),
            (~clean, Rejection.PADDING),
        )
        return vectors, rejections


def _norms(magnitudes: HostFloats, dtype: np.dtype[Any]) -> HostFloats:
    """Return Euclidean norms, shape (n, 1), never below the largest magnitude; NaN if infinite."""
    largest = magnitudes.max(axis=1, keepdims=True)
    ratios = magnitudes / np.where(largest > 0, largest, 1.0)
    # np.sum along contiguous rows adds each in an order that depends on Q alone.
    # The largest ratio is exactly 1, so no rounding takes a norm below the largest magnitude.
    norms: HostFloats = largest * np.sqrt(np.sum(ratios * ratios, axis=1, keepdims=True))
    norms = norms.astype(dtype)
    norms[~np.isfinite(norms)] = np.nan
    return norms
