"""Helpers of the codecs: groups of rows of bounded size, bytes, and refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.compression.base import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from lad_mpi.compression.base import Channel
    from lad_mpi.types import HostBytes, HostFloats, HostInts

#: Coordinates of a group of rows. Temporaries of a group fit in the cache.
GROUP_COORDINATES = 1 << 17

#: Coordinates of a piece, a multiple of eight: 128 KiB of 64-bit numbers.
PIECE_COORDINATES = 1 << 14


def groups(channel: Channel) -> Iterator[tuple[slice, Channel]]:
    """Cut a block of devices into groups of rows, each with a channel of its own.

    Yields
    ------
    rows : slice
        Rows of the block's arrays.
    part : Channel
        The channel of these rows, with the same random numbers as that of the whole block.
    """
    num_rows = channel.num_devices if channel.rows is None else len(channel.rows)
    step = max(1, GROUP_COORDINATES // channel.dimension)
    if 0 < num_rows <= step:
        yield slice(0, num_rows), channel
        return
    for start in range(0, num_rows, step):
        rows = slice(start, min(start + step, num_rows))
        if channel.rows is None:
            first, count, members = rows.start, rows.stop - rows.start, None
        else:
            wanted = channel.rows[rows]
            first = int(wanted.min())
            count, members = int(wanted.max()) - first + 1, wanted - first
        yield (
            rows,
            replace(
                channel,
                first_device=channel.first_device + first,
                num_devices=count,
                rows=members,
            ),
        )


def pieces(
    num_rows: int, dimension: int, largest: int = PIECE_COORDINATES
) -> Iterator[tuple[slice, slice]]:
    """Cut an array of vectors into pieces that stay in the cache.

    The pieces of a row only depend on the dimension.

    Parameters
    ----------
    num_rows, dimension : int
        Shape of the array.
    largest : int
        Elements of a piece, at least 1.

    Yields
    ------
    rows, columns : slice
        Of the piece; by default, columns begin at multiples of eight.
    """
    step = max(1, largest // dimension)
    for first in range(0, num_rows, step):
        rows = slice(first, min(first + step, num_rows))
        for start in range(0, dimension, largest):
            yield rows, slice(start, min(start + largest, dimension))


def bucket_groups(num_rows: int, count: int, size: int) -> Iterator[tuple[slice, slice]]:
    """Cut an array of buckets, shape (num_rows, count, size), into groups of bounded size.

    Yields
    ------
    rows, buckets : slice
        Of the group.
    """
    return pieces(num_rows, count, largest=max(1, GROUP_COORDINATES // size))


def to_bytes(values: HostFloats) -> HostBytes:
    """Return rows of numbers as little-endian bytes, a copy, shape (n, m * itemsize)."""
    return values.astype(values.dtype.newbyteorder("<"), order="C").view(np.uint8)


def from_bytes(payload: HostBytes, dtype: np.dtype[Any]) -> HostFloats:
    """Return rows of little-endian bytes as numbers, a copy, shape (n, m)."""
    numbers: HostFloats = np.array(payload, order="C").view(dtype.newbyteorder("<"))
    return numbers.astype(dtype, copy=False)


def rows_are_finite(values: HostFloats) -> npt.NDArray[np.bool_]:
    """Return which rows only hold finite numbers, bool, shape (n,)."""
    finite: npt.NDArray[np.bool_] = np.all(np.isfinite(values), axis=1)
    return finite


def first_reasons(
    shape: int | tuple[int, ...], *complaints: tuple[npt.NDArray[np.bool_], Rejection]
) -> HostInts:
    """Return the first reason to refuse each row or bucket, 0 if there is none, int64."""
    rejections = np.zeros(shape, dtype=np.int64)
    for rows, reason in reversed(complaints):
        rejections[rows] = reason
    return rejections


def refuse(vectors: HostFloats, *complaints: tuple[npt.NDArray[np.bool_], Rejection]) -> HostInts:
    """Set refused rows to zero, in place, and return the first reason for each.

    Parameters
    ----------
    vectors : ndarray, shape (n, Q)
        Decoded vectors.
    *complaints : tuple of (ndarray of bool, shape (n,), Rejection)
        Rows that are refused, and the reason. Earlier complaints come first.

    Returns
    -------
    ndarray of int64, shape (n,)
        A :class:`Rejection` for each row, 0 if there is no complaint.
    """
    rejections = first_reasons(len(vectors), *complaints)
    if rejections.any():
        vectors[rejections != 0] = 0
    return rejections


def refuse_not_finite(vectors: HostFloats) -> HostInts:
    """Refuse rows with numbers that are not finite; see :func:`refuse`."""
    finite = np.isfinite(vectors)
    # A check row by row takes five times as long, and nearly always all are finite.
    if finite.all():
        return np.zeros(len(vectors), dtype=np.int64)
    return refuse(vectors, (~np.all(finite, axis=1), Rejection.NOT_FINITE))
