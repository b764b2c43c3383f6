"""Rows of a matrix seen from one another: distances, norms and combinations.

Most rules need nothing of n messages of Q numbers but the n × n Gram matrix.
It is formed once, in blocks of columns; what follows happens in n-space, in
host memory; one product with the rows ends it. Memory beside the messages and
the result is a few blocks.

Four precautions make this safe where the textbook form
``‖a‖² + ‖b‖² − 2⟨a, b⟩`` is not:

* where the mean is large beside the spread, that form cancels, so a row is
  subtracted first; the difference of two close floats of one precision is exact
  up to its own rounding, in float32 too;
* that row is taken from the tightest majority, so no minority can move it away;
* a row that is 1e120 times the usual length is drawn in to that length along
  its own direction before anything is squared, so nothing overflows: such a
  row is farther than all others and no distance is infinite or NaN;
* a row that is not finite counts as a row of zeros, as a message that the
  server refuses does.

The last two cost nothing until they are needed: a plain pass shows by its
result, which is then not finite, that it has to be made again with care.
Blocks are summed in float64 and in the same order on any number of threads.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from lad_mpi.aggregation.checks import without_rows
from lad_mpi.arrays import namespace, to_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lad_mpi.types import Array, HostBools, HostFloats

    Part = TypeVar("Part")

_FAR = 1e120
_PLAIN_LENGTHS = (1e-100, 1e100)
_NEAR_OVERFLOW = 2.0**1020

# Squares within these lose nothing to overflow or underflow, by the size of a float.
_PLAIN_SQUARES = {4: (1e-25, 1e30), 8: (1e-290, 1e290)}
# Squared offset of the origin, in squared radii of the majority, that leaves
# distances twelve digits of sixteen, or six of seven.
_MAX_OFFSET_SQUARED = {4: 4.0, 8: 1e4}
_MAX_RECENTRINGS = 2

# Bytes of a block of columns, to stay in cache; a GPU wants fewer launches.
_HOST_BLOCK_BYTES = 1_650_000
_DEVICE_BLOCK_BYTES = 400_000_000
# A task is some blocks, which share one scratch array; a thread takes one at a time.
_BLOCKS_PER_TASK = 6
_MAX_TASKS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Messages, and how to compute with them so that squares neither overflow nor vanish.

    Parameters
    ----------
    messages : array, shape (n, Q)
        Finite rows x_1 … x_n.
    dtype : numpy.dtype
        What blocks are computed in; they are summed in float64.
    unit : float
        Unit of length, a power of two; 1 unless the usual row is extremely long or short.
    factors : ndarray of float64, shape (n,)
        ``1 / unit``, or less for rows that are drawn in.
    headroom : float
        Factor under which differences of rows are representable.
    """

    messages: Array
    dtype: np.dtype[Any]
    unit: float
    factors: HostFloats
    headroom: float

    @property
    def shrinkage(self) -> HostFloats:
        """Factor by which each row is drawn in, 1 for all but absurdly long rows."""
        return self.factors * self.unit


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """How n rows lie, in the rows' unit of length and with long rows drawn in.

    Parameters
    ----------
    rows : Rows
        What was measured.
    centre : int or None
        The row that was subtracted from all, near the tightest majority; None
        where zero is as near, so that nothing was subtracted.
    gram : ndarray of float64, shape (n, n)
        Inner products of the rows as seen from the centre.
    squared_distances : ndarray of float64, shape (n, n)
        Between rows; finite, with an exact zero diagonal.
    squared_radii : ndarray of float64, shape (n,)
        Of the least ball round each row that holds ⌊n/2⌋ + 1 rows.
    """

    rows: Rows
    centre: int | None
    gram: HostFloats
    squared_distances: HostFloats
    squared_radii: HostFloats

    @property
    def tightest(self) -> int:
        """The row with the least ball, which no minority can fill."""
        return int(np.argmin(self.squared_radii))

    def combine(self, weights: HostFloats) -> Array:
        """Mix rows with weights that sum to one; see :func:`combine`."""
        messages = self.rows.messages
        return combine(self.rows, None if self.centre is None else messages[self.centre], weights)

    def mean_of(self, chosen: HostBools) -> Array:
        """Return the mean of the rows that are marked, array, shape (Q,)."""
        return self.combine(chosen / np.count_nonzero(chosen))


