"""Pack messages on the GPU that holds the vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.arrays import copy_array, to_host
from lad_mpi.compression import GpuCodec, Rejection
from lad_mpi.wire.checksums_cuda import checksums
from lad_mpi.wire.message import FIELDS, HEADER_BYTES

if TYPE_CHECKING:
    from lad_mpi.compression import Channel
    from lad_mpi.types import Array, HostInts
    from lad_mpi.wire.message import MessageFormat

_CHECKSUM = FIELDS["checksum"]


class GpuPacking:
    """Packs and unpacks messages on a GPU, with slots on the GPU or on the host.

    Slots on the host are copied as a whole, so compressed messages cross the bus. With slots
    on the GPU, only headers, checksums and rejections cross.

    Parameters
    ----------
    messages : MessageFormat
        The layout and the codec.
    xp : module
        ``cupy``.

    Raises
    ------
    TypeError
        The codec works on the host only.
    """

    def __init__(self, messages: MessageFormat, xp: Any) -> None:
        if not isinstance(messages.codec, GpuCodec):
            raise TypeError(f"messages of {messages.codec.kind!r} cannot be packed on a GPU")
        self._messages = messages
        self._codec = messages.codec
        self._xp = xp
        self._buffers: dict[int, Array] = {}
        self.slot_bytes = messages.slot_bytes

    def new_slots(self, count: int) -> Array:
        """Allocate slots on the GPU."""
        return self._xp.zeros((count, self.slot_bytes), dtype=np.uint8)

    def reserve(self, count: int, *, slots_on_host: bool) -> None:
        """Allocate GPU memory for ``count`` messages, if their slots are on the host."""
        if slots_on_host:
            self._buffer(count)

    def pack(self, vectors: Array, channel: Channel, slots: Array) -> None:
        """Compress vectors and write one message per row.

        Parameters
        ----------
        vectors : CuPy array, shape (n, Q)
        channel : Channel
            The block of devices and the iteration.
        slots : array of uint8, shape (n, slot_bytes), C-contiguous
            Receives the messages, on the GPU or on the host.
        """
        if isinstance(slots, np.ndarray):
            buffer = self._buffer(len(slots))
            self.pack(vectors, channel, buffer)
            copy_array(buffer, slots)
            return
        slots[:, :HEADER_BYTES] = self._xp.asarray(self._messages.headers(channel))
        self._codec.encode_on_gpu(vectors, channel, slots[:, HEADER_BYTES:])
        sums = checksums(slots, _CHECKSUM.stop)
        slots[:, _CHECKSUM] = sums.view(np.uint8).reshape(len(slots), sums.itemsize)

    def unpack(self, slots: Array, channel: Channel) -> tuple[Array, HostInts]:
        """Validate and decode messages. Invalid messages are refused and never raise.

        Parameters
        ----------
        slots : array of uint8, shape (n, slot_bytes), C-contiguous
            The messages, on the GPU or on the host; not changed.
        channel : Channel
            The expected block of devices and iteration.

        Returns
        -------
        vectors : CuPy array, shape (n, Q)
            Decoded vectors. All values are finite. Rows of refused messages are zero.
        rejections : ndarray of int64, shape (n,)
            A :class:`~lad_mpi.compression.Rejection` for each row.
        """
        if isinstance(slots, np.ndarray):
            buffer = self._buffer(len(slots))
            copy_array(slots, buffer)
            slots = buffer
        vectors, rejections = self._codec.decode_on_gpu(slots[:, HEADER_BYTES:], channel)
        sums = to_host(checksums(slots, _CHECKSUM.stop))
        headers = to_host(slots[:, :HEADER_BYTES])
        envelope = self._messages.check_envelopes(headers, sums, channel)
        refused = envelope != int(Rejection.NONE)
        if refused.any():
            vectors[self._xp.asarray(np.flatnonzero(refused))] = 0
        return vectors, np.where(refused, envelope, rejections)

    def _buffer(self, count: int) -> Array:
        if count not in self._buffers:
            self._buffers[count] = self.new_slots(count)
        return self._buffers[count]
