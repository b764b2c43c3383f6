"""What a compressor offers: vectors to packed bytes and back.

A codec sees blocks of devices at once: row i of every array belongs to device
``first_device + i``. Decoding never raises an error, whatever the payload.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from lad_mpi.rng import Purpose, unit_interval

if TYPE_CHECKING:
    from lad_mpi.rng import Streams
    from lad_mpi.types import Array, HostBytes, HostFloats, HostInts, HostWords


class Rejection(IntEnum):
    """Why a message was refused; docs/wire-format.md explains each reason.

    The reasons up to CHECKSUM concern the envelope, in the order of the checks. The
    others concern the payload, and PADDING concerns both. The log holds their names in
    this order.
    """

    NONE = 0
    MAGIC = 1
    VERSION = 2
    CODEC = 3
    DEVICE = 4
    ITERATION = 5
    LENGTH = 6
    CHECKSUM = 7
    NOT_FINITE = 8
    INDEX = 9
    LEVEL = 10
    SCALE = 11
    PADDING = 12
    PART = 13


@dataclass(frozen=True, slots=True)
class Channel:
    """What both sender and receiver know about a block of messages.

    Parameters
    ----------
    streams : Streams
        The run's random streams.
    iteration : int
        The iteration t.
    first_device, num_devices : int
        The block of devices.
    rows : ndarray of int64, optional
        The devices, counted from the first of the block; all of them if left out.
    dimension : int
        Q.
    dtype : numpy.dtype
        Type of the vectors and of the scalars in payloads, float32 or float64.
    """

    streams: Streams
    iteration: int
    first_device: int
    num_devices: int
    dimension: int
    dtype: np.dtype[Any]
    rows: HostInts | None = None

    @property
    def devices(self) -> HostInts:
        """The number of each row's device, int64, shape (n,)."""
        rows = np.arange(self.num_devices) if self.rows is None else self.rows
        devices: HostInts = self.first_device + rows
        return devices

    def words(self, count: int) -> HostWords:
        """Draw each device's random words for the codec, uint64, shape (n, count)."""
        words = self.streams.words(
            Purpose.COMPRESSION,
            self.iteration,
            count,
            first_device=self.first_device,
            num_devices=self.num_devices,
        )
        return words if self.rows is None else words[self.rows]

    def uniforms(self, count: int) -> HostFloats:
        """Draw each device's uniform numbers in [0, 1), float64, shape (n, count)."""
        return unit_interval(self.words(count))


@runtime_checkable
class Codec(Protocol):
    """A compressor: a frozen description, without state."""

    kind: ClassVar[str]

    #: Number of the codec in message headers; unique, below 256.
    wire_code: ClassVar[int]

    #: Whether E C(v) = v.
    unbiased: ClassVar[bool]

    #: Whether :meth:`delta` is the exact relative variance and not a bound on it.
    delta_is_exact: ClassVar[bool]

    def check(self, dimension: int) -> None:
        """Refuse parameters that do not fit the dimension.

        Raises
        ------
        ParameterError
            For instance k > Q.
        """

    def payload_bytes(self, dimension: int, dtype: np.dtype[Any]) -> int:
        """Return the size of a payload, the same for every message of a run."""

    def delta(self, dimension: int) -> float:
        """Return δ with E‖C(v) − v‖² ≤ δ‖v‖²; NaN if there is none or none is known."""

    def encode(self, vectors: HostFloats, channel: Channel) -> HostBytes:
        """Compress and pack vectors.

        Vectors that are not finite must not cause errors or warnings. A Byzantine device
        may send them, and the receiver refuses them.

        Parameters
        ----------
        vectors : ndarray, shape (n, Q), of the channel's dtype
            One row a device.

        Returns
        -------
        ndarray of uint8, shape (n, payload_bytes)
        """

    def decode(self, payloads: HostBytes, channel: Channel) -> tuple[HostFloats, HostInts]:
        """Validate and unpack payloads, hostile ones included.

        Parameters
        ----------
        payloads : ndarray of uint8, shape (n, payload_bytes)
            Each row's bytes are adjacent, but rows need not be; not changed.
        channel : Channel
            The block of devices and the iteration.

        Returns
        -------
        vectors : ndarray, shape (n, Q), of the channel's dtype
            Decoded vectors; rows of refused payloads are zero.
        rejections : ndarray of int64, shape (n,)
            A :class:`Rejection` for each row, 0 if it is accepted.
        """