def measure(messages: Array) -> Geometry:
    """Find all distances between rows.

    Parameters
    ----------
    messages : array, shape (n, Q)
        Fewer than half of the rows hostile; rows that are not finite count as zeros.

    Returns
    -------
    Geometry
    """
    width = _block_width(messages)
    if messages.shape[1] >= 2 * width:
        geometry = _measure_plainly(messages, width)
        if geometry is not None:
            return geometry
    return _measure_carefully(messages)


def measure_lengths(messages: Array, origin: Array | None = None) -> tuple[Rows, HostFloats]:
    """Find the distances of all rows from one point.

    Parameters
    ----------
    messages : array, shape (n, Q)
        Rows that are not finite count as zeros.
    origin : array, shape (Q,), optional
        The point; zero where it is left out.

    Returns
    -------
    rows : Rows
    lengths : ndarray of float64, shape (n,)
        In the rows' unit, and of rows that are drawn in.
    """
    rows = _plain(messages)
    low, high = _PLAIN_SQUARES[rows.dtype.itemsize]
    squares = _squared_lengths(rows, origin)
    # A NaN fails this comparison too.
    if not (squares.max() <= high and np.median(squares) >= low):
        rows = survey(messages)
        squares = _squared_lengths(rows, origin)
    return rows, np.sqrt(squares)


def survey(messages: Array) -> Rows:
    """Find the usual magnitude of rows, and what to do about those far from it."""
    return _survey(messages)[0]


def lengths(rows: Rows) -> HostFloats:
    """Return the Euclidean norms of the rows, drawn in and in their unit, float64, shape (n,)."""
    norms: HostFloats = np.sqrt(_squared_lengths(rows, None))
    return norms


def nearest(squared_distances: HostFloats, count: int) -> HostBools:
    """Mark the ``count`` smallest entries of each row, ties going to the lowest number.

    Parameters
    ----------
    squared_distances : ndarray, shape (m, n)
    count : int
        1 … n.

    Returns
    -------
    ndarray of bool, shape (m, n)
    """
    last = np.partition(squared_distances, count - 1, axis=1)[:, count - 1 : count]
    closer = squared_distances < last
    tied = squared_distances == last
    places = count - closer.sum(axis=1, keepdims=True)
    result: HostBools = closer | (tied & (tied.cumsum(axis=1) <= places))
    return result


def combine(rows: Rows, origin: Array | None, weights: HostFloats) -> Array:
    r"""Mix rows, exactly where all the rows that count are equal to the origin.

    Parameters
    ----------
    rows : Rows
        x_1 … x_n.
    origin : array, shape (Q,), optional
        c, for instance a row; zero where it is left out.
    weights : ndarray of float64, shape (n,) or (m, n)
        w; what a mixture lacks to a sum of one goes to the origin.

    Returns
    -------
    array, shape (Q,) or (m, Q), of the messages' library and dtype

    Notes
    -----
    .. math:: c + \sum_j w_j (x_j - c).
    """
    messages, headroom, dtype = rows.messages, rows.headroom, rows.dtype
    xp = namespace(messages)
    factors = None if headroom == 1.0 else np.full(len(messages), headroom)
    mixing = xp.asarray(weights.astype(dtype))
    mixed = xp.empty((*weights.shape[:-1], messages.shape[1]), dtype=messages.dtype)

    def mix(columns: slice) -> None:
        for part, block in _blocks(messages, columns, origin, factors, dtype):
            target = mixed[..., part]
            if xp is np and dtype == mixed.dtype:
                product = np.matmul(mixing, block, out=target)
            else:
                product = mixing @ block
            if origin is not None:
                product += (headroom * origin[part]).astype(dtype)
            if headroom != 1.0:
                product /= headroom
            if product is not target:
                target[...] = product

    for _ in over_columns(messages, mix):
        pass
    return mixed


