"""No compression: the vectors themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from lad_mpi.compression.rows import from_bytes, refuse_not_finite, to_bytes

if TYPE_CHECKING:
    import numpy as np

    from lad_mpi.compression.base import Channel
    from lad_mpi.types import Array, HostBytes, HostFloats, HostInts


@dataclass(frozen=True, slots=True)
class NoCompression:
    """Send every coordinate as it is, little-endian, in the dtype of the run."""

    kind: ClassVar[str] = "none"
    cost: ClassVar[str] = "b Q bytes"
    wire_code: ClassVar[int] = 0
    is_plain: ClassVar[Literal[True]] = True
    unbiased: ClassVar[bool] = True
    column_unit: ClassVar[int] = 1
    delta_is_exact: ClassVar[bool] = True

    def check(self, dimension: int) -> None:
        """Accept any dimension."""

    def payload_bytes(self, dimension: int, dtype: np.dtype[Any]) -> int:
        """Return the size of a payload, Q numbers."""
        return dimension * dtype.itemsize

    def delta(self, dimension: int) -> float:  # noqa: ARG002
        """Return δ = 0: nothing is lost."""
        return 0.0

    def encode(self, vectors: HostFloats, channel: Channel) -> HostBytes:  # noqa: ARG002
        """Copy vectors into bytes; see :meth:`Codec.encode`."""
        return to_bytes(vectors)

    def decode(self, payloads: HostBytes, channel: Channel) -> tuple[HostFloats, HostInts]:
        """Copy bytes into vectors and refuse what is not finite; see :meth:`Codec.decode`."""
        vectors = from_bytes(payloads, channel.dtype)
        return vectors, refuse_not_finite(vectors)

    def encode_on_gpu(self, vectors: Array, channel: Channel, payloads: Array) -> None:  # noqa: ARG002
        """Copy vectors into bytes; see :meth:`GpuCodec.encode_on_gpu`."""
        from lad_mpi.compression.cuda import numbers  # noqa: PLC0415  (for runs on a GPU)

        numbers.encode(vectors, payloads, "whole")

    def decode_on_gpu(self, payloads: Array, channel: Channel) -> tuple[Array, HostInts]:
        """Copy bytes and refuse what is not finite; see :meth:`GpuCodec.decode_on_gpu`."""
        from lad_mpi.compression.cuda import numbers  # noqa: PLC0415  (for runs on a GPU)

        return numbers.decode(payloads, channel, "whole")

    def column_bytes(self, columns: slice, dtype: np.dtype[Any]) -> slice:
        """Return the bytes of a payload that hold a range of columns."""
        return slice(columns.start * dtype.itemsize, columns.stop * dtype.itemsize)

    def decode_columns(
        self,
        payloads: HostBytes,
        columns: slice,  # noqa: ARG002
        channel: Channel,
        out: HostFloats,
    ) -> HostInts:
        """Copy bytes into columns and refuse what is not finite; see :class:`ColumnCodec`."""
        out[...] = payloads.view(channel.dtype.newbyteorder("<"))
        return refuse_not_finite(out)
