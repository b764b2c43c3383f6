"""Random quantisation (QSGD): one norm and a few bits a coordinate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Le

from lad_mpi.compression.base import Rejection
from lad_mpi.compression.bits import packed_bytes
from lad_mpi.compression.rows import from_bytes, refuse, to_bytes
from lad_mpi.parameters import Example, check_parameters

if TYPE_CHECKING:
    from lad_mpi.compression.base import Channel
    from lad_mpi.types import Array, HostBytes, HostFloats, HostInts

_MOST_LEVELS = 2**31 - 1  # so that a code fits in 32 bits


@dataclass(frozen=True, slots=True)
class Qsgd:
    r"""Round every coordinate at random to one of s equal steps of the vector's norm.

    A payload is the norm, in the dtype of the run, and one code for each
    coordinate, its signed level plus s, in ⌈log₂(2s+1)⌉ bits without gaps.

    Parameters
    ----------
    levels : int
        s, the number of steps between zero and the norm, 1 ≤ s < 2³¹.

    Notes
    -----
    With u_j uniform in [0, 1),

    .. math:: C(v)_j = \|v\| \, \mathrm{sign}(v_j) \,
              \frac{1}{s} \left\lfloor \frac{s |v_j|}{\|v\|} + u_j \right\rfloor,
              \qquad
              \mathbb{E}\|C(v) - v\|^2 \le \min(Q/s^2, \sqrt{Q}/s) \|v\|^2.

    The norm is summed row by row in float64, for float64 vectors after scaling by a power
    of two. It therefore neither overflows nor depends on other rows. u_j has 53 random
    bits, or 32 in float32, and the probabilities are exact to these bits. A vector whose
    norm exceeds the dtype cannot be sent: its norm is sent as NaN, and the message is
    refused. The zero vector has norm 0 and all levels 0. With norm 0, other levels are
    invalid.

    References
    ----------
    Alistarh, Grubic, Li, Tomioka, Vojnovic, "QSGD: communication-efficient SGD via
    gradient quantization and encoding", NeurIPS 2017, arXiv:1610.02132.
    """

    levels: Annotated[int, Ge(1), Le(_MOST_LEVELS), Example(16)]

    kind: ClassVar[str] = "qsgd"
    cost: ClassVar[str] = "b + Q⌈log₂(2s+1)⌉/8 bytes"
    wire_code: ClassVar[int] = 2
    unbiased: ClassVar[bool] = True
    delta_is_exact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_parameters(self)

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
        from lad_mpi.compression import kernels  # noqa: PLC0415  (imports Numba)

        size = channel.dtype.itemsize
        payloads = np.empty(
            (len(vectors), self.payload_bytes(channel.dimension, channel.dtype)), dtype=np.uint8
        )
        norms = kernels.quantize(vectors, self.levels, channel, payloads, first=size)
        payloads[:, :size] = to_bytes(norms[:, None])
        return payloads

    def decode(self, payloads: HostBytes, channel: Channel) -> tuple[HostFloats, HostInts]:
        """Unpack and multiply by the norm; see :meth:`Codec.decode`."""
        from lad_mpi.compression import kernels  # noqa: PLC0415  (imports Numba)

        size = channel.dtype.itemsize
        norms = from_bytes(payloads[:, :size], channel.dtype)[:, 0]
        vectors, beyond, moved, clean = kernels.dequantize(
            norms, payloads, self.levels, channel.dimension, first=size
        )
        return vectors, refuse(
            vectors,
            (~np.isfinite(norms), Rejection.NOT_FINITE),
            (np.signbit(norms) | ((norms == 0) & moved), Rejection.SCALE),
            (beyond, Rejection.LEVEL),
            (~clean, Rejection.PADDING),
        )

    def encode_on_gpu(self, vectors: Array, channel: Channel, payloads: Array) -> None:
        """Quantise and pack; see :meth:`GpuCodec.encode_on_gpu`."""
        from lad_mpi.compression.cuda import qsgd  # noqa: PLC0415  (for runs on a GPU)

        qsgd.encode(vectors, self.levels, channel, payloads)

    def decode_on_gpu(self, payloads: Array, channel: Channel) -> tuple[Array, HostInts]:
        """Unpack and multiply by the norm; see :meth:`GpuCodec.decode_on_gpu`."""
        from lad_mpi.compression.cuda import qsgd  # noqa: PLC0415  (for runs on a GPU)

        return qsgd.decode(payloads, self.levels, channel)