def shrink(rows: Rows, factors: HostFloats) -> Array:
    """Multiply each row by a factor of at most 1, which leaves it as it is.

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


def column_blocks(messages: Array, columns: slice | None = None) -> Iterator[slice]:
    """Cut a range of columns, or all, into blocks that a cache can hold.

    They are the same ones for the same shape.
    """
    width = _block_width(messages)
    begin, end = (0, messages.shape[1]) if columns is None else (columns.start, columns.stop)
    for first in range(begin, end, width):
        yield slice(first, min(first + width, end))


def over_columns(messages: Array, work: Callable[[slice], Part]) -> Iterator[Part]:
    """Do something to ranges of columns, on several threads, and yield the results in order.

    Ranges depend on the shape alone. On a GPU there is one thread; on the host
    each has its own range and linear algebra does not divide it further.

    Parameters
    ----------
    messages : array, shape (n, Q)
    work : callable
        Given a range of columns. It may divide by zero and overflow silently.
    """
    width, num_columns = _block_width(messages), messages.shape[1]
    num_blocks = -(-num_columns // width)
    length = width * max(_BLOCKS_PER_TASK, -(-num_blocks // _MAX_TASKS))
    tasks = [slice(a, min(a + length, num_columns)) for a in range(0, num_columns, length)]
    threads = min(num_threads(), len(tasks)) if isinstance(messages, np.ndarray) else 1

    def quietly(columns: slice) -> Part:
        with np.errstate(all="ignore"):
            return work(columns)

    if threads == 1:
        yield from map(quietly, tasks)
        return
    with _linear_algebra().limit(limits=1), ThreadPoolExecutor(threads) as pool:
        yield from pool.map(quietly, tasks)


def num_threads() -> int:
    """Return ``OMP_NUM_THREADS`` where it is set, else the processors of this process."""
    stated = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if stated.isdigit() and int(stated) > 0:
        return int(stated)
    return len(os.sched_getaffinity(0))


@cache
def _linear_algebra() -> Any:
    return ThreadpoolController()


def _block_width(messages: Array) -> int:
    host = isinstance(messages, np.ndarray)
    budget = _HOST_BLOCK_BYTES if host else _DEVICE_BLOCK_BYTES
    itemsize = messages.dtype.itemsize if host else 8
    # An odd multiple of 64 bytes a row: powers of two alias in cache.
    return int(budget // (len(messages) * itemsize) // 16 * 16 + 8)


def _blocks(
    messages: Array,
    columns: slice,
    origin: Array | None,
    factors: HostFloats | None,
    dtype: np.dtype[Any],
) -> Iterator[tuple[slice, Array]]:
    """Yield ``factors * (messages - origin)`` block by block; a block lives until the next."""
    xp = namespace(messages)
    width = min(_block_width(messages), columns.stop - columns.start)
    untouched = origin is None and factors is None and messages.dtype == dtype
    scratch = None if untouched else xp.empty((len(messages), width), dtype=dtype)
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


def _plain(messages: Array) -> Rows:
    # A GPU sums long columns in one go, so it is given float64.
    dtype = messages.dtype if isinstance(messages, np.ndarray) else np.dtype(np.float64)
    return Rows(messages, dtype, 1.0, np.ones(len(messages)), 1.0)


def _survey(messages: Array) -> tuple[Rows, int]:
    """Return the rows, and one of median magnitude.

    Honest rows bracket it whatever a minority sends.
    """
    xp = namespace(messages)
    largest = xp.maximum(messages.max(axis=1), -messages.min(axis=1))
    # abs() turns the −0.0 of a row of zeros into a magnitude that may be divided by.
    magnitudes: HostFloats = np.abs(to_host(largest).astype(np.float64))
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
        factors = np.minimum(1.0 / unit, _FAR / magnitudes)
    # A difference of two representable numbers may be twice as large as either.
    headroom = 0.25 if magnitudes.max() >= _NEAR_OVERFLOW else 1.0
    return Rows(messages, np.dtype(np.float64), unit, factors, headroom), typical


def _squared_lengths(rows: Rows, origin: Array | None) -> HostFloats:
    messages = rows.messages
    xp = namespace(messages)
    factors = None if (rows.factors == 1.0).all() else rows.factors

    def squares_of(columns: slice) -> Array:
        squares = xp.zeros(len(messages))
        for _, block in _blocks(messages, columns, origin, factors, rows.dtype):
            squares += xp.einsum("ij,ij->i", block, block)
        return squares

    total: HostFloats = to_host(sum(over_columns(messages, squares_of)))
    return total


def _measure_plainly(messages: Array, width: int) -> Geometry | None:
    """Measure as if no row were absurd; None where that turns out not to do."""
    rows = _plain(messages)
    size = rows.dtype.itemsize
    low, high = _PLAIN_SQUARES[size]
    limit = _MAX_OFFSET_SQUARED[size]
    # A few columns show which rows are close, and whether the origin is as near as they.
    sample = messages[:, :width]
    pilot = _measure_carefully(sample)
    centre: int | None = pilot.tightest
    near = pilot.rows.messages[centre].astype(np.float64) / pilot.rows.unit
    with np.errstate(over="ignore"):
        if float(near @ near) <= 0.5 * limit * pilot.squared_radii[centre]:
            centre = None
    for _ in range(_MAX_RECENTRINGS):
        geometry = _measure_from(rows, centre)
        radius = geometry.squared_radii.min()
        if not geometry.squared_distances.max() <= high:
            return None
        tightest = geometry.tightest
        if radius < low and not (radius == 0.0 and _majority_is_equal(geometry)):
            return None
        if geometry.gram[tightest, tightest] <= limit * radius:
            return geometry
        centre = tightest
    return None


def _measure_carefully(messages: Array) -> Geometry:
    rows, typical = _survey(messages)
    geometry = _measure_from(rows, typical)
    for _ in range(_MAX_RECENTRINGS):
        tightest = geometry.tightest
        radius = geometry.squared_radii[tightest]
        if geometry.gram[tightest, tightest] <= _MAX_OFFSET_SQUARED[4] * radius:
            break
        geometry = _measure_from(rows, tightest)
    return geometry


def _measure_from(rows: Rows, centre: int | None) -> Geometry:
    messages, num_rows = rows.messages, len(rows.factors)
    xp = namespace(messages)
    point = None if centre is None else messages[centre]
    factors = None if (rows.factors == 1.0).all() else rows.factors

    def products_of(columns: slice) -> Array:
        products = xp.zeros((num_rows, num_rows))
        for _, block in _blocks(messages, columns, point, factors, rows.dtype):
            products += block @ block.T
        return products

    gram: HostFloats = to_host(sum(over_columns(messages, products_of)))
    squares = np.diagonal(gram)
    with np.errstate(all="ignore"):
        # The sum with the transpose is symmetric to the bit, so that ties are ties both ways.
        distances = squares[:, None] + squares - (gram + gram.T)
        np.maximum(distances, 0.0, out=distances)
    np.fill_diagonal(distances, 0.0)
    half = num_rows // 2
    radii = np.partition(distances, half, axis=1)[:, half]
    return Geometry(rows, centre, gram, distances, radii)


def _majority_is_equal(geometry: Geometry) -> bool:
    """Check whether squares did not vanish only by underflow."""
    messages, tightest = geometry.rows.messages, geometry.tightest
    close = np.flatnonzero(geometry.squared_distances[tightest] == 0.0)
    return all(bool((messages[i] == messages[tightest]).all()) for i in close)
