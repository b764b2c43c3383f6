"""The message format: the only place that knows how a slot is laid out.

A message is a header of 32 bytes, little-endian, and a payload whose size is
fixed for the whole run by codec, dimension and dtype; docs/wire-format.md has
the layout of both. The receiver knows every field of the header beforehand:
one that is not the expected one is refused, and named as the reason.
"""

from __future__ import annotations

import itertools
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from zlib_ng import zlib_ng

from lad_mpi.compression import Channel, Codec, ColumnCodec, Rejection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from lad_mpi.types import HostBools, HostBytes, HostFloats, HostInts

    HostHeaders: TypeAlias = npt.NDArray[np.void]

MAGIC = int.from_bytes(b"LADM", "little")
VERSION = 1
HEADER = np.dtype(
    [
        ("magic", "<u4"),
        ("checksum", "<u4"),
        ("version", "u1"),
        ("codec", "u1"),
        ("reserved", "<u2"),
        ("device", "<u4"),
        ("iteration", "<u8"),
        ("length", "<u8"),
    ]
)
#: Size of the header of every message.
HEADER_BYTES = HEADER.itemsize
#: Where the fields of a message lie in its slot, the payload among them.
FIELDS: Mapping[str, slice] = MappingProxyType(
    {
        **{
            name: slice(offset, offset + field.itemsize)
            for name, (field, offset, *_) in (HEADER.fields or {}).items()
        },
        "payload": slice(HEADER_BYTES, None),
    }
)
#: What a field that is not as expected is refused as, in the order of the checks.
_REASONS = (
    ("magic", Rejection.MAGIC),
    ("version", Rejection.VERSION),
    ("codec", Rejection.CODEC),
    ("device", Rejection.DEVICE),
    ("iteration", Rejection.ITERATION),
    ("length", Rejection.LENGTH),
    ("reserved", Rejection.PADDING),
)
_CHECKSUM = FIELDS["checksum"]
_CHECKSUM_TYPE = HEADER["checksum"]


