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

from lad_mpi.compression import Channel, Codec, Rejection

if TYPE_CHECKING:
    from lad_mpi.types import HostBytes, HostFloats, HostInts

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
        expected = self._headers(channel)
        expected[:, 4:8] = slots[:, 4:8]
        header_ok = (slots[:, :HEADER_BYTES] == expected).all(axis=1)
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


def _checksums(slots: HostBytes) -> HostBytes:
    crc32 = zlib.crc32
    sums = [crc32(slot[_CHECKED_FROM:]) for slot in slots]
    return np.array(sums, dtype="<u4").view(np.uint8).reshape(len(slots), 4)
