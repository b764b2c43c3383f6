"""Pack vectors into messages and unpack them, in host or GPU memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lad_mpi.arrays import copy_array
from lad_mpi.compression import GpuCodec

if TYPE_CHECKING:
    from lad_mpi.arrays import Backend
    from lad_mpi.compression import Channel
    from lad_mpi.types import Array, HostBytes, HostInts
    from lad_mpi.wire.message import MessageFormat


class Packing(Protocol):
    """Packs vectors in the backend's memory into slots, and unpacks them.

    Messages leave a GPU only here. On the host, :class:`~lad_mpi.wire.MessageFormat` is the
    packing. With vectors on a GPU, :class:`~lad_mpi.wire.gpu_packing.GpuPacking` runs the
    codec on the GPU and accepts slots in either memory, and :class:`HostCodecPacking` runs
    the codec on the host.
    """

    @property
    def slot_bytes(self) -> int:
        """Size of a message with its header."""

    def new_slots(self, count: int) -> Array:
        """Allocate slots in the codec's memory, uint8, shape (count, slot_bytes)."""

    def reserve(self, count: int, *, slots_on_host: bool) -> None:
        """Allocate what packing ``count`` messages needs, so that memory fails early or never."""

    def pack(self, vectors: Array | None, channel: Channel, slots: Array) -> None:
        """Compress vectors and write the messages of each row; see :meth:`MessageFormat.pack`."""

    def unpack(self, slots: Array, channel: Channel) -> tuple[Array, HostInts]:
        """Validate and decode messages; see :meth:`MessageFormat.unpack`."""


class HostCodecPacking:
    """Packs vectors of a GPU with a codec that runs on the host.

    Parameters
    ----------
    messages : MessageFormat
        The layout and the codec.
    backend : Backend
        The GPU. Vectors are copied through pinned memory, which is faster.
    """

    def __init__(self, messages: MessageFormat, backend: Backend) -> None:
        self._messages = messages
        self._backend = backend
        self._pinned: dict[int, Array] = {}
        self.slot_bytes = messages.slot_bytes

    def new_slots(self, count: int) -> HostBytes:
        """Allocate slots in host memory."""
        return self._messages.new_slots(count)

    def reserve(self, count: int, *, slots_on_host: bool) -> None:  # noqa: ARG002
        """Allocate pinned memory for ``count`` vectors."""
        self._staging(count)

    def pack(self, vectors: Array, channel: Channel, slots: HostBytes) -> None:
        """Copy vectors to the host, compress them and write one message per row."""
        staged = self._staging(len(vectors))
        copy_array(self._backend.xp.ascontiguousarray(vectors), staged)
        self._messages.pack(staged, channel, slots)

    def unpack(self, slots: HostBytes, channel: Channel) -> tuple[Array, HostInts]:
        """Validate and decode messages on the host; return the vectors on the GPU."""
        decoded, rejections = self._messages.unpack(slots, channel)
        staged = self._staging(len(decoded))
        staged[...] = decoded
        vectors = self._backend.xp.empty(decoded.shape, dtype=decoded.dtype)
        copy_array(staged, vectors)
        return vectors, rejections

    def _staging(self, count: int) -> Array:
        if count not in self._pinned:
            shape = (count, self._messages.dimension)
            self._pinned[count] = self._backend.host_buffer(shape, self._backend.dtype)
        return self._pinned[count]


def packing_for(messages: MessageFormat, backend: Backend) -> Packing:
    """Return the packing for vectors in a backend's memory."""
    if backend.on_host:
        return messages
    if not isinstance(messages.codec, GpuCodec):
        return HostCodecPacking(messages, backend)
    # Imported here, so that ranks without a GPU do not import it.
    from lad_mpi.wire.gpu_packing import GpuPacking  # noqa: PLC0415

    return GpuPacking(messages, backend.xp)


def warm_up(packing: Packing, backend: Backend, channel: Channel) -> None:
    """Pack and unpack a message of zeros, to complete imports and compilation.

    Parameters
    ----------
    packing : Packing
        The packing of the run.
    backend : Backend
        The backend of the vectors.
    channel : Channel
        The channel of one device.
    """
    slots = packing.new_slots(1)
    vectors = backend.xp.zeros((1, channel.dimension), dtype=channel.dtype)
    packing.pack(vectors, channel, slots)
    packing.unpack(slots, channel)
