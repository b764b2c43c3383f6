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
Blocks are summed in float64 and in the same order on any number of threads, and
linear algebra, which would divide a product by its threads, is kept to one.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.aggregation.columns import (
    block_width,
    column_tasks,
    over_columns,
    serial_linear_algebra,
    total,
)
from lad_mpi.aggregation.mixture import Mixture
from lad_mpi.aggregation.rows import PLAIN_SQUARES, Rows, blocks_of, plain, survey
from lad_mpi.arrays import namespace, to_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lad_mpi.types import Array, HostBools, HostFloats

# Squared offset of the origin, in squared radii of the majority, that leaves
# distances twelve digits of sixteen, or six of seven.
_MAX_OFFSET_SQUARED = {4: 4.0, 8: 1e4}
_MAX_RECENTRINGS = 2

#: Numbers tie if they differ by no more than this part of themselves, about 4e-14. Equal
#: distances that are computed in float64 in different ways differ by half as much at most.
TIE = 200 * float(np.finfo(np.float64).eps)


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

    def mixture(self, weights: HostFloats) -> Mixture:
        """Mix rows with weights, shape (n,) or (m, n), that sum to one."""
        messages = self.rows.messages
        return Mixture(self.rows, None if self.centre is None else messages[self.centre], weights)

    def combine(self, weights: HostFloats) -> Array:
        """Mix rows with weights that sum to one, array, shape (Q,) or (m, Q)."""
        return self.mixture(weights).whole()

    def mean_of(self, chosen: HostBools) -> Array:
        """Return the mean of the rows that are marked, array, shape (Q,)."""
        return self.combine(chosen / np.count_nonzero(chosen))


class ArrivingProducts:
    """The Gram matrix of messages whose columns arrive one after another.

    It is what :func:`measure` forms first of messages that are :func:`in_blocks`,
    in the same blocks and order, and so with the same bits.

    Parameters
    ----------
    messages : array, shape (n, Q)
        Fewer than half of the rows hostile. Columns that have not arrived are not
        looked at; those that have are finite and stay as they are.
    """

    def __init__(self, messages: Array) -> None:
        self._rows = plain(messages)
        self._tasks = column_tasks(messages)
        self._done = 0
        self._gram: Array | None = None
        self._centre: int | None = None

    def extend(self, stop: int, between: Callable[[], None]) -> None:
        """Take in what can be of the columns before ``stop``, and call ``between`` in between."""
        messages = self._rows.messages
        tasks = [columns for columns in self._tasks[self._done :] if columns.stop <= stop]
        if not tasks:
            return
        with serial_linear_algebra(messages):
            if self._gram is None:
                self._centre = _recommended(self._rows)
                between()
            for products in _products(self._rows, self._centre, tasks):
                self._gram = products if self._gram is None else total(iter((self._gram, products)))
                between()
        self._done += len(tasks)

    def geometry(self) -> Geometry:
        """Return what :func:`measure` does, once all columns have arrived."""
        rows = self._rows
        self.extend(rows.messages.shape[1], lambda: None)
        limit = _MAX_OFFSET_SQUARED[rows.dtype.itemsize]
        with serial_linear_algebra(rows.messages):
            geometry = _settle(_locate(rows, self._centre, to_host(self._gram)), limit)
            return _measure_carefully(rows.messages) if geometry is None else geometry


def in_blocks(messages: Array) -> bool:
    """Whether messages are so long that their Gram matrix is summed up from blocks."""
    return bool(messages.shape[1] >= 2 * block_width(messages))


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
    if in_blocks(messages):
        return ArrivingProducts(messages).geometry()
    with serial_linear_algebra(messages):
        geometry = _direct(messages)
        return _measure_carefully(messages) if geometry is None else geometry


def nearest(squared_distances: HostFloats, count: int) -> HostBools:
    """Mark the ``count`` smallest entries of each row, ties going to the lowest number.

    Parameters
    ----------
    squared_distances : ndarray, shape (m, n)
        Or other numbers that are not negative, infinite ones included.
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


def _direct(messages: Array) -> Geometry | None:
    """Measure a small matrix in float64, from a row that will do in most cases."""
    rows = dataclasses.replace(plain(messages), dtype=np.dtype(np.float64))
    return _settle(_measure_from(rows, len(messages) // 2), _MAX_OFFSET_SQUARED[4])


def _recommended(rows: Rows) -> int | None:
    """Return the row that a few columns recommend to be subtracted, None for none."""
    limit = _MAX_OFFSET_SQUARED[rows.dtype.itemsize]
    # A few columns show which rows are close, and whether the origin is as near as they.
    pilot = _measure_carefully(rows.messages[:, : block_width(rows.messages)])
    centre = pilot.tightest
    near = pilot.rows.messages[centre].astype(np.float64) / pilot.rows.unit
    with np.errstate(over="ignore"):
        is_near = float(near @ near) <= 0.5 * limit * pilot.squared_radii[centre]
    return None if is_near else centre


def _settle(geometry: Geometry, limit: float) -> Geometry | None:
    """Go on from what was measured as if no row were absurd; None where that does not do.

    The centre gives way to a better one, at most ``limit`` squared radii off.
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
    return _locate(rows, centre, to_host(total(_products(rows, centre))))


def _products(
    rows: Rows, centre: int | None, tasks: Sequence[slice] | None = None
) -> Iterator[Array]:
    """Yield what each of some ranges of columns, or of all, adds to the inner products."""
    messages, num_rows = rows.messages, len(rows.messages)
    xp = namespace(messages)
    point = None if centre is None else messages[centre]

    def products_of(columns: slice) -> Array:
        products = xp.zeros((num_rows, num_rows))
        for _, block in blocks_of(messages, columns, point, rows.factors, rows.dtype):
            products += block @ block.T
        return products

    yield from over_columns(messages, products_of, num_products=num_rows, tasks=tasks)


def _locate(rows: Rows, centre: int | None, gram: HostFloats) -> Geometry:
    """Find the distances that inner products say."""
    squares = np.diagonal(gram)
    with np.errstate(all="ignore"):
        distances = squares[:, None] + squares
        # The sum with the transpose is symmetric to the bit, so that ties are ties both ways.
        distances -= gram + gram.T
        np.maximum(distances, 0.0, out=distances)
    np.fill_diagonal(distances, 0.0)
    half = len(gram) // 2
    radii = np.partition(distances, half, axis=1)[:, half]
    return Geometry(rows, centre, gram, distances, radii)


def _majority_is_equal(geometry: Geometry) -> bool:
    """Check whether squares did not vanish only by underflow."""
    messages, tightest = geometry.rows.messages, geometry.tightest
    close = np.flatnonzero(geometry.squared_distances[tightest] == 0.0)
    return all(bool((messages[i] == messages[tightest]).all()) for i in close)
