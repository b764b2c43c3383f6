"""Sparsification by size: the k largest coordinates and where they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from lad_mpi.compression.base import Rejection
from lad_mpi.compression.bits import index_bits, pack_bits, packed_bytes, unpack_bits
from lad_mpi.compression.rows import from_bytes, groups, refuse, rows_are_finite, to_bytes
from lad_mpi.errors import ParameterError
from lad_mpi.parameters import Count, Example, check_parameters

if TYPE_CHECKING:
    import numpy.typing as npt

    from lad_mpi.compression.base import Channel
    from lad_mpi.types import Array, HostBytes, HostFloats, HostInts


@dataclass(frozen=True, slots=True)
class TopK:
    """Send the k coordinates of largest magnitude; of equal ones, the first.

    A payload is the k values in the order of their indices, and then the
    indices, strictly increasing, in ⌈log₂ Q⌉ bits each without gaps.

    Parameters
    ----------
    k : int
        Number of coordinates in a message, 1 ≤ k ≤ Q.
    error_feedback : bool
        Whether devices keep the error of a message and add it to the next vector.

    Notes
    -----
    The codec is biased: E C(v) ≠ v, so no δ of an unbiased compressor holds.
    It contracts, ‖C(v) − v‖² ≤ (1 − k/Q) ‖v‖².

    References
    ----------
    Stich, Cordonnier, Jaggi, "Sparsified SGD with memory", NeurIPS 2018,
    arXiv:1809.07599.
    """

    k: Annotated[Count, Example(30)]
    error_feedback: bool = False

    kind: ClassVar[str] = "top_k"
    cost: ClassVar[str] = "b k + k⌈log₂ Q⌉/8 bytes"
    wire_code: ClassVar[int] = 3
    unbiased: ClassVar[bool] = False
    delta_is_exact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_parameters(self)

    def check(self, dimension: int) -> None:
        """Refuse k > Q."""
        if self.k > dimension:
            raise ParameterError("k", f"must be at most the dimension {dimension}, not {self.k}")

    def payload_bytes(self, dimension: int, dtype: np.dtype[Any]) -> int:
        """Return the size of a payload, k numbers and k indices."""
        return self.k * dtype.itemsize + packed_bytes(self.k, index_bits(dimension))

    def delta(self, dimension: int) -> float:  # noqa: ARG002
        """Return NaN: the codec is biased."""
        return math.nan

    def encode(self, vectors: HostFloats, channel: Channel) -> HostBytes:
        """Select and pack; see :meth:`Codec.encode`."""
        values = np.empty((len(vectors), self.k), dtype=channel.dtype)
        indices = np.empty((len(vectors), self.k), dtype=np.int64)
        for rows, _ in groups(channel):
            indices[rows] = np.nonzero(_largest(vectors[rows], self.k))[1].reshape(-1, self.k)
            values[rows] = np.take_along_axis(vectors[rows], indices[rows], axis=1)
        packed = pack_bits(indices, index_bits(channel.dimension))
        return np.concatenate([to_bytes(values), packed], axis=1)

    def decode(self, payloads: HostBytes, channel: Channel) -> tuple[HostFloats, HostInts]:
        """Put the values where their indices say; see :meth:`Codec.decode`."""
        size = self.k * channel.dtype.itemsize
        values = from_bytes(payloads[:, :size], channel.dtype)
        indices, clean = unpack_bits(payloads[:, size:], self.k, index_bits(channel.dimension))
        # Indices that increase are in range if the last one is.
        misplaced = np.any(indices[:, 1:] <= indices[:, :-1], axis=1)
        misplaced |= indices[:, -1] >= channel.dimension
        indices[misplaced] = np.arange(self.k)
        vectors = np.zeros((len(payloads), channel.dimension), dtype=channel.dtype)
        np.put_along_axis(vectors, indices, values, axis=1)
        rejections = refuse(
            vectors,
            (~rows_are_finite(values), Rejection.NOT_FINITE),
            (misplaced, Rejection.INDEX),
            (~clean, Rejection.PADDING),
        )
        return vectors, rejections

    def encode_on_gpu(self, vectors: Array, channel: Channel, payloads: Array) -> None:  # noqa: ARG002
        """Select and pack; see :meth:`GpuCodec.encode_on_gpu`."""
        from lad_mpi.compression.cuda import top_k  # noqa: PLC0415  (for runs on a GPU)

        top_k.encode(vectors, self.k, payloads)

    def decode_on_gpu(self, payloads: Array, channel: Channel) -> tuple[Array, HostInts]:
        """Put the values where their indices say; see :meth:`GpuCodec.decode_on_gpu`."""
        from lad_mpi.compression.cuda import top_k  # noqa: PLC0415  (for runs on a GPU)

        return top_k.decode(payloads, self.k, channel)


def _largest(vectors: HostFloats, k: int) -> npt.NDArray[np.bool_]:
    """Mark the k entries of largest magnitude, bool, shape (n, Q), k in each row."""
    magnitudes = np.abs(vectors)
    # NaN has no order; as the largest it is sent, and the receiver refuses it.
    magnitudes[np.isnan(magnitudes)] = np.inf
    place = vectors.shape[1] - k
    bound = np.partition(magnitudes, place, axis=1)[:, place, None]
    chosen: npt.NDArray[np.bool_] = magnitudes >= bound
    if np.count_nonzero(chosen) > k * len(vectors):
        above = magnitudes > bound
        tied = magnitudes == bound
        room = k - above.sum(axis=1, keepdims=True)
        chosen = above | (tied & (np.cumsum(tied, axis=1) <= room))
    return chosen