@runtime_checkable
class PlainCodec(Codec, Protocol):
    """A codec whose payload is the vector itself, finite and little-endian.

    Vectors are then computed, checked and aggregated where messages lie.
    """

    #: Says so; always True.
    is_plain: ClassVar[Literal[True]]


@runtime_checkable
class FeedbackCodec(Codec, Protocol):
    """A codec with error feedback."""

    @property
    def error_feedback(self) -> bool:
        """Whether devices keep the error of a message and add it to the next vector."""


@runtime_checkable
class ColumnCodec(Codec, Protocol):
    """A codec whose payloads hold the coordinates in order, each range of them in bytes of its own.

    A message can then be cut into parts that are sent and decoded apart from each other. Use
    :func:`column_codec` to find out whether this is true of a codec.
    """

    @property
    def column_unit(self) -> int | None:
        """Messages may be cut at multiples of this column only; None if they cannot be cut.

        The last range ends with the last column, whatever its number.
        """

    def column_bytes(self, columns: slice, dtype: np.dtype[Any]) -> slice:
        """Return the bytes of a payload that hold a range of columns.

        Adjacent ranges of columns have adjacent bytes.

        Parameters
        ----------
        columns : slice
            From a multiple of :attr:`column_unit` to another one or the last column. If the
            unit is None, all columns.
        """

    def decode_columns(
        self, payloads: HostBytes, columns: slice, channel: Channel, out: HostFloats
    ) -> HostInts:
        """Validate and unpack some columns, to the bits of :meth:`Codec.decode`.

        Parameters
        ----------
        payloads : ndarray of uint8, shape (n, m)
            Those of the bytes of each payload that :meth:`column_bytes` names.
        columns : slice
            As for :meth:`column_bytes`.
        channel : Channel
            As for :meth:`Codec.decode`, with the dimension of whole vectors.
        out : ndarray, shape (n, q), of the channel's dtype
            Receives the columns; rows of refused payloads are zero.

        Returns
        -------
        ndarray of int64, shape (n,)
            A :class:`Rejection` for each row. A message is refused for some of its
            columns if and only if ``decode`` refuses it. The first such range gives the reason.
        """


def column_codec(codec: Codec) -> ColumnCodec | None:
    """Return a codec if its messages can be cut by columns, and None if they cannot."""
    if isinstance(codec, ColumnCodec) and codec.column_unit is not None:
        return codec
    return None


@runtime_checkable
class GpuCodec(Codec, Protocol):
    """A codec that also packs and unpacks on a GPU, so that vectors stay there."""

    def encode_on_gpu(self, vectors: Array, channel: Channel, payloads: Array) -> None:
        """Compress and pack vectors where they are, to the bytes of :meth:`Codec.encode`.

        A norm or a mean is an exception: it is summed in float64 in an order of the GPU's,
        which depends on the dimension alone, so its last digit may differ. Beside an equal
        norm all other bytes are equal.

        Parameters
        ----------
        vectors : CuPy array, shape (n, Q), of the channel's dtype
            One row a device, of any strides.
        channel : Channel
            The block of devices and the iteration.
        payloads : CuPy array of uint8, shape (n, payload_bytes)
            Receives all bytes. Those of a row are adjacent; rows may be apart by any number
            of bytes, and begin anywhere.

        Notes
        -----
        The work is queued on the current stream. The call does not wait for it.
        """

    def decode_on_gpu(self, payloads: Array, channel: Channel) -> tuple[Array, HostInts]:
        """Validate and unpack payloads where they are, to the bits of :meth:`Codec.decode`.

        It never raises an error, whatever the bytes.

        Parameters
        ----------
        payloads : CuPy array of uint8, shape (n, payload_bytes)
            As for :meth:`encode_on_gpu`; not changed.
        channel : Channel
            The block of devices and the iteration.

        Returns
        -------
        vectors : CuPy array, shape (n, Q), of the channel's dtype
            Decoded vectors, C-contiguous; rows of refused payloads are zero.
        rejections : ndarray of int64, shape (n,)
            A :class:`Rejection` for each row, in host memory. The call waits for them.
        """
