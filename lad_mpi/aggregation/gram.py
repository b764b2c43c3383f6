"""Rows of a matrix seen from one another: distances, norms and combinations.

Krum, the geometric median, nearest-neighbour mixing and the norm threshold
need nothing of n messages of Q numbers but the n × n Gram matrix. It is formed
once, in blocks of columns; what follows happens in n-space, in host memory;
one product with the rows ends it. Memory beside the messages is O(nQ) at most.

Three precautions make this safe where the textbook form
``‖a‖² + ‖b‖² − 2⟨a, b⟩`` is not:

* a row is subtracted first, in float64 whatever the input, since the textbook
  form cancels where the mean is large beside the spread;
* that row is taken from the tightest majority, so no minority can move it away;
* a row that is 1e120 times the usual length is drawn in to that length along
  its own direction before anything is squared, so nothing overflows: such a
  row is farther than all others and no distance is infinite or NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import namespace, to_host

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from lad_mpi.types import Array, HostFloats

_FAR = 1e120
_PLAIN_LENGTHS = (1e-100, 1e100)
_NEAR_OVERFLOW = 2.0**1020

# A centre within 10 radii of the majority costs two digits of sixteen.
_MAX_OFFSET_SQUARED = 100.0
_MAX_RECENTRINGS = 2

# About 2 MB of float64 on the host, to stay in cache; a GPU wants fewer launches.
_HOST_BLOCK = 250_000
_DEVICE_BLOCK = 50_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Messages, and what to multiply each by so that squares neither overflow nor vanish.

    Parameters
    ----------
    messages : array, shape (n, Q)
        Finite rows x_1 … x_n.
    magnitudes : ndarray of float64, shape (n,)
        Largest absolute entry of each row.
    typical : int
        A row of median magnitude, which honest rows bracket whatever a minority sends.
    unit : float
        Unit of length, a power of two; 1 unless the typical row is extremely long or short.
    factors : ndarray of float64, shape (n,)
        ``1 / unit``, or less for rows that are drawn in.
    """

    messages: Array
    magnitudes: HostFloats
    typical: int
    unit: float
    factors: HostFloats

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
    centre : int
        The row that was subtracted from all; it lies in the tightest majority.
    gram : ndarray of float64, shape (n, n)
        Inner products of the centred rows.
    squared_distances : ndarray of float64, shape (n, n)
        Between rows; finite, with an exact zero diagonal.
    squared_radii : ndarray of float64, shape (n,)
        Of the least ball round each row that holds ⌊n/2⌋ + 1 rows.
    """

    rows: Rows
    centre: int
    gram: HostFloats
    squared_distances: HostFloats
    squared_radii: HostFloats

    @property
    def tightest(self) -> int:
        """The row with the least ball, which no minority can fill."""
        return int(np.argmin(self.squared_radii))


def survey(messages: Array) -> Rows:
    """Find the magnitude of each row and the unit of length."""
    xp = namespace(messages)
    largest = xp.maximum(messages.max(axis=1), -messages.min(axis=1))
    # abs() turns the −0.0 of a row of zeros into a magnitude that may be divided by.
    magnitudes: HostFloats = np.abs(to_host(largest).astype(np.float64))
    typical = int(np.argsort(magnitudes, kind="stable")[(len(magnitudes) - 1) // 2])
    magnitude = float(magnitudes[typical])
    unit = 1.0
    if magnitude > 0.0 and not _PLAIN_LENGTHS[0] < magnitude < _PLAIN_LENGTHS[1]:
        unit = 2.0 ** max(-1000, min(1000, math.frexp(magnitude)[1]))
    with np.errstate(divide="ignore", over="ignore"):
        factors = np.minimum(1.0 / unit, _FAR / magnitudes)
    return Rows(messages, magnitudes, typical, unit, factors)


def measure(messages: Array) -> Geometry:
    """Find all distances between rows.

    Parameters
    ----------
    messages : array, shape (n, Q)
        Finite rows, fewer than half of them hostile.

    Returns
    -------
    Geometry
    """
    rows = survey(messages)
    geometry = _measure_from(rows, rows.typical)
    for _ in range(_MAX_RECENTRINGS):
        tightest = geometry.tightest
        offset = geometry.squared_distances[geometry.centre, tightest]
        if offset <= _MAX_OFFSET_SQUARED * geometry.squared_radii[tightest]:
            break
        geometry = _measure_from(rows, tightest)
    return geometry


def lengths(rows: Rows) -> HostFloats:
    """Return the Euclidean norms of the rows, drawn in and in their unit, float64, shape (n,)."""
    xp = namespace(rows.messages)
    squares = xp.zeros(len(rows.factors))
    for _, block in _blocks(rows.messages, None, rows.factors):
        squares += xp.einsum("ij,ij->i", block, block)
    norms: HostFloats = np.sqrt(to_host(squares))
    return norms


def nearest(squared_distances: HostFloats, count: int) -> npt.NDArray[np.bool_]:
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
    result: npt.NDArray[np.bool_] = closer | (tied & (tied.cumsum(axis=1) <= places))
    return result


def combine(rows: Rows, centre: int, weights: HostFloats) -> Array:
    r"""Mix rows, exactly where all the rows that count are equal to the centre.

    Parameters
    ----------
    rows : Rows
        x_1 … x_n.
    centre : int
        Number of the row c.
    weights : ndarray of float64, shape (n,) or (m, n)
        w; what a mixture lacks to a sum of one goes to the centre.

    Returns
    -------
    array, shape (Q,) or (m, Q), of the messages' library and dtype

    Notes
    -----
    .. math:: c + \sum_j w_j (x_j - c), accumulated in float64.
    """
    messages = rows.messages
    xp = namespace(messages)
    # A difference of two representable numbers may be twice as large as either.
    headroom = 0.25 if rows.magnitudes.max() >= _NEAR_OVERFLOW else 1.0
    factors = np.full(len(messages), headroom)
    mixing = xp.asarray(weights)
    mixed = xp.empty((*weights.shape[:-1], messages.shape[1]), dtype=messages.dtype)
    for columns, block in _blocks(messages, centre, factors):
        part = mixing @ block
        part += headroom * messages[centre, columns].astype(np.float64)
        if headroom != 1.0:
            part /= headroom
        mixed[..., columns] = part
    return mixed


def column_blocks(messages: Array) -> Iterator[slice]:
    """Cut the columns into blocks that a cache can hold, the same ones for the same shape."""
    num_rows, num_columns = messages.shape
    budget = _HOST_BLOCK if isinstance(messages, np.ndarray) else _DEVICE_BLOCK
    # An odd multiple of 64 bytes a row: powers of two alias in cache.
    width = budget // num_rows // 16 * 16 + 8
    for first in range(0, num_columns, width):
        yield slice(first, min(first + width, num_columns))


def _blocks(
    messages: Array, centre: int | None, factors: HostFloats
) -> Iterator[tuple[slice, Array]]:
    """Yield ``factors * (messages - centre row)`` in float64, block by block of columns."""
    xp = namespace(messages)
    plain = bool((factors == 1.0).all())
    scale = xp.asarray(factors[:, None])
    for columns in column_blocks(messages):
        part = messages[:, columns]
        if plain and centre is not None:
            block = xp.subtract(part, part[centre], dtype=np.float64)
        elif plain:
            block = part.astype(np.float64, copy=False)
        else:
            # Scaling comes first, because the plain difference may overflow.
            block = part.astype(np.float64) * scale
            if centre is not None:
                block -= scale * part[centre].astype(np.float64)
        yield columns, block


def _measure_from(rows: Rows, centre: int) -> Geometry:
    messages = rows.messages
    xp = namespace(messages)
    products = xp.zeros((len(messages), len(messages)))
    for _, block in _blocks(messages, centre, rows.factors):
        products += block @ block.T
    gram: HostFloats = to_host(products)
    squares = np.diagonal(gram)
    # The sum with the transpose is symmetric to the bit, so that ties are ties both ways.
    distances = squares[:, None] + squares - (gram + gram.T)
    np.maximum(distances, 0.0, out=distances)
    np.fill_diagonal(distances, 0.0)
    half = len(gram) // 2
    radii = np.partition(distances, half, axis=1)[:, half]
    return Geometry(rows, centre, gram, distances, radii)
