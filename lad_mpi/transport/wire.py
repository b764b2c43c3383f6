"""The message format: the only place that knows how a slot is laid out.

A message is a header of 32 bytes, little-endian, and a payload whose size is
fixed for the whole run by codec, dimension and dtype:

======  ====  =========  =====================================================
offset  size  field      meaning
======  ====  =========  =====================================================
0       4     magic      ``0x4D44414C``, the characters ``LADM``
4       4     checksum   CRC-32 of everything after this field
8       1     version    of this format
9       1     codec      ``Codec.wire_code``
10      2     reserved   zero
12      4     device     number of the sending device
16      8     iteration  t
24      8     length     payload bytes
======  ====  =========  =====================================================

The receiver knows every field beforehand, so a header is accepted only if it
is, byte for byte, the one that was expected.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.compression import Channel, Codec, ColumnCodec, Rejection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lad_mpi.types import HostBools, HostBytes, HostFloats, HostInts

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
HEADER_BYTES = HEADER.itemsize
_CHECKED_FROM = 8  # the checksum covers all that follows it


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
    """

    def __init__(self, codec: Codec, dimension: int, dtype: np.dtype[np.floating]) -> None:
        self._codec = codec
        self._columns = codec if isinstance(codec, ColumnCodec) else None
        self._dtype = dtype
        self.payload_bytes = codec.payload_bytes(dimension, dtype)
        self.slot_bytes = HEADER_BYTES + self.payload_bytes

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
        slots[:, :HEADER_BYTES] = self._headers(channel)
        slots[:, HEADER_BYTES:] = self._codec.encode(vectors, channel)
        slots[:, 4:8] = _checksums(slots)

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
        header_ok = self.sound_headers(slots, channel)
        checksum_ok = (slots[:, 4:8] == _checksums(slots)).all(axis=1)
        payloads = np.ascontiguousarray(slots[:, HEADER_BYTES:])
        vectors, rejections = self._codec.decode(payloads, channel)
        # What the payload says counts only where the envelope is sound.
        rejections = np.where(checksum_ok, rejections, int(Rejection.CHECKSUM))
        rejections = np.where(header_ok, rejections, int(Rejection.HEADER))
        refused = rejections != int(Rejection.NONE)
        if refused.any():
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
        return [0, *(HEADER_BYTES + self._codec_bytes(columns).stop for columns in slices)]

    def arriving(self, slots: HostBytes, channel: Channel, vectors: HostFloats) -> ArrivingMessages:
        """Unpack messages of which no bytes need to have arrived.

        Parameters
        ----------
        slots, channel
            As for :meth:`unpack`.
        vectors : ndarray, shape (n, Q), of the run's dtype
            Receives the decoded vectors.
        """
        return ArrivingMessages(self, slots, channel, vectors)

    def decode_columns(
        self, slots: HostBytes, columns: slice, channel: Channel, out: HostFloats
    ) -> HostInts:
        """Decode a range of columns and tell the refused rows, by the codec's account."""
        where = self._codec_bytes(columns)
        payloads = slots[:, HEADER_BYTES + where.start : HEADER_BYTES + where.stop]
        return self._column_codec.decode_columns(payloads, columns, channel, out)

    def sound_headers(self, slots: HostBytes, channel: Channel) -> HostBools:
        """Tell which messages have the header that was expected, bool, shape (n,)."""
        expected = self._headers(channel)
        expected[:, 4:8] = slots[:, 4:8]
        sound: HostBools = (slots[:, :HEADER_BYTES] == expected).all(axis=1)
        return sound

    def _codec_bytes(self, columns: slice) -> slice:
        return self._column_codec.column_bytes(columns, self._dtype)

    @property
    def _column_codec(self) -> ColumnCodec:
        if self._columns is None:
            raise TypeError(f"messages of {self._codec.kind!r} cannot be taken apart by columns")
        return self._columns

    def _headers(self, channel: Channel) -> HostBytes:
        rows = np.arange(channel.num_devices) if channel.rows is None else channel.rows
        headers = np.zeros(len(rows), dtype=HEADER)
        headers["magic"] = MAGIC
        headers["version"] = VERSION
        headers["codec"] = self._codec.wire_code
        headers["device"] = channel.first_device + rows
        headers["iteration"] = channel.iteration
        headers["length"] = self.payload_bytes
        return headers.view(np.uint8).reshape(len(rows), HEADER_BYTES)


class ArrivingMessages:
    """Messages that are unpacked range by range of columns; see :meth:`MessageFormat.arriving`.

    What is refused by its header or by its first columns counts as zero from the
    start. What is refused later has been handed on by then: whoever used its
    columns has to begin again.

    Attributes
    ----------
    vectors : ndarray, shape (n, Q)
        Decoded so far; finite, and zero in the rows of messages refused so far.
    rejections : ndarray of int64, shape (n,)
        As by :meth:`MessageFormat.unpack`, once :meth:`finish` has returned.
    used_refused : bool
        Whether columns of a message were handed on before it was refused.
    """

    def __init__(
        self, messages: MessageFormat, slots: HostBytes, channel: Channel, vectors: HostFloats
    ) -> None:
        self._messages = messages
        self._slots = slots
        self._channel = channel
        self._checksums = [0] * len(slots)
        self._checked = _CHECKED_FROM
        self.vectors = vectors
        self.rejections = np.zeros(len(slots), dtype=np.int64)
        self.used_refused = False

    def extend(self, columns: slice) -> None:
        """Unpack the next range of columns, which has arrived, with the header if it is the first.

        Parameters
        ----------
        columns : slice
            From where the last range ended.
        """
        first = columns.start == 0
        if first:
            sound = self._messages.sound_headers(self._slots, self._channel)
            self.rejections[~sound] = int(Rejection.HEADER)
        end = self._messages.edges([columns])[1]
        rows = [slot[self._checked : end] for slot in self._slots]
        self._checksums = list(map(zlib.crc32, rows, self._checksums))
        self._checked = end
        out = self.vectors[:, columns]
        reasons = self._messages.decode_columns(self._slots, columns, self._channel, out)
        self._refuse(reasons, handed_on=not first)
        out[self.rejections != int(Rejection.NONE)] = 0

    def finish(self) -> tuple[HostFloats, HostInts]:
        """Check what only the whole of a message tells; return what ``unpack`` would."""
        sums = np.array(self._checksums, dtype="<u4").view(np.uint8).reshape(-1, 4)
        wrong = (self._slots[:, 4:8] != sums).any(axis=1)
        self._refuse(np.where(wrong, int(Rejection.CHECKSUM), 0), handed_on=True)
        # What the payload says counts only where the envelope is sound.
        self.rejections[wrong & (self.rejections != int(Rejection.HEADER))] = int(
            Rejection.CHECKSUM
        )
        return self.vectors, self.rejections

    def _refuse(self, reasons: HostInts, *, handed_on: bool) -> None:
        accepted = self.rejections == int(Rejection.NONE)
        refused = accepted & (reasons != int(Rejection.NONE))
        if not refused.any():
            return
        self.rejections[refused] = reasons[refused]
        if handed_on:
            self.used_refused = True
            self.vectors[refused] = 0


def _checksums(slots: HostBytes) -> HostBytes:
    crc32 = zlib.crc32
    sums = [crc32(slot[_CHECKED_FROM:]) for slot in slots]
    return np.array(sums, dtype="<u4").view(np.uint8).reshape(len(slots), 4)
