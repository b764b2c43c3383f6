"""The codec ``top_k`` on a GPU.

The k-th largest magnitude is found a few digits at a time. The vectors are read three times in
float32 and six times in float64, each time to count the next digits behind the known ones. One
more pass marks the magnitudes that are as large, and another reads the chosen values. Decoding
writes the vectors once, and the values again. Temporaries take Q/4 + 4k + Q/32 bytes a row, and
8 KiB for counts. For short vectors the counts take 1 KiB, and the vectors are read four or eight
times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import namespace
from lad_mpi.compression.base import Rejection
from lad_mpi.compression.bits import index_bits
from lad_mpi.compression.cuda.launch import (
    THREADS,
    Program,
    as_bits,
    launch,
    parts,
    program,
    raised,
    refuse,
)

if TYPE_CHECKING:
    from lad_mpi.compression.base import Channel
    from lad_mpi.types import Array, HostInts

# Binary digits that are found at once: of vectors from a dimension on, and of shorter ones,
# for which to count more possibilities would take more room than they do.
_DIGITS = 11
_LONG = 1 << 14
_FEW_DIGITS = 8


def encode(vectors: Array, k: int, payloads: Array) -> None:
    """Select and pack; see :meth:`GpuCodec.encode_on_gpu`."""
    xp, (num_rows, dimension) = namespace(vectors), vectors.shape
    of, given = _program(vectors), (*as_bits(vectors), dimension)
    bounds, rooms = _bounds(vectors, k)
    # Rows of marks are words, and written as bytes.
    above, tied = (xp.zeros((num_rows, -(-dimension // 64)), dtype=np.uint64) for _ in range(2))
    num_blocks = num_rows * parts(dimension)
    marks = above.view(np.uint8), tied.view(np.uint8)
    launch(xp, of, "mark_sizes", num_blocks, *given, bounds, *marks)
    places = xp.empty((num_rows, k), dtype=np.uint32)
    target = (payloads, payloads.strides[0])
    launch(
        xp,
        of,
        "gather_largest",
        num_blocks,
        *given,
        above,
        _marks_before(of, above, dimension),
        tied,
        _marks_before(of, tied, dimension),
        rooms,
        k,
        *target,
        places,
    )
    width = np.int32(index_bits(dimension))
    launch(xp, of, "pack_places", num_rows * parts(k), places, k, width, *target)


def decode(payloads: Array, k: int, channel: Channel) -> tuple[Array, HostInts]:
    """Put the values where their indices say; see :meth:`GpuCodec.decode_on_gpu`."""
    xp, num_rows = namespace(payloads), len(payloads)
    vectors = xp.zeros((num_rows, channel.dimension), dtype=channel.dtype)
    flags = xp.zeros((num_rows, 3), dtype=np.int32)
    launch(
        xp,
        _program(vectors),
        "scatter_values",
        num_rows * parts(k),
        payloads,
        payloads.strides[0],
        channel.dimension,
        k,
        np.int32(index_bits(channel.dimension)),
        as_bits(vectors)[0],
        flags,
    )
    not_finite, misplaced, unclean = raised(flags)
    return refuse(
        vectors,
        (not_finite, Rejection.NOT_FINITE),
        (misplaced, Rejection.INDEX),
        (unclean, Rejection.PADDING),
    )


def _bounds(vectors: Array, k: int) -> tuple[Array, Array]:
    """Find each row's k-th largest magnitude, and how many as large are among the k largest.

    Returns
    -------
    bounds, rooms : CuPy array of int64, shape (n,)
        The bits of the magnitude, and the number.
    """
    xp, (num_rows, dimension) = namespace(vectors), vectors.shape
    of, digits = _program(vectors), _digits(dimension)
    bounds = xp.zeros(num_rows, dtype=np.int64)
    rooms = xp.full(num_rows, k, dtype=np.int64)
    num_blocks = num_rows * parts(dimension, 8 << digits)
    bits_left = 8 * vectors.itemsize - 1
    while bits_left:
        num_digits = min(digits, bits_left)
        bits_left -= num_digits
        shift, counts = np.int32(bits_left), xp.zeros((num_rows, 1 << digits), dtype=np.uint32)
        given = (*as_bits(vectors), dimension, bounds, shift, np.int32(num_digits))
        launch(xp, of, "count_digits", num_blocks, *given, counts)
        launch(xp, of, "choose_digits", num_rows, counts, shift, bounds, rooms)
    return bounds, rooms


def _marks_before(of: Program, marks: Array, dimension: int) -> Array:
    """Return how many marks of a row are before each chunk of coordinates."""
    xp, num_rows = namespace(marks), len(marks)
    counts = xp.empty((num_rows, parts(dimension)), dtype=np.int64)
    num_blocks = parts(counts.size, THREADS)
    launch(xp, of, "count_marks", num_blocks, marks, num_rows, dimension, counts)
    return xp.cumsum(counts, axis=1) - counts


def _program(vectors: Array) -> Program:
    digits = _digits(vectors.shape[1])
    return program(vectors.dtype, "marks", "codes", "top_k", DIGITS=digits)


def _digits(dimension: int) -> int:
    return _DIGITS if dimension >= _LONG else _FEW_DIGITS