class MessageFormat:
    """Packs and unpacks the messages of one run.

    Parameters
    ----------
    codec : Codec
        Compressor of the payload.
    dimension : int
        Q.
    dtype : numpy.dtype
        float32 or float64.

    Attributes
    ----------
    codec : Codec
        As given.
    dimension : int
        As given.
    payload_bytes, slot_bytes : int
        Size of a payload, and with its header.
    dtype : numpy.dtype
        As given.
    fields : mapping of str to slice
        Where the fields of a message lie in its slot.
    """

    fields = FIELDS

    def __init__(self, codec: Codec, dimension: int, dtype: np.dtype[np.floating]) -> None:
        self.codec = codec
        self._columns = codec if isinstance(codec, ColumnCodec) else None
        self.dimension = dimension
        self.dtype = dtype
        self.payload_bytes = codec.payload_bytes(dimension, dtype)
        self.slot_bytes = HEADER_BYTES + self.payload_bytes
        #: Headers of the last block of devices that was asked for, and which that was.
        self._block: tuple[int, int] | None = None
        self._block_headers: HostHeaders = np.zeros(0, dtype=HEADER)

    def new_slots(self, count: int) -> HostBytes:
        """Allocate slots, uint8, shape (count, slot_bytes)."""
        return np.zeros((count, self.slot_bytes), dtype=np.uint8)

    def pack(self, vectors: HostFloats, channel: Channel, slots: HostBytes) -> None:
        """Compress vectors and write one message a row.

        Parameters
        ----------
        vectors : ndarray, shape (n, Q)
            One row a device of the channel's block.
        channel : Channel
            The block of devices and the iteration.
        slots : ndarray of uint8, shape (n, slot_bytes), C-contiguous
            Receives the messages.
        """
        slots[:, :HEADER_BYTES] = self.headers(channel)
        slots[:, HEADER_BYTES:] = self.codec.encode(vectors, channel)
        self.seal(slots)

    def seal(self, slots: HostBytes) -> None:
        """Write the checksum of each message, in place, over whatever its slot holds.

        Parameters
        ----------
        slots : ndarray of uint8, shape (n, slot_bytes), C-contiguous
        """
        _stored_checksums(slots)[:] = running_checksums(slots, _CHECKSUM.stop, self.slot_bytes)

    def unpack(self, slots: HostBytes, channel: Channel) -> tuple[HostFloats, HostInts]:
        """Validate and decode messages, hostile ones included; never raises for their content.

        Parameters
        ----------
        slots : ndarray of uint8, shape (n, slot_bytes), C-contiguous
            What arrived; not changed.
        channel : Channel
            The block of devices and the iteration that were expected.

        Returns
        -------
        vectors : ndarray, shape (n, Q)
            Decoded vectors, finite; zero in the rows of refused messages.
        rejections : ndarray of int64, shape (n,)
            A :class:`~lad_mpi.compression.Rejection` for each row.
        """
        vectors, rejections = self.codec.decode(slots[:, HEADER_BYTES:], channel)
        # What the payload says counts only where the envelope is sound.
        sums = running_checksums(slots, _CHECKSUM.stop, self.slot_bytes)
        envelope = self.check_envelopes(slots, sums, channel)
        if envelope.any():
            refused = envelope != int(Rejection.NONE)
            rejections = np.where(refused, envelope, rejections)
            vectors[refused] = 0
        return vectors, rejections

    @property
    def in_columns(self) -> bool:
        """Whether messages can be unpacked some columns at a time, as they arrive."""
        return self._columns is not None

    def edges(self, slices: Sequence[slice]) -> list[int]:
        """Return the bytes of a slot at which ranges of columns begin, and where the last ends.

        Parameters
        ----------
        slices : sequence of slice
            All columns, cut into ranges; the first includes the header.
        """
        return [0, *(self._bytes_of(columns).stop for columns in slices)]

    def decode_columns(
        self, slots: HostBytes, columns: slice, channel: Channel, out: HostFloats
    ) -> HostInts:
        """Decode a range of columns, whatever the envelope is.

        Parameters
        ----------
        slots : ndarray of uint8, shape (n, slot_bytes)
            Of which the bytes of these columns are looked at.
        columns : slice
        channel : Channel
            As for :meth:`unpack`.
        out : ndarray, shape (n, q)
            Receives the columns, finite.

        Returns
        -------
        ndarray of int64, shape (n,)
            The codec's reason to refuse each row, 0 where there is none.
        """
        payloads = slots[:, self._bytes_of(columns)]
        return self._column_codec.decode_columns(payloads, columns, channel, out)

    def check_envelopes(
        self, slots: HostBytes, sums: Sequence[int] | HostInts, channel: Channel
    ) -> HostInts:
        """Return the reason against each header or checksum, 0 where there is none.

        Parameters
        ----------
        slots : ndarray of uint8, shape (n, m)
            Messages, of which the headers are looked at.
        sums : sequence of int, shape (n,)
            CRC-32 of all that follows the checksum in each of them.
        channel : Channel
            As for :meth:`unpack`.
        """
        reasons = self.check_headers(slots, channel)
        wrong = differs_from_stored(sums, slots)
        reasons[wrong & (reasons == int(Rejection.NONE))] = int(Rejection.CHECKSUM)
        return reasons

    def check_headers(self, slots: HostBytes, channel: Channel) -> HostInts:
        """Return the reason against each header, int64, shape (n,), 0 where there is none."""
        reasons = np.zeros(len(slots), dtype=np.int64)
        expected = self.headers(channel)
        expected[:, _CHECKSUM] = slots[:, _CHECKSUM]
        headers = slots[:, :HEADER_BYTES]
        # Nearly always all are right, which bytes tell sooner than arrays.
        if headers.tobytes() != expected.tobytes():
            wrong = headers != expected
            for name, reason in reversed(_REASONS):
                reasons[wrong[:, FIELDS[name]].any(axis=1)] = reason
        return reasons

    def _bytes_of(self, columns: slice) -> slice:
        where = self._column_codec.column_bytes(columns, self.dtype)
        return slice(HEADER_BYTES + where.start, HEADER_BYTES + where.stop)

    @property
    def _column_codec(self) -> ColumnCodec:
        if self._columns is None:
            raise TypeError(f"messages of {self.codec.kind!r} cannot be taken apart by columns")
        return self._columns

    def headers(self, channel: Channel) -> HostBytes:
        """Return the headers of a channel's messages, checksums zero, for the caller to change.

        Returns
        -------
        ndarray of uint8, shape (n, 32)
        """
        block = (channel.first_device, channel.num_devices)
        if self._block != block:
            self._block, self._block_headers = block, self._lay_out(*block)
        headers = self._block_headers
        headers = headers.copy() if channel.rows is None else headers[channel.rows]
        headers["iteration"] = channel.iteration
        return headers.view(np.uint8).reshape(len(headers), HEADER_BYTES)

    def _lay_out(self, first_device: int, num_devices: int) -> HostHeaders:
        headers = np.zeros(num_devices, dtype=HEADER)
        headers["magic"] = MAGIC
        headers["version"] = VERSION
        headers["codec"] = self.codec.wire_code
        headers["device"] = first_device + np.arange(num_devices)
        headers["length"] = self.payload_bytes
        return headers


def running_checksums(
    slots: HostBytes, start: int, stop: int, sums: Iterable[int] = itertools.repeat(0)
) -> list[int]:
    """Go on with the CRC-32 of each slot over a range of its bytes.

    Parameters
    ----------
    slots : ndarray of uint8, shape (n, slot_bytes), C-contiguous
    start, stop : int
        The bytes, of every slot.
    sums : iterable of int
        CRC-32 of what goes before them; 0 where nothing does.
    """
    # Slices of a memoryview cost half of what rows of an array do.
    memory, width = slots.reshape(-1).data, slots.shape[1]
    crc32 = zlib_ng.crc32
    places = range(0, slots.size, width)
    return [
        crc32(memory[at + start : at + stop], sum_) for at, sum_ in zip(places, sums, strict=False)
    ]


def differs_from_stored(sums: Sequence[int] | HostInts, slots: HostBytes) -> HostBools:
    """Tell which slots do not hold the checksum that they should, bool, shape (n,)."""
    # It finds damage; against a forger no checksum without a key would help.
    differs: HostBools = _stored_checksums(slots) != np.array(sums, dtype=_CHECKSUM_TYPE)
    return differs


def _stored_checksums(slots: HostBytes) -> HostInts:
    """Return the checksums of slots where they stand, shape (n,)."""
    stored: HostInts = slots[:, _CHECKSUM].view(_CHECKSUM_TYPE)[:, 0]
    return stored
