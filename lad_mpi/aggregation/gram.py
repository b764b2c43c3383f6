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
Blocks are summed in float64 and in the same order on any number of threads; only
within a matrix of a single block does linear algebra divide its work by threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.aggregation.columns import (
    block_width,
    column_tasks,
    over_columns,
    serial_linear_algebra,
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

    It is what :func:`measure` forms first of messages that :func:`in_blocks`,
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
        self._products: list[Array] = []
        self._centre: int | None = None

    def extend(self, stop: int, between: Callable[[], None]) -> None:
        """Take in what can be of the columns before ``stop``, and call ``between`` in between."""
        messages, done = self._rows.messages, len(self._products)
        tasks = [columns for columns in self._tasks[done:] if columns.stop <= stop]
        if not tasks:
            return
        with serial_linear_algebra(messages):
            if done == 0:
                self._centre = _choose_centre(messages)
                between()
            for products in _products(self._rows, self._centre, tasks):
                self._products.append(products)
                between()

    def geometry(self) -> Geometry:
        """Return what :func:`measure` does, once all columns have arrived."""
        messages = self._rows.messages
        self.extend(messages.shape[1], lambda: None)
        with serial_linear_algebra(messages):
            measured = _locate(self._rows, self._centre, to_host(sum(self._products)))
            geometry = _recentre(measured)
        return _measure_carefully(messages) if geometry is None else geometry


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
        # As if no row were absurd, until that turns out not to do.
        return ArrivingProducts(messages).geometry()
    return _measure_carefully(messages)


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


def _choose_centre(messages: Array) -> int | None:
    """Choose what to subtract by a few columns, which show what rows are close.

    None where the origin is as near as they.
    """
    limit = _MAX_OFFSET_SQUARED[plain(messages).dtype.itemsize]
    pilot = _measure_carefully(messages[:, : block_width(messages)])
    centre = pilot.tightest
    near = pilot.rows.messages[centre].astype(np.float64) / pilot.rows.unit
    with np.errstate(over="ignore"):
        as_near = float(near @ near) <= 0.5 * limit * pilot.squared_radii[centre]
    return None if as_near else centre


def _recentre(geometry: Geometry) -> Geometry | None:
    """Subtract another row where that is better; None where rows have to be scaled first."""
    rows = geometry.rows
    size = rows.dtype.itemsize
    low, high = PLAIN_SQUARES[size]
    for recentrings_left in reversed(range(_MAX_RECENTRINGS)):
        radius = geometry.squared_radii.min()
        if not geometry.squared_distances.max() <= high:
            return None
        tightest = geometry.tightest
        if radius < low and not (radius == 0.0 and _majority_is_equal(geometry)):
            return None
        if geometry.gram[tightest, tightest] <= _MAX_OFFSET_SQUARED[size] * radius:
            return geometry
        if recentrings_left:
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
    products = _products(rows, centre, column_tasks(rows.messages))
    return _locate(rows, centre, to_host(sum(products)))


def _products(rows: Rows, centre: int | None, tasks: Sequence[slice]) -> Iterator[Array]:
    """Yield, for each range of columns, what it adds to the inner products."""
    messages, num_rows = rows.messages, len(rows.factors)
    xp = namespace(messages)
    point = None if centre is None else messages[centre]
    factors = None if (rows.factors == 1.0).all() else rows.factors

    def products_of(columns: slice) -> Array:
        products = xp.zeros((num_rows, num_rows))
        for _, block in blocks_of(messages, columns, point, factors, rows.dtype):
            products += block @ block.T
        return products

    yield from over_columns(messages, products_of, tasks)


def _locate(rows: Rows, centre: int | None, gram: HostFloats) -> Geometry:
    """Find the distances that inner products say."""
    squares = np.diagonal(gram)
    with np.errstate(all="ignore"):
        # The sum with the transpose is symmetric to the bit, so that ties are ties both ways.
        distances = squares[:, None] + squares - (gram + gram.T)
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
