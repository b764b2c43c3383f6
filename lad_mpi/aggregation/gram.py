"""Distances, norms and combinations of the rows of a matrix, by its Gram matrix.

Most rules only need the n × n Gram matrix of n messages of Q numbers. It is computed once, in
blocks of columns. All further work is on arrays of n or n × n numbers in host memory, up to a
final product with the rows. Memory besides the messages and the result is a few blocks.

The textbook form ``‖a‖² + ‖b‖² − 2⟨a, b⟩`` is not safe. Four precautions are:

* If the mean is large compared to the spread, that form cancels. So a row is subtracted first.
  The difference of two close floats of one precision is exact up to its own rounding, in float32
  too.
* That row is from the tightest majority, so no minority can move it away.
* A row longer than 1e120 times the typical length is shortened to that length along its own
  direction before anything is squared, so nothing overflows. Such a row is farther than all
  others, and no distance is infinite or NaN.
* A row that is not finite counts as a row of zeros, as a refused message does.

The last two cost nothing until they are needed. The result of a plain pass is then not finite,
and the pass is repeated with scaling. Blocks are summed in float64 and in the same order on any
number of threads. Linear algebra uses one thread, because it would divide a product by threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.aggregation.mixture import Mixture
from lad_mpi.aggregation.rows import PLAIN_SQUARES, Rows, blocks_of, is_small, plain, survey
from lad_mpi.arrays import namespace, to_host
from lad_mpi.columns import (
    SHARED_FROM_COLUMNS,
    agreed,
    block_width,
    from_first,
    over_columns,
    own_columns,
    serial_linear_algebra,
    total,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lad_mpi.types import Array, HostBools, HostFloats

# Squared offset of the origin, in squared radii of the majority, that leaves
# distances twelve digits of sixteen, or six of seven.
_MAX_OFFSET_SQUARED = {4: 4.0, 8: 1e4}
_MAX_RECENTRINGS = 2
# Rows that show whether the origin is as near as they are to each other.
_FEW_ROWS = 8
# Columns that recommend an origin: of the smallest section, so that all belong to one server.
_PILOT = slice(0, 2048, 4)

#: Numbers tie if they differ by no more than this part of themselves, about 4e-14. Equal
#: distances that are computed in float64 in different ways differ by half as much at most.
TIE = 200 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """The geometry of n rows, in their unit of length, with long rows shortened.

    Parameters
    ----------
    rows : Rows
        The rows.
    centre : int or None
        The row near the tightest majority that was subtracted from all rows. None if zero
        is as near, so that nothing was subtracted.
    gram : ndarray of float64, shape (n, n)
        Inner products of the rows minus the centre.
    squared_distances : ndarray of float64, shape (n, n)
        Squared distances between rows; finite, with an exact zero diagonal.
    squared_radii : ndarray of float64, shape (n,)
        For each row, of the least ball around it that holds ⌊n/2⌋ + 1 rows.
    """

    rows: Rows
    centre: int | None
    gram: HostFloats
    squared_distances: HostFloats
    squared_radii: HostFloats

    @property
    def tightest(self) -> int:
        """The row with the least ball, which a minority alone cannot fill."""
        return int(np.argmin(self.squared_radii))

    def mixture(self, weights: HostFloats) -> Mixture:
        """Mix rows with weights, shape (n,) or (m, n), that sum to one."""
        messages = self.rows.messages
        return Mixture(self.rows, None if self.centre is None else messages[self.centre], weights)

    def combine(self, weights: HostFloats) -> Array:
        """Mix rows with weights that sum to one, array, shape (Q,) or (m, Q)."""
        return self.mixture(weights).whole()

    def mean_of(self, chosen: HostBools) -> Array:
        """Return the mean of the marked rows, array, shape (Q,)."""
        return self.combine(chosen / np.count_nonzero(chosen))


def in_blocks(messages: Array) -> bool:
    """Whether messages are so long that their Gram matrix is summed up from blocks."""
    _, count = own_columns(messages)
    return bool(count >= min(2 * block_width(messages), SHARED_FROM_COLUMNS))


def measure(messages: Array) -> Geometry:
    """Find all distances between rows.

    Parameters
    ----------
    messages : array, shape (n, Q)
        Fewer than half of the rows are hostile. Rows that are not finite count as zeros.

    Returns
    -------
    Geometry
    """
    with serial_linear_algebra(messages):
        geometry = _in_blocks(messages) if in_blocks(messages) else _direct(messages)
        return _measure_carefully(messages) if geometry is None else geometry


def nearest(squared_distances: HostFloats, count: int) -> HostBools:
    """Mark the ``count`` smallest entries of each row, ties going to the lowest number.

    Parameters
    ----------
    squared_distances : ndarray, shape (m, n)
        They may be any numbers that are not negative, infinite ones included.
    count : int
        1 … n. Entries that tie with the last of these, to :data:`TIE`, are equally good.

    Returns
    -------
    ndarray of bool, shape (m, n)
    """
    last = np.partition(squared_distances, count - 1, axis=1)[:, count - 1 : count]
    within: HostBools = squared_distances <= last * (1.0 + TIE)
    if np.count_nonzero(within) == count * len(within):
        return within
    closer = squared_distances < last * (1.0 - TIE)
    tied = within & ~closer
    places = count - closer.sum(axis=1, keepdims=True)
    within &= closer | (tied.cumsum(axis=1) <= places)
    return within


def _in_blocks(messages: Array) -> Geometry | None:
    """Measure a large matrix from a row that a few columns recommend."""
    rows = plain(messages)
    limit = _MAX_OFFSET_SQUARED[rows.dtype.itemsize]
    return _settle(_measure_from(rows, _recommended(rows)), limit)


def _direct(messages: Array) -> Geometry | None:
    """Measure a small matrix in float64, from a point that is near enough in most cases."""
    rows = Rows(messages, np.dtype(np.float64), 1.0, None, 1.0)
    middle = len(messages) // 2
    with np.errstate(all="ignore"):
        centre = None if _is_near_origin(messages, middle) else middle
    return _settle(_measure_from(rows, centre), _MAX_OFFSET_SQUARED[4])


def _is_near_origin(messages: Array, row: int) -> bool:
    """Compare the length of a row to its median distance from a few rows."""
    few = messages[:: max(1, len(messages) // _FEW_ROWS)].astype(np.float64)
    point = messages[row].astype(np.float64)
    few -= point
    squares = np.sort(to_host((few * few).sum(axis=1)))
    return bool(float(point @ point) <= squares[len(squares) // 2])


def _recommended(rows: Rows) -> int | None:
    """Return the row to subtract, chosen from a few columns; None for none."""
    limit = _MAX_OFFSET_SQUARED[rows.dtype.itemsize]
    found = float(from_first(lambda: np.array(_from_pilot(rows, limit), dtype=np.float64)))
    return None if found < 0 else int(found)


def _from_pilot(rows: Rows, limit: float) -> int:
    """Return the row to subtract, or -1."""
    # A few columns show which rows are close, and whether the origin is as near as they.
    few = rows.messages[:, _PILOT]
    pilot = _direct(few) or _measure_carefully(few)
    centre = pilot.tightest
    near = few[centre].astype(np.float64) / pilot.rows.unit
    with np.errstate(over="ignore"):
        is_near = float(near @ near) <= 0.5 * limit * pilot.squared_radii[centre]
    return -1 if is_near else centre


def _settle(geometry: Geometry, limit: float) -> Geometry | None:
    """Complete the geometry from a plain pass; None if the pass was not good enough.

    The centre may be replaced by a better one, at most ``limit`` squared radii away.
    """
    rows = geometry.rows
    low, high = PLAIN_SQUARES[rows.dtype.itemsize]
    for left in reversed(range(1 + _MAX_RECENTRINGS)):
        tightest = geometry.tightest
        radius = geometry.squared_radii[tightest]
        if not geometry.squared_distances.max() <= high:
            return None
        if radius < low and not (radius == 0.0 and _majority_is_equal(geometry)):
            return None
        if geometry.gram[tightest, tightest] <= limit * radius:
            return geometry
        if left:
            geometry = _measure_from(rows, tightest)
    return None


def _measure_carefully(messages: Array) -> Geometry:
    rows, typical = survey(messages)
    geometry = _measure_from(rows, typical)
    for _ in range(_MAX_RECENTRINGS):
        tightest = geometry.tightest
        radius = geometry.squared_radii[tightest]
        if geometry.gram[tightest, tightest] <= _MAX_OFFSET_SQUARED[4] * radius:
            break
        geometry = _measure_from(rows, tightest)
    return geometry


def _measure_from(rows: Rows, centre: int | None) -> Geometry:
    # Products that overflow may be infinite with either sign, and their sum is not a number.
    with np.errstate(all="ignore"):
        return _locate(rows, centre, to_host(total(_products(rows, centre))))


def _products(rows: Rows, centre: int | None) -> Iterator[Array]:
    """Yield the inner products of each range of columns."""
    messages, num_rows = rows.messages, len(rows.messages)
    xp = namespace(messages)
    point = None if centre is None else messages[centre]
    if rows.factors is None and is_small(messages):
        block = rows.minus(point)
        yield (block @ block.T).astype(np.float64, copy=False)
        return

    def products_of(columns: slice) -> Array:
        products = xp.zeros((num_rows, num_rows))
        for _, block in blocks_of(messages, columns, point, rows.factors, rows.dtype):
            products += block @ block.T
        return products

    yield from over_columns(messages, products_of, num_products=num_rows)


def _locate(rows: Rows, centre: int | None, gram: HostFloats) -> Geometry:
    """Compute the distances from inner products."""
    squares = np.diagonal(gram)
    distances = squares[:, None] + squares
    # The sum with the transpose is symmetric to the bit, so that ties are ties both ways.
    distances -= gram + gram.T
    np.maximum(distances, 0.0, out=distances)
    distances.ravel()[:: len(gram) + 1] = 0.0
    # Vectorised, a sort is as fast as a selection.
    radii = np.sort(distances, axis=1)[:, len(gram) // 2]
    return Geometry(rows, centre, gram, distances, radii)


def _majority_is_equal(geometry: Geometry) -> bool:
    """Check that no squares vanished by underflow."""
    messages, tightest = geometry.rows.messages, geometry.tightest
    close = np.flatnonzero(geometry.squared_distances[tightest] == 0.0)
    equal = all(bool((messages[i] == messages[tightest]).all()) for i in close)
    return not agreed(np.array([not equal], dtype=np.float64))[0]
