"""Casting to 16 bits: each coordinate as a short floating-point number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from lad_mpi.compression.base import Rejection
from lad_mpi.compression.rows import pieces, refuse, rows_are_finite
from lad_mpi.parameters import check_parameters

if TYPE_CHECKING:
    import numpy.typing as npt

    from lad_mpi.compression.base import Channel
    from lad_mpi.types import Array, HostBytes, HostFloats, HostInts

_BYTES = 2
_FORMATS = ("float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class Cast:
    """Send every coordinate as a 16-bit number, rounded to nearest, ties to even.

    A payload is Q numbers, little-endian.

    Parameters
    ----------
    format : {"bfloat16", "float16"}
        ``"bfloat16"`` has the range of float32 and 8 significant bits. ``"float16"`` has
        11, but its largest number is 65504.
    error_feedback : bool
        Whether devices keep the error of a message and add it to the next vector.

    Notes
    -----
    The codec is biased, because rounding is not random, and therefore has no δ. Within
    the normal range :math:`|C(v)_j - v_j| ≤ ε |v_j|`, with ε = 2⁻⁸ for bfloat16 and
    2⁻¹¹ for float16. A
    number that rounds to more than the largest one is sent as infinity and refused. It is
    not clipped. A run with honest gradients that large stops.

    References
    ----------
    Micikevicius et al., "Mixed precision training", ICLR 2018, arXiv:1710.03740.
    """

    format: Literal["bfloat16", "float16"] = "bfloat16"
    error_feedback: bool = False

    kind: ClassVar[str] = "cast"
    cost: ClassVar[str] = "2 Q bytes"
    wire_code: ClassVar[int] = 5
    unbiased: ClassVar[bool] = False
    column_unit: ClassVar[int] = 1
    delta_is_exact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_parameters(self)

    def check(self, dimension: int) -> None:
        """Accept any dimension."""

    def payload_bytes(self, dimension: int, dtype: np.dtype[Any]) -> int:  # noqa: ARG002
        """Return the size of a payload, Q short numbers."""
        return _BYTES * dimension

    def delta(self, dimension: int) -> float:  # noqa: ARG002
        """Return NaN: the codec is biased."""
        return math.nan

    def encode(self, vectors: HostFloats, channel: Channel) -> HostBytes:
        """Round; see :meth:`Codec.encode`."""
        numbers = np.empty((len(vectors), channel.dimension), dtype="<u2")
        narrow = _to_float16 if self.format == "float16" else _to_bfloat16
        with np.errstate(all="ignore"):
            for rows, columns in pieces(*vectors.shape):
                numbers[rows, columns] = narrow(vectors[rows, columns])
        return numbers.view(np.uint8)

    def decode(self, payloads: HostBytes, channel: Channel) -> tuple[HostFloats, HostInts]:
        """Widen, which is exact, and refuse what is not finite; see :meth:`Codec.decode`."""
        vectors = np.empty((len(payloads), channel.dimension), dtype=channel.dtype)
        return vectors, refuse(vectors, (~self._widen(payloads, vectors), Rejection.NOT_FINITE))

    def encode_on_gpu(self, vectors: Array, channel: Channel, payloads: Array) -> None:  # noqa: ARG002
        """Round; see :meth:`GpuCodec.encode_on_gpu`."""
        from lad_mpi.compression.cuda import numbers  # noqa: PLC0415  (for runs on a GPU)

        numbers.encode(vectors, payloads, self.format)

    def decode_on_gpu(self, payloads: Array, channel: Channel) -> tuple[Array, HostInts]:
        """Widen and refuse what is not finite; see :meth:`GpuCodec.decode_on_gpu`."""
        from lad_mpi.compression.cuda import numbers  # noqa: PLC0415  (for runs on a GPU)

        return numbers.decode(payloads, channel, self.format)

    def column_bytes(self, columns: slice, dtype: np.dtype[Any]) -> slice:  # noqa: ARG002
        """Return the bytes of a payload that hold a range of columns."""
        return slice(_BYTES * columns.start, _BYTES * columns.stop)

    def decode_columns(
        self,
        payloads: HostBytes,
        columns: slice,  # noqa: ARG002
        channel: Channel,  # noqa: ARG002
        out: HostFloats,
    ) -> HostInts:
        """Widen some columns; see :class:`ColumnCodec`."""
        return refuse(out, (~self._widen(payloads, out), Rejection.NOT_FINITE))

    def _widen(self, payloads: HostBytes, out: HostFloats) -> npt.NDArray[np.bool_]:
        """Widen, which is exact, and tell which rows are finite."""
        finite = np.ones(len(out), dtype=np.bool_)
        widen = _from_float16 if self.format == "float16" else _from_bfloat16
        with np.errstate(all="ignore"):
            for rows, part in pieces(*out.shape):
                # A copy of a piece: rows of payloads need not be aligned.
                numbers = np.ascontiguousarray(
                    payloads[rows, _BYTES * part.start : _BYTES * part.stop]
                )
                out[rows, part] = widen(numbers.view("<u2"))
                finite[rows] &= rows_are_finite(out[rows, part])
        return finite


def _to_float16(values: HostFloats) -> npt.NDArray[np.uint16]:
    return values.astype(np.float16, order="C").view(np.uint16)


def _from_float16(numbers: npt.NDArray[np.uint16]) -> HostFloats:
    return numbers.astype(np.uint16, order="C").view(np.float16)


def _to_bfloat16(values: HostFloats) -> npt.NDArray[np.uint16]:
    """Round to the upper half of float32. NaN becomes infinity, which is refused as well."""
    bits = _to_odd_float32(values).view(np.uint32)
    # Just below half a unit, or half a unit if the last bit that stays is odd.
    rounded = bits + (np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1)))
    rounded >>= np.uint32(16)
    lost = np.isnan(values)
    if lost.any():
        rounded[lost] = 0x7F80
    return rounded.astype(np.uint16)


def _from_bfloat16(numbers: npt.NDArray[np.uint16]) -> HostFloats:
    return (numbers.astype(np.uint32, order="C") << np.uint32(16)).view(np.float32)


def _to_odd_float32(values: HostFloats) -> HostFloats:
    """Cast to float32 so that rounding the result gives what rounding once would give.

    A number that is not exact gets an odd last bit, so that it cannot become a tie.
    """
    narrow = values.astype(np.float32, order="C")
    if values.dtype.itemsize == narrow.dtype.itemsize:
        return narrow
    bits = narrow.view(np.uint32)
    wide = narrow.astype(np.float64)
    even = ((bits & np.uint32(1)) == 0) & (wide != values)
    too_large = np.abs(wide) > np.abs(values)
    bits[even & too_large] -= np.uint32(1)
    bits[even & ~too_large] += np.uint32(1)
    return narrow
