"""Random quantisation (QSGD): one norm and a few bits a coordinate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Le

from lad_mpi.compression.buckets import Bucket, bucket_size, bucketed_bytes
from lad_mpi.parameters import Example, check_parameters

if TYPE_CHECKING:
    from lad_mpi.compression.base import Channel
    from lad_mpi.types import Array, HostBytes, HostFloats, HostInts

_MOST_LEVELS = 2**31 - 1  # so that a code fits in 32 bits


@dataclass(frozen=True, slots=True)
class Qsgd:
    r"""Round every coordinate at random to one of s equal steps of a norm.

    The norm is that of the whole vector, or of the coordinate's bucket. A payload holds the
    buckets in order: the norm, in the dtype of the run, and one code for each coordinate,
    its signed level plus s, in ⌈log₂(2s+1)⌉ bits without gaps.

    Parameters
    ----------
    levels : int
        s, the number of steps between zero and the norm, 1 ≤ s < 2³¹.
    bucket : int, optional
        B, the number of adjacent coordinates that share a norm. The last bucket may be
        smaller. 4096 is usual for large models. If left out, all coordinates share one norm.

    Notes
    -----
    With u_j uniform in [0, 1), for each bucket v of B coordinates,

    .. math:: C(v)_j = \|v\| \, \mathrm{sign}(v_j) \,
              \frac{1}{s} \left\lfloor \frac{s |v_j|}{\|v\|} + u_j \right\rfloor,
              \qquad
              \mathbb{E}\|C(v) - v\|^2 \le \min(B/s^2, \sqrt{B}/s) \|v\|^2,

    and B = Q without buckets. The bound holds for a vector because it holds for each bucket,
    and the largest bucket determines it. Messages can be cut between buckets.

    A norm is summed in float64, for float64 vectors after scaling by a power of two. It
    therefore neither overflows nor depends on other rows. u_j has 53 random bits, or 32 in
    float32, and the probabilities are exact to these bits. A norm that exceeds the dtype
    cannot be sent: it is sent as NaN, and the message is refused. A zero vector has norm 0
    and all levels 0. With norm 0, other levels are invalid.

    References
    ----------
    Alistarh, Grubic, Li, Tomioka, Vojnovic, "QSGD: communication-efficient SGD via
    gradient quantization and encoding", NeurIPS 2017, arXiv:1610.02132.
    """

    levels: Annotated[int, Ge(1), Le(_MOST_LEVELS), Example(16)]
    bucket: Bucket = None

    kind: ClassVar[str] = "qsgd"
    cost: ClassVar[str] = "b ⌈Q/B⌉ + Q⌈log₂(2s+1)⌉/8 bytes"
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
        """Return the size of a payload, a norm for each bucket and Q codes."""
        return bucketed_bytes(dimension, self.bucket, self._width, dtype)

    def delta(self, dimension: int) -> float:
        """Return the bound δ = min(B/s², √B/s), where B is the largest bucket."""
        largest = bucket_size(dimension, self.bucket)
        return min(largest / self.levels**2, math.sqrt(largest) / self.levels)

    def encode(self, vectors: HostFloats, channel: Channel) -> HostBytes:
        """Quantise and pack; see :meth:`Codec.encode`."""
        from lad_mpi.compression import kernels  # noqa: PLC0415  (imports Numba)

        payloads = np.empty(
            (len(vectors), self.payload_bytes(channel.dimension, channel.dtype)), dtype=np.uint8
        )
        bucket = bucket_size(channel.dimension, self.bucket)
        kernels.quantize(vectors, self.levels, bucket, channel, payloads)
        return payloads

    def decode(self, payloads: HostBytes, channel: Channel) -> tuple[HostFloats, HostInts]:
        """Unpack and multiply by the norms; see :meth:`Codec.decode`."""
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
        columns: slice,
        channel: Channel,  # noqa: ARG002
        out: HostFloats,
    ) -> HostInts:
        """Unpack some columns and multiply by their norms; see :class:`ColumnCodec`."""
        from lad_mpi.compression import kernels  # noqa: PLC0415  (imports Numba)

        bucket = bucket_size(columns.stop - columns.start, self.bucket)
        return kernels.dequantize(payloads, self.levels, bucket, out)

    def encode_on_gpu(self, vectors: Array, channel: Channel, payloads: Array) -> None:
        """Quantise and pack; see :meth:`GpuCodec.encode_on_gpu`."""
        from lad_mpi.compression.cuda import qsgd  # noqa: PLC0415  (for runs on a GPU)

        bucket = bucket_size(channel.dimension, self.bucket)
        qsgd.encode(vectors, self.levels, bucket, channel, payloads)

    def decode_on_gpu(self, payloads: Array, channel: Channel) -> tuple[Array, HostInts]:
        """Unpack and multiply by the norm; see :meth:`GpuCodec.decode_on_gpu`."""
        from lad_mpi.compression.cuda import qsgd  # noqa: PLC0415  (for runs on a GPU)

        bucket = bucket_size(channel.dimension, self.bucket)
        return qsgd.decode(payloads, self.levels, bucket, channel)
