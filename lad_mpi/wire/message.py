"""The message format: only this module knows the layout of a slot.

A message is a little-endian header of 32 bytes and a payload. The payload's size depends on
codec, dimension and dtype, so it is constant during a run; see docs/wire-format.md for the
layout. The receiver knows the expected value of every header field. It refuses a message in
which a field differs, and the field is the reason.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from zlib_ng import zlib_ng

from lad_mpi.arrays import ALIGNMENT, aligned_zeros
from lad_mpi.columns import SHARED_FROM_BYTES, shared
from lad_mpi.compression import Channel, Codec, PlainCodec, Rejection, column_codec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from lad_mpi.types import HostBytes, HostFloats, HostInts

    HostHeaders: TypeAlias = npt.NDArray[np.void]

MAGIC = int.from_bytes(b"LADM", "little")
VERSION = 1
HEADER = np.dtype(
    [
        ("magic", "<u4"),
        ("checksum", "<u4"),
        ("version", "u1"),
        ("codec", "u1"),
        ("part", "<u2"),
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
    ("part", Rejection.PART),
)
# The checksum covers all bytes after it.
_CHECKSUM = FIELDS["checksum"]
_COVERED = slice(_CHECKSUM.stop, HEADER_BYTES)
# Bytes that are checked at a time, so that they stay in a cache between the two checks.
_AT_ONCE = 2**18
_CHECKSUM_TYPE = HEADER["checksum"]


@dataclass(frozen=True, slots=True)
class Part:
    """A message to one server: a range of columns with a header of its own.

    Parameters
    ----------
    number : int
        Number of the part, 0 … S−1.
    columns : slice
        The range of columns.
    header, payload : slice
        Bytes of the header and of the payload in a slot.
    """

    number: int
    columns: slice
    header: slice
    payload: slice

    @property
    def blocks(self) -> tuple[slice, ...]:
        """The bytes of the message in a slot, one slice if they are adjacent."""
        if self.header.stop == self.payload.start:
            return (slice(self.header.start, self.payload.stop),)
        return (self.header, self.payload)

    @property
    def num_bytes(self) -> int:
        """Size of the message."""
        size: int = HEADER_BYTES + self.payload.stop - self.payload.start
        return size


class MessageFormat:
    """Packs and unpacks the messages of one run, to one server or to several.

    A slot is the memory of what a device sends: the headers, then the payload. With several
    servers, each is sent one header and a part of the payload.

    Parameters
    ----------
    codec : Codec
        Compressor of the payload.
    dimension : int
        Q.
    dtype : numpy.dtype
        float32 or float64.
    ranges : mapping of int to slice, optional
        The parts of a slot: adjacent columns by the number of their server. One server has
        all columns if it is left out.
    in_place : bool
        Whether the vectors of a :class:`~lad_mpi.compression.PlainCodec` are used where
        they lie in their slots. They are then aligned to 64 bytes.

    Attributes
    ----------
    codec, dimension, dtype
        As given.
    parts : tuple of Part
        The messages in a slot.
    columns : slice
        The columns of all parts.
    in_place : bool
        Whether vectors are used in their slots.
    payload_bytes, slot_bytes, message_bytes : int
        Size of the payload, of a slot in memory, and of the messages in it.
    fields : mapping of str to slice
        Bytes of the fields of one message.

    Raises
    ------
    TypeError
        Messages of the codec cannot be cut by columns.
    """

    fields = FIELDS

    def __init__(
        self,
        codec: Codec,
        dimension: int,
        dtype: np.dtype[np.floating],
        *,
        ranges: Mapping[int, slice] | None = None,
        in_place: bool = False,
    ) -> None:
        ranges = {0: slice(0, dimension)} if ranges is None else ranges
        self.codec, self.dimension, self.dtype = codec, dimension, dtype
        native = dtype.isnative and sys.byteorder == "little"
        self.in_place = in_place and native and isinstance(codec, PlainCodec)
        edges = list(ranges.values())
        self.columns = slice(edges[0].start, edges[-1].stop)
        self._by_columns = column_codec(codec)
        self._is_whole = len(edges) == 1 and self.columns == slice(0, dimension)
        step = ALIGNMENT if self.in_place else 1
        headers_bytes = HEADER_BYTES * len(edges)
        start = -(-headers_bytes // step) * step
        shift = start - self._bytes_of(self.columns).start
        self.parts = tuple(
            Part(
                number,
                columns,
                slice(first, first + HEADER_BYTES),
                slice(shift + where.start, shift + where.stop),
            )
            for first, (number, columns), where in zip(
                range(start - headers_bytes, start, HEADER_BYTES),
                ranges.items(),
                map(self._bytes_of, edges),
                strict=True,
            )
        )
        self._payload = slice(start, self.parts[-1].payload.stop)
        self.payload_bytes = self._payload.stop - start
        self.slot_bytes = -(-self._payload.stop // step) * step
        self.message_bytes = headers_bytes + self.payload_bytes
        # Cache of the headers of the last block of devices.
        self._block: tuple[int, int] | None = None
        self._block_headers: HostHeaders = np.zeros(0, dtype=HEADER)

    def only(self, numbers: Iterable[int]) -> MessageFormat:
        """Return the format of the messages to some servers alone, as these receive them."""
        ranges = {number: self.parts[number].columns for number in numbers}
        return MessageFormat(
            self.codec, self.dimension, self.dtype, ranges=ranges, in_place=self.in_place
        )

    def new_slots(self, count: int) -> HostBytes:
        """Allocate slots, uint8, shape (count, slot_bytes)."""
        slots: HostBytes = aligned_zeros((count, self.slot_bytes), np.uint8)
        return slots

    def reserve(self, count: int, *, slots_on_host: bool) -> None:
        """Allocate nothing: slots on the host are written in place."""

    def vectors(self, slots: HostBytes) -> HostFloats:
        """Return the vectors in slots, without a copy; only if they are used in place.

        Parameters
        ----------
        slots : ndarray of uint8, shape (n, slot_bytes), C-contiguous

        Returns
        -------
        ndarray, shape (n, q)
            The columns of all parts. Rows lie a slot apart.
        """
        return slots[:, self._payload].view(self.dtype)

    def pack(self, vectors: HostFloats | None, channel: Channel, slots: HostBytes) -> None:
        """Compress vectors and write the messages of each row.

        Parameters
        ----------
        vectors : ndarray, shape (n, q), or None
            One row per device of the channel's block, with the columns of all parts. None if
            they are in the slots.
        channel : Channel
            The block of devices and the iteration.
        slots : ndarray of uint8, shape (n, slot_bytes), C-contiguous
            Receives the messages.
        """
        if vectors is not None and self.in_place:
            self.vectors(slots)[...] = vectors
        elif vectors is not None:
            slots[:, self._payload] = self._encoded(vectors, channel)
        for part in self.parts:
            slots[:, part.header] = self.headers(channel, part)
            _stored_checksums(slots[:, part.header])[:] = _checksums(slots, part)

    def _encoded(self, vectors: HostFloats, channel: Channel) -> HostBytes:
        """Compress the columns of all parts as the whole vector would be compressed."""
        if vectors.shape[1] == self.dimension:
            return self.codec.encode(vectors, channel)
        # A codec draws the random numbers of all columns. Only simulated attacks come here.
        whole = np.zeros((len(vectors), self.dimension), dtype=self.dtype)
        whole[:, self.columns] = vectors
        return self.codec.encode(whole, channel)[:, self._bytes_of(self.columns)]

    @staticmethod
    def seal(messages: HostBytes) -> None:
        """Write the checksum of each message in place, whatever the message contains.

        Parameters
        ----------
        messages : ndarray of uint8, shape (n, message size), C-contiguous
            Messages to one server: the header, then the payload.
        """
        covered = slice(_CHECKSUM.stop, messages.shape[1])
        _stored_checksums(messages)[:] = _add_checksums(messages, covered, [0] * len(messages))

    def joined(self, slots: HostBytes, channel: Channel) -> HostBytes:
        """Return messages as a single server would be sent them.

        Returns
        -------
        ndarray of uint8, shape (n, message size)
            A copy: the header, then the payload.
        """
        messages = np.concatenate([self._joined_headers(channel), slots[:, self._payload]], axis=1)
        self.seal(messages)
        return messages

    def cut(self, messages: HostBytes, channel: Channel) -> HostBytes:
        """Return slots with messages to a single server, cut into those to all servers.

        A fault of a header, and a wrong checksum, become faults of all parts.

        Parameters
        ----------
        messages : ndarray of uint8, shape (n, message size), C-contiguous
            Any bytes.
        channel : Channel
            The block of devices and the iteration.

        Returns
        -------
        ndarray of uint8, shape (n, slot_bytes)
        """
        faults = messages[:, :HEADER_BYTES] ^ self._joined_headers(channel)
        faults[:, _CHECKSUM] = 0
        sealed = messages.copy()
        self.seal(sealed)
        wrong = _stored_checksums(messages) ^ _stored_checksums(sealed)
        slots = self.new_slots(len(messages))
        slots[:, self._payload] = messages[:, HEADER_BYTES:]
        for part in self.parts:
            slots[:, part.header] = self.headers(channel, part) ^ faults
            sums = np.array(_checksums(slots, part), dtype=_CHECKSUM_TYPE)
            _stored_checksums(slots[:, part.header])[:] = sums ^ wrong
        return slots

    def _joined_headers(self, channel: Channel) -> HostBytes:
        whole = slice(self._payload.start - HEADER_BYTES, self._payload.start)
        return self.headers(channel, Part(0, self.columns, whole, self._payload))

    def unpack(self, slots: HostBytes, channel: Channel) -> tuple[HostFloats, HostInts]:
        """Validate and decode messages. Invalid messages are refused and never raise.

        Parameters
        ----------
        slots : ndarray of uint8, shape (n, slot_bytes), C-contiguous
            The messages as received. If vectors are used in place, those of refused messages
            are set to zero. Otherwise the slots are not changed.
        channel : Channel
            The expected block of devices and iteration.

        Returns
        -------
        vectors : ndarray, shape (n, q)
            The columns of all parts. All values are finite. Rows of refused messages are zero.
            They lie in the slots if they are used in place.
        rejections : ndarray of int64, shape (n,)
            A :class:`~lad_mpi.compression.Rejection` for each row, from the first of its
            messages that is refused.
        """
        whole = np.zeros(len(slots), dtype=np.int64)
        if self.in_place:
            vectors = self.vectors(slots)
        elif self._is_whole:
            vectors, whole = self.codec.decode(slots[:, self._payload], channel)
        else:
            vectors = np.empty((len(slots), self.columns.stop - self.columns.start), self.dtype)
        rejections = np.zeros(len(slots), dtype=np.int64)
        for part in self.parts:
            first = part.columns.start - self.columns.start
            own = vectors[:, first : first + part.columns.stop - part.columns.start]
            reasons = whole
            if self.in_place:
                sums, reasons = _check_in_place(slots, part, own)
            else:
                sums = _checksums(slots, part)
                if self._by_columns is not None and not self._is_whole:
                    payloads = slots[:, part.payload]
                    reasons = self._by_columns.decode_columns(payloads, part.columns, channel, own)
            # Reasons of the header and the checksum take precedence over those of the payload.
            envelope = self.check_envelopes(slots[:, part.header], sums, channel, part)
            found = np.where(envelope == int(Rejection.NONE), reasons, envelope)
            rejections = np.where(rejections == int(Rejection.NONE), found, rejections)
        if rejections.any():
            vectors[rejections != int(Rejection.NONE)] = 0
        return vectors, rejections

    def check_envelopes(
        self,
        headers: HostBytes,
        sums: Sequence[int] | HostInts,
        channel: Channel,
        part: Part | None = None,
    ) -> HostInts:
        """Return the reason to refuse each message by its header or checksum, or 0.

        Parameters
        ----------
        headers : ndarray of uint8, shape (n, 32)
            The headers.
        sums : sequence of int, shape (n,)
            CRC-32 of all bytes after the checksum of each message.
        channel : Channel
            As for :meth:`unpack`.
        part : Part, optional
            The part of the message; the first one if left out.

        Returns
        -------
        ndarray of int64, shape (n,)
        """
        reasons = np.zeros(len(headers), dtype=np.int64)
        expected = self.headers(channel, part)
        expected[:, _CHECKSUM] = headers[:, _CHECKSUM]
        # Nearly always all headers are valid, and comparing bytes is faster than arrays.
        if headers.tobytes() != expected.tobytes():
            different = headers != expected
            for name, reason in reversed(_REASONS):
                reasons[different[:, FIELDS[name]].any(axis=1)] = reason
        # The checksum detects corruption. It has no key, so it does not detect forgery.
        wrong = _stored_checksums(headers) != np.array(sums, dtype=_CHECKSUM_TYPE)
        reasons[wrong & (reasons == int(Rejection.NONE))] = int(Rejection.CHECKSUM)
        return reasons

    def headers(self, channel: Channel, part: Part | None = None) -> HostBytes:
        """Return a new array with the headers of a channel's messages; the checksums are zero.

        Returns
        -------
        ndarray of uint8, shape (n, 32)
        """
        part = self.parts[0] if part is None else part
        block = (channel.first_device, channel.num_devices)
        if self._block != block:
            self._block, self._block_headers = block, self._lay_out(*block)
        headers = self._block_headers
        headers = headers.copy() if channel.rows is None else headers[channel.rows]
        headers["iteration"] = channel.iteration
        headers["part"] = part.number
        headers["length"] = part.num_bytes - HEADER_BYTES
        return headers.view(np.uint8).reshape(len(headers), HEADER_BYTES)

    def _lay_out(self, first_device: int, num_devices: int) -> HostHeaders:
        headers = np.zeros(num_devices, dtype=HEADER)
        headers["magic"] = MAGIC
        headers["version"] = VERSION
        headers["codec"] = self.codec.wire_code
        headers["device"] = first_device + np.arange(num_devices)
        return headers

    def _bytes_of(self, columns: slice) -> slice:
        if columns == slice(0, self.dimension):
            return slice(0, self.codec.payload_bytes(self.dimension, self.dtype))
        if self._by_columns is None:
            raise TypeError(f"messages of {self.codec.kind!r} cannot be cut by columns")
        return self._by_columns.column_bytes(columns, self.dtype)


def _checksums(slots: HostBytes, part: Part) -> list[int]:
    """Return the CRC-32 of the messages to one server, without what precedes it."""
    sums = [0] * len(slots)
    first, *others = part.blocks
    for block in (slice(first.start + _CHECKSUM.stop, first.stop), *others):
        sums = _add_checksums(slots, block, sums)
    return sums


def _add_checksums(slots: HostBytes, block: slice, sums: Sequence[int]) -> list[int]:
    """Update the CRC-32 of each slot with a range of its bytes."""
    # Slicing a memoryview takes half the time of slicing an array.
    memory, width = slots.reshape(-1).data, slots.shape[1]
    crc32, start, stop = zlib_ng.crc32, block.start, block.stop
    places = range(0, slots.size, width)
    return [
        crc32(memory[at + start : at + stop], sum_) for at, sum_ in zip(places, sums, strict=True)
    ]


def _check_in_place(
    slots: HostBytes, part: Part, vectors: HostFloats
) -> tuple[list[int], HostInts]:
    """Return the CRC-32 of messages, and the reason to refuse each payload, in one pass."""
    columns = _AT_ONCE // vectors.itemsize

    # A sum of squares with a NaN or an infinity is not finite. It may overflow, too.
    @np.errstate(over="ignore", invalid="ignore")
    def check(row: int) -> tuple[int, bool]:
        covered, payload = slots[row, part.header][_COVERED], slots[row, part.payload].data
        checksum, finite = zlib_ng.crc32(covered), True
        for first in range(0, vectors.shape[1], columns):
            some = vectors[row, first : first + columns]
            begin = first * some.itemsize
            checksum = zlib_ng.crc32(payload[begin : begin + some.nbytes], checksum)
            finite = finite and math.isfinite(some @ some)
        return checksum, finite

    if vectors.nbytes <= _AT_ONCE:
        sums = _checksums(slots, part)
        with np.errstate(over="ignore", invalid="ignore"):
            measured = np.isfinite(np.vecdot(vectors, vectors))
    else:
        rows = range(len(slots))
        large = vectors.nbytes >= SHARED_FROM_BYTES
        found = list(shared(check, rows) if large else map(check, rows))
        sums = [checksum for checksum, _ in found]
        measured = np.array([finite for _, finite in found], dtype=bool)
    for row in np.flatnonzero(~measured):
        measured[row] = np.isfinite(vectors[row]).all()
    reasons = np.where(measured, int(Rejection.NONE), int(Rejection.NOT_FINITE))
    return sums, reasons


def _stored_checksums(headers: HostBytes) -> HostInts:
    """Return a view of the checksums in headers, uint32, shape (n,)."""
    stored: HostInts = headers[:, _CHECKSUM].view(_CHECKSUM_TYPE)[:, 0]
    return stored
