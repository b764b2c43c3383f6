"""The message format: only this module knows the layout of a slot.

A message is a little-endian header of 32 bytes and a payload. The payload's size depends on
codec, dimension and dtype, so it is constant during a run; see docs/wire-format.md for the
layout. The receiver knows the expected value of every header field. It refuses a message in
which a field differs, and the field is the reason.
"""

from __future__ import annotations

import itertools
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from zlib_ng import zlib_ng

from lad_mpi.compression import Channel, Codec, ColumnCodec, Rejection, column_codec

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
#: Bytes of the fields of a message in its slot, including the payload.
FIELDS: Mapping[str, slice] = MappingProxyType(
    {
        **{
            name: slice(offset, offset + field.itemsize)
            for name, (field, offset, *_) in (HEADER.fields or {}).items()
        },
        "payload": slice(HEADER_BYTES, None),
    }
)
#: Reason to refuse a message if a field is not as expected, in the order of the checks.
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
        Size of a payload, without and with the header.
    dtype : numpy.dtype
        As given.
    fields : mapping of str to slice
        Bytes of the fields of a message in its slot.
    """

    fields = FIELDS

    def __init__(self, codec: Codec, dimension: int, dtype: np.dtype[np.floating]) -> None:
        self.codec = codec
        self._columns = column_codec(codec)
        self.dimension = dimension
        self.dtype = dtype
        self.payload_bytes = codec.payload_bytes(dimension, dtype)
        self.slot_bytes = HEADER_BYTES + self.payload_bytes
        # Cache of the headers of the last block of devices.
        self._block: tuple[int, int] | None = None
        self._block_headers: HostHeaders = np.zeros(0, dtype=HEADER)

    def new_slots(self, count: int) -> HostBytes:
        """Allocate slots, uint8, shape (count, slot_bytes)."""
        return np.zeros((count, self.slot_bytes), dtype=np.uint8)

    def reserve(self, count: int, *, slots_on_host: bool) -> None:
        """Allocate nothing: slots on the host are written in place."""

    def pack(self, vectors: HostFloats, channel: Channel, slots: HostBytes) -> None:
        """Compress vectors and write one message per row.

        Parameters
        ----------
        vectors : ndarray, shape (n, Q)
            One row per device of the channel's block.
        channel : Channel
            The block of devices and the iteration.
        slots : ndarray of uint8, shape (n, slot_bytes), C-contiguous
            Receives the messages.
        """
        slots[:, :HEADER_BYTES] = self.headers(channel)
        slots[:, HEADER_BYTES:] = self.codec.encode(vectors, channel)
        self.seal(slots)

    def seal(self, slots: HostBytes) -> None:
        """Write the checksum of each message in place, whatever the message contains.

        Parameters
        ----------
        slots : ndarray of uint8, shape (n, slot_bytes), C-contiguous
        """
        _stored_checksums(slots)[:] = running_checksums(slots, _CHECKSUM.stop, self.slot_bytes)

    def unpack(self, slots: HostBytes, channel: Channel) -> tuple[HostFloats, HostInts]:
        """Validate and decode messages. Invalid messages are refused and never raise.

        Parameters
        ----------
        slots : ndarray of uint8, shape (n, slot_bytes), C-contiguous
            The messages as received; not changed.
        channel : Channel
            The expected block of devices and iteration.

        Returns
        -------
        vectors : ndarray, shape (n, Q)
            Decoded vectors. All values are finite. Rows of refused messages are zero.
        rejections : ndarray of int64, shape (n,)
            A :class:`~lad_mpi.compression.Rejection` for each row.
        """
        vectors, rejections = self.codec.decode(slots[:, HEADER_BYTES:], channel)
        # Reasons of the header and the checksum take precedence over those of the payload.
        sums = running_checksums(slots, _CHECKSUM.stop, self.slot_bytes)
        envelope = self.check_envelopes(slots, sums, channel)
        if envelope.any():
            refused = envelope != int(Rejection.NONE)
            rejections = np.where(refused, envelope, rejections)
            vectors[refused] = 0
        return vectors, rejections

    def check_envelopes(
        self, slots: HostBytes, sums: Sequence[int] | HostInts, channel: Channel
    ) -> HostInts:
        """Return the reason to refuse each message by its header or checksum, or 0.

        Parameters
        ----------
        slots : ndarray of uint8, shape (n, m)
            The messages. Only the headers are read.
        sums : sequence of int, shape (n,)
            CRC-32 of all bytes after the checksum of each message.
        channel : Channel
            As for :meth:`unpack`.

        Returns
        -------
        ndarray of int64, shape (n,)
        """
        reasons = self.check_headers(slots, channel)
        wrong = differs_from_stored(sums, slots)
        reasons[wrong & (reasons == int(Rejection.NONE))] = int(Rejection.CHECKSUM)
        return reasons

    def check_headers(self, slots: HostBytes, channel: Channel) -> HostInts:
        """Return the reason to refuse each header, or 0; int64, shape (n,)."""
        reasons = np.zeros(len(slots), dtype=np.int64)
        expected = self.headers(channel)
        expected[:, _CHECKSUM] = slots[:, _CHECKSUM]
        headers = slots[:, :HEADER_BYTES]
        # Nearly always all headers are valid, and comparing bytes is faster than arrays.
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
            raise TypeError(f"messages of {self.codec.kind!r} cannot be split into columns")
        return self._columns

    def headers(self, channel: Channel) -> HostBytes:
        """Return a new array with the headers of a channel's messages; the checksums are zero.

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
    """Update the CRC-32 of each slot with a range of its bytes.

    Parameters
    ----------
    slots : ndarray of uint8, shape (n, slot_bytes), C-contiguous
        The messages.
    start, stop : int
        The range of bytes in every slot.
    sums : iterable of int
        CRC-32 of the bytes before the range; 0 at the start.

    Returns
    -------
    list of int
        CRC-32 of each slot up to ``stop``.
    """
    # Slicing a memoryview takes half the time of slicing an array.
    memory, width = slots.reshape(-1).data, slots.shape[1]
    crc32 = zlib_ng.crc32
    places = range(0, slots.size, width)
    return [
        crc32(memory[at + start : at + stop], sum_) for at, sum_ in zip(places, sums, strict=False)
    ]


def differs_from_stored(sums: Sequence[int] | HostInts, slots: HostBytes) -> HostBools:
    """Return where the stored checksum differs from ``sums``, bool, shape (n,).

    The checksum detects corruption. It has no key, so it does not detect forgery.
    """
    differs: HostBools = _stored_checksums(slots) != np.array(sums, dtype=_CHECKSUM_TYPE)
    return differs


def _stored_checksums(slots: HostBytes) -> HostInts:
    """Return a view of the checksums in slots, uint32, shape (n,)."""
    stored: HostInts = slots[:, _CHECKSUM].view(_CHECKSUM_TYPE)[:, 0]
    return stored
