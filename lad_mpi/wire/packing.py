"""Who makes messages of vectors: the host, or the GPU on which the vectors are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lad_mpi.compression import GpuCodec

if TYPE_CHECKING:
    from lad_mpi.arrays import Backend
    from lad_mpi.compression import Channel
    from lad_mpi.types import Array, HostInts
    from lad_mpi.wire.message import MessageFormat


class Packing(Protocol):
    """Packs and unpacks messages in one kind of memory, to one layout.

    :class:`~lad_mpi.transport.MessageFormat` does it on the host,
    :class:`~lad_mpi.wire.gpu_packing.GpuPacking` on a GPU.
    """

    @property
    def xp(self) -> Any:
        """``numpy`` or ``cupy``: whose arrays vectors and slots are."""

    @property
    def slot_bytes(self) -> int:
        """Size of a message."""

    def pack(self, vectors: Array, channel: Channel, slots: Array) -> None:
        """Compress vectors and write one message a row; see :meth:`MessageFormat.pack`."""

    def unpack(self, slots: Array, channel: Channel) -> tuple[Array, HostInts]:
        """Validate and decode messages; see :meth:`MessageFormat.unpack`."""


def packing_for(messages: MessageFormat, backend: Backend) -> Packing:
    """Return what packs messages where a backend has its arrays, if the codec can.

    A codec of the host works on copies in its memory, whatever the backend is.
    """
    if backend.on_host or not isinstance(messages.codec, GpuCodec):
        return messages
    # Ranks on the host do not pay for importing it.
    from lad_mpi.wire.gpu_packing import GpuPacking  # noqa: PLC0415

    return GpuPacking(messages, backend.xp)


def warm_up(packing: Packing, channel: Channel) -> None:
    """Pack and unpack a message of zeros, so that what a codec imports and compiles is there.

    Parameters
    ----------
    packing : Packing
    channel : Channel
        Of one device.
    """
    slots = packing.xp.zeros((1, packing.slot_bytes), dtype=np.uint8)
    vectors = packing.xp.zeros((1, channel.dimension), dtype=channel.dtype)
    packing.pack(vectors, channel, slots)
    packing.unpack(slots, channel)
