"""Rows of a matrix, scaled so that no square overflows or vanishes."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.arrays import namespace, to_host
from lad_mpi.columns import (
    agreed,
    block_width,
    column_blocks,
    new_block,
    over_columns,
    own_columns,
    total,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lad_mpi.types import Array, HostBools, HostFloats

#: Squares between these neither overflow nor underflow, by the size of a float.
PLAIN_SQUARES = {4: (1e-25, 1e30), 8: (1e-290, 1e290)}

# Fewer than linear algebra shares between threads, and no more than a section.
_FEW_COLUMNS = 2048
# NumPy takes tens of microseconds to add up this many numbers, and hundreds to sort them. Loading
# Numba takes a third of a second, once.
_COMPILED_FROM = 100_000
_FAR = 1e120
_PLAIN_LENGTHS = (1e-100, 1e100)
_NEAR_OVERFLOW = 2.0**1020
# Sums of this many-thousandth of finite numbers never overflow, and seldom underflow.
_SMALL = 2.0**-40


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Messages, with the scale at which their squares neither overflow nor vanish.

    Parameters
    ----------
    messages : array, shape (n, Q)
        Finite rows x_1 … x_n.
    dtype : numpy.dtype
        Type of the computations in blocks. Blocks are summed in float64.
    unit : float
        Unit of length, a power of two; 1 unless the usual row is extremely long or short.
    factors : ndarray of float64, shape (n,), or None
        ``1 / unit``, or less for rows that are shortened; None if all are 1.
    headroom : float
        Factor that makes differences of rows representable.
    differences : (array of shape (Q,), array of shape (n, Q)), optional
        A point, and the rows minus this point, if they were formed anyway.
    """

    messages: Array
    dtype: np.dtype[Any]
    unit: float
    factors: HostFloats | None
    headroom: float
    differences: tuple[Array, Array] | None = None

    @property
    def shrinkage(self) -> HostFloats | float:
        """Factor by which each row is shortened; 1 except for absurdly long rows."""
        return 1.0 if self.factors is None else self.factors * self.unit

    def minus(self, origin: Array | None) -> Array:
        """Return the rows of a small host array minus a point, without scaling."""
        if origin is None:
            return self.messages.astype(self.dtype, copy=False)
        if self.differences is not None and self.differences[0] is origin:
            return self.differences[1]
        if self.messages.dtype == self.dtype:
            return self.messages - origin
        # A difference that also converts would take twice as long.
        block = self.messages.astype(self.dtype)
        block -= origin
        return block


def plain(messages: Array) -> Rows:
    """Take rows without scaling. Their squares show whether scaling is needed."""
    # A GPU sums long columns in one go, so it is given float64.
    dtype = messages.dtype if isinstance(messages, np.ndarray) else np.dtype(np.float64)
    return Rows(messages, dtype, 1.0, None, 1.0)


