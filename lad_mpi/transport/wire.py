"""The message format: the only place that knows how a slot is laid out.

A message is a header of 32 bytes, little-endian, and a payload whose size is
fixed for the whole run by codec, dimension and dtype; docs/wire-format.md has
the layout of both. The receiver knows every field of the header beforehand:
one that is not the expected one is refused, and named as the reason.
"""

from __future__ import annotations

import zlib
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.compression import Channel, Codec, Rejection

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    payload_bytes, slot_bytes : int
        Size of a payload, and with its header.
    dtype : numpy.dtype
        As given.
    fields : mapping of str to slice
        Where the fields of a message lie in its slot.
    """

    fields = FIELDS

    def __init__(self, codec: Codec, dimension: int, dtype: np.dtype[np.floating]) -> None:
        self._codec = codec
        self.dtype = dtype
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
        self.seal(slots)

    def seal(self, slots: HostBytes) -> None:
        """Write the checksum of each message, in place, over whatever its slot holds.

        Parameters
        ----------
        slots : ndarray of uint8, shape (n, slot_bytes), C-contiguous
        """
        slots[:, _CHECKSUM] = _checksums(slots)

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
        payloads = np.ascontiguousarray(slots[:, HEADER_BYTES:])
        vectors, rejections = self._codec.decode(payloads, channel)
        # What the payload says counts only where the envelope is sound.
        envelope = self._check_envelopes(slots, channel)
        refused = envelope != int(Rejection.NONE)
        if refused.any():
            rejections = np.where(refused, envelope, rejections)
            vectors[refused] = 0
        return vectors, rejections

    def _check_envelopes(self, slots: HostBytes, channel: Channel) -> HostInts:
        """Return the reason against each header or checksum, 0 where there is none."""
        reasons = np.zeros(len(slots), dtype=np.int64)
        reasons[(slots[:, _CHECKSUM] != _checksums(slots)).any(axis=1)] = Rejection.CHECKSUM
        expected = self._headers(channel)
        expected[:, _CHECKSUM] = slots[:, _CHECKSUM]
        wrong = slots[:, :HEADER_BYTES] != expected
        if wrong.any():
            for name, reason in reversed(_REASONS):
                reasons[wrong[:, FIELDS[name]].any(axis=1)] = reason
        return reasons

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
    """Return the CRC-32 of all that follows the checksum of each slot, uint8, shape (n, 4)."""
    # Nothing in the standard library is faster: adler32 is not, and hashes take two to six
    # times as long. It finds damage; against a forger no checksum without a key would help.
    crc32 = zlib.crc32
    sums = [crc32(slot[_CHECKSUM.stop :]) for slot in slots]
    return np.array(sums, dtype="<u4").view(np.uint8).reshape(len(slots), 4)
