"""Messages packed on the GPU on which the vectors are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.arrays import to_host
from lad_mpi.compression import GpuCodec, Rejection
from lad_mpi.wire.checksums_cuda import checksums
from lad_mpi.wire.message import FIELDS, HEADER_BYTES

if TYPE_CHECKING:
    from lad_mpi.compression import Channel
    from lad_mpi.types import Array, HostInts
    from lad_mpi.wire.message import MessageFormat

_CHECKSUM = FIELDS["checksum"]


class GpuPacking:
    """Packs and unpacks on a GPU: what crosses to the host are headers, checksums and verdicts.

    Parameters
    ----------
    messages : MessageFormat
        The layout.
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
        self.xp = xp
        self.slot_bytes = messages.slot_bytes

    def pack(self, vectors: Array, channel: Channel, slots: Array) -> None:
        """Compress vectors and write one message a row.

        Parameters
        ----------
        vectors : CuPy array, shape (n, Q)
        channel : Channel
            The block of devices and the iteration.
        slots : CuPy array of uint8, shape (n, slot_bytes), C-contiguous
            Receives the messages.
        """
        slots[:, :HEADER_BYTES] = self.xp.asarray(self._messages.headers(channel))
        self._codec.encode_on_gpu(vectors, channel, slots[:, HEADER_BYTES:])
        sums = checksums(slots, _CHECKSUM.stop)
        slots[:, _CHECKSUM] = sums.view(np.uint8).reshape(len(slots), sums.itemsize)

    def unpack(self, slots: Array, channel: Channel) -> tuple[Array, HostInts]:
        """Validate and decode messages, hostile ones included; never raises for their content.

        Parameters
        ----------
        slots : CuPy array of uint8, shape (n, slot_bytes), C-contiguous
            What arrived; not changed.
        channel : Channel
            The block of devices and the iteration that were expected.

        Returns
        -------
        vectors : CuPy array, shape (n, Q)
            Decoded vectors, finite; zero in the rows of refused messages.
        rejections : ndarray of int64, shape (n,)
            A :class:`~lad_mpi.compression.Rejection` for each row.
        """
        vectors, rejections = self._codec.decode_on_gpu(slots[:, HEADER_BYTES:], channel)
        sums = to_host(checksums(slots, _CHECKSUM.stop))
        headers = to_host(slots[:, :HEADER_BYTES])
        envelope = self._messages.check_envelopes(headers, sums, channel)
        refused = envelope != int(Rejection.NONE)
        if refused.any():
            vectors[self.xp.asarray(np.flatnonzero(refused))] = 0
        return vectors, np.where(refused, envelope, rejections)
