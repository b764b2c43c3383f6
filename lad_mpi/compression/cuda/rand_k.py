"""The codec ``rand_k`` on a GPU.

The host chooses the coordinates, because Floyd's algorithm is sequential, and sends the GPU one
bit for each coordinate. Encoding reads the chosen values once, and decoding writes the vectors
once. Besides the bits, temporaries take Q/128 bytes a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.arrays import namespace
from lad_mpi.compression import kernels
from lad_mpi.compression.base import Rejection
from lad_mpi.compression.cuda.launch import CHUNK, as_bits, launch, parts, program, raised, refuse

if TYPE_CHECKING:
    from lad_mpi.compression.base import Channel
    from lad_mpi.types import Array, HostInts, HostWords

_WORDS_A_CHUNK = CHUNK // 64


def encode(vectors: Array, k: int, channel: Channel, payloads: Array) -> None:
    """Write the chosen values; see :meth:`GpuCodec.encode_on_gpu`."""
    xp, (num_rows, dimension) = namespace(vectors), vectors.shape
    launch(
        xp,
        program(channel.dtype, "marks", "rand_k"),
        "gather_chosen",
        num_rows * parts(dimension),
        *as_bits(vectors),
        dimension,
        *_chosen(xp, k, channel),
        payloads,
        payloads.strides[0],
    )


def decode(payloads: Array, k: int, channel: Channel) -> tuple[Array, HostInts]:
    """Put the values back, scaled; see :meth:`GpuCodec.decode_on_gpu`."""
    xp, num_rows = namespace(payloads), len(payloads)
    vectors = xp.empty((num_rows, channel.dimension), dtype=channel.dtype)
    flags = xp.zeros((num_rows, 1), dtype=np.int32)
    launch(
        xp,
        program(channel.dtype, "marks", "rand_k"),
        "scatter_chosen",
        num_rows * parts(channel.dimension),
        payloads,
        payloads.strides[0],
        channel.dimension,
        *_chosen(xp, k, channel),
        float(channel.dtype.type(channel.dimension / k)),
        as_bits(vectors)[0],
        flags,
    )
    (not_finite,) = raised(flags)
    return refuse(vectors, (not_finite, Rejection.NOT_FINITE))


def _chosen(xp: Any, k: int, channel: Channel) -> tuple[Array, Array]:
    """Return marks of the chosen coordinates, and how many are before each chunk of a row."""
    marks = kernels.chosen_marks(k, channel)
    return xp.asarray(marks), xp.asarray(_marks_before(marks))


def _marks_before(marks: HostWords) -> HostInts:
    num_rows, num_words = marks.shape
    num_chunks = -(-num_words // _WORDS_A_CHUNK)
    counts = np.zeros((num_rows, num_chunks * _WORDS_A_CHUNK), dtype=np.int64)
    counts[:, :num_words] = np.bitwise_count(marks)
    chunks = counts.reshape(num_rows, num_chunks, _WORDS_A_CHUNK).sum(axis=2)
    before: HostInts = np.cumsum(chunks, axis=1) - chunks
    return before