def survey(messages: Array) -> tuple[Rows, int]:
    """Find the typical magnitude of rows, and the scale of rows far from it.

    Returns
    -------
    rows : Rows
    typical : int
        A row of median magnitude. Honest rows lie on both sides of it, whatever a minority sends.
    """
    xp = namespace(messages)
    largest = xp.maximum(messages.max(axis=1), -messages.min(axis=1))
    # abs() turns the −0.0 of a row of zeros into a magnitude that may be divided by.
    magnitudes: HostFloats = agreed(np.abs(to_host(largest).astype(np.float64)))
    finite = np.isfinite(magnitudes)
    if not finite.all():
        messages = without_rows(messages, ~finite)
        magnitudes[~finite] = 0.0
    typical = int(np.argsort(magnitudes, kind="stable")[(len(magnitudes) - 1) // 2])
    magnitude = float(magnitudes[typical])
    unit = 1.0
    if magnitude > 0.0 and not _PLAIN_LENGTHS[0] < magnitude < _PLAIN_LENGTHS[1]:
        unit = 2.0 ** max(-1000, min(1000, math.frexp(magnitude)[1]))
    with np.errstate(divide="ignore", over="ignore"):
        factors: HostFloats = np.minimum(1.0 / unit, _FAR / magnitudes)
    # A difference of two representable numbers may be twice as large as either.
    headroom = 0.25 if magnitudes.max() >= _NEAR_OVERFLOW else 1.0
    scaled = None if (factors == 1.0).all() else factors
    return Rows(messages, np.dtype(np.float64), unit, scaled, headroom), typical


def measure_lengths(
    messages: Array, origin: Array | None = None, *, compared: bool = False
) -> tuple[Rows, HostFloats]:
    """Find the distances of all rows from one point.

    Parameters
    ----------
    messages : array, shape (n, Q)
        Rows that are not finite count as zeros.
    origin : array, shape (Q,), optional
        The point; zero if left out.
    compared : bool
        Whether lengths are compared with one another. They are then squared and summed in
        float64 for any dtype, because float32 cannot order lengths if the mean is large
        compared to the spread.

    Returns
    -------
    rows : Rows
    lengths : ndarray of float64, shape (n,)
        Lengths of the rows as scaled, in their unit.
    """
    rows = plain(messages)
    if compared:
        rows = dataclasses.replace(rows, dtype=np.dtype(np.float64))
    if origin is not None and is_small(messages) and not sums_compiled(messages):
        with np.errstate(all="ignore"):
            differences = (origin, rows.minus(origin))
        rows = Rows(messages, rows.dtype, 1.0, None, 1.0, differences)
    low, high = PLAIN_SQUARES[rows.dtype.itemsize]
    squares = _squared_lengths(rows, origin)
    # A NaN fails this comparison too.
    if not (squares.max() <= high and _median(squares) >= low):
        rows = survey(messages)[0]
        squares = _squared_lengths(rows, origin)
    return rows, np.sqrt(squares)


def lengths(rows: Rows) -> HostFloats:
    """Return the Euclidean norms of the rows as scaled, in their unit, float64, shape (n,)."""
    norms: HostFloats = np.sqrt(_squared_lengths(rows, None))
    return norms


def shrink(rows: Rows, factors: HostFloats) -> Array:
    """Multiply each row by a factor of at most 1; a factor of 1 keeps its bits.

    Parameters
    ----------
    rows : Rows
    factors : ndarray of float64, shape (n,)

    Returns
    -------
    array, shape (n, Q), of the messages' library and dtype
    """
    messages = rows.messages
    xp = namespace(messages)
    scale = xp.asarray(factors[:, None])
    result = xp.empty_like(messages)

    def multiply(columns: slice) -> None:
        for part in column_blocks(messages, columns):
            # In float64, where a factor for the longest rows of float32 is representable.
            xp.multiply(messages[:, part], scale, out=result[:, part])

    for _ in over_columns(messages, multiply):
        pass
    return result


def blocks_of(
    messages: Array,
    columns: slice,
    origin: Array | None,
    factors: HostFloats | None,
    dtype: np.dtype[Any],
) -> Iterator[tuple[slice, Array]]:
    """Yield ``factors * (messages - origin)`` block by block; a block lives until the next."""
    xp = namespace(messages)
    width = min(block_width(messages), columns.stop - columns.start)
    untouched = origin is None and factors is None and messages.dtype == dtype
    scratch = None if untouched else new_block(len(messages), width, messages, dtype)
    scale = None if factors is None else xp.asarray(factors[:, None])
    for part in column_blocks(messages, columns):
        block = messages[:, part]
        if scratch is not None:
            source, block = block, scratch[:, : part.stop - part.start]
            if scale is not None:
                # Scaling comes first, because the plain difference may overflow.
                xp.multiply(source, scale, out=block, dtype=dtype)
                if origin is not None:
                    block -= scale * origin[part].astype(dtype)
            elif origin is not None:
                xp.subtract(source, origin[part], out=block, dtype=dtype)
            else:
                block[...] = source
        yield part, block


def sums_compiled(messages: Array) -> bool:
    """Return whether sums over rows and columns of an array run compiled kernels.

    This only depends on the kind and shape of the array, so that equal calls give equal bits.
    """
    return (
        isinstance(messages, np.ndarray)
        and len(messages) * own_columns(messages)[1] >= _COMPILED_FROM
        and messages.dtype.char in "fd"
        and messages.dtype.isnative
    )


def is_small(messages: Array) -> bool:
    """Return whether a host array has few columns, so that sums need not divide them."""
    return isinstance(messages, np.ndarray) and own_columns(messages)[1] <= _FEW_COLUMNS


def _squared_lengths(rows: Rows, origin: Array | None) -> HostFloats:
    messages = rows.messages
    if rows.factors is None and sums_compiled(messages):
        from lad_mpi.aggregation import kernels_rows  # noqa: PLC0415  (imports Numba)

        return kernels_rows.squared_distances(messages, origin)
    if rows.factors is None and is_small(messages):
        with np.errstate(all="ignore"):
            block = rows.minus(origin)
            found: HostFloats = total([np.vecdot(block, block).astype(np.float64, copy=False)])
        return found
    xp = namespace(messages)
    # NumPy's vecdot takes half as long as einsum on what is in the cache, as copies in blocks
    # are, and half as long again on what is not. CuPy before 14 has none.
    short = own_columns(messages)[1] <= block_width(messages)
    cached = xp is np and (origin is not None or short)

    def squares_of(columns: slice) -> Array:
        squares = xp.zeros(len(messages))
        for _, block in blocks_of(messages, columns, origin, rows.factors, rows.dtype):
            squares += np.vecdot(block, block) if cached else xp.einsum("ij,ij->i", block, block)
        return squares

    squares: HostFloats = to_host(total(over_columns(messages, squares_of)))
    return squares


def _median(values: HostFloats) -> float:
    # NumPy's own costs as much as the rest on a small matrix.
    half = len(values) // 2
    return float(np.partition(values, half)[half])


def finite_rows(messages: Array) -> Array:
    """Return the messages, with zeros in place of rows that are not finite.

    A row with a NaN or an infinity is known to be faulty, and is one of the f arbitrary
    rows. The server also replaces a refused message by zeros. A rule is therefore as robust
    with such rows as without.

    Parameters
    ----------
    messages : array, shape (n, Q)

    Returns
    -------
    array, shape (n, Q)
        The same object if all rows are finite, else a copy.

    Notes
    -----
    The check is one product with a vector, because a sum with a NaN or an infinity is not
    finite. It reads the messages once.
    """
    xp = namespace(messages)
    ruler = xp.full(messages.shape[1], _SMALL, dtype=messages.dtype)
    with np.errstate(all="ignore"):
        finite = np.isfinite(to_host(messages @ ruler))
    return messages if finite.all() else without_rows(messages, ~finite)


def without_rows(messages: Array, refused: HostBools) -> Array:
    """Return a copy of the messages in which the marked rows are zero."""
    copy = messages.copy()
    copy[namespace(messages).asarray(refused)] = 0.0
    return copy
