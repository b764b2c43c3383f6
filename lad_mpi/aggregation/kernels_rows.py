# mypy: disable-error-code="import-untyped, untyped-decorator"
"""Compiled sums over the rows of host arrays, in float64, without copies.

Importing this module imports Numba. A kernel reads four rows at a time, some thousand columns
wide, and adds them to sums that stay in cache. Results of separate columns do not depend on how
columns are divided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from numpy.lib.stride_tricks import as_strided

from lad_mpi.columns import over_columns, total

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.types import HostFloats

# Columns of sums that fit in a cache. Fewer columns would be too short for memory to stream.
_COLUMNS = 8192
# A smaller matrix is read in less time than threads take to start.
_SHARED_FROM_BYTES = 24_000_000

# Numba does not type these decorators.
_compile: Any = njit(nogil=True, cache=True)
_compile_sum: Any = njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})


def mean(messages: HostFloats) -> HostFloats:
    """Average each column of an array of shape (n, Q), row after row, in float64.

    Returns
    -------
    ndarray, shape (Q,), of the same dtype
        Not finite if a sum is not.
    """
    result = np.empty(messages.shape[1], dtype=messages.dtype)
    lines = _lines(messages)
    _for_columns(messages, lambda columns: _mean(lines, result, columns.start, columns.stop))
    return result


def mix(messages: HostFloats, origin: HostFloats | None, weights: HostFloats) -> HostFloats:
    r"""Return ``c + Σ w_j (x_j − c)`` for rows x, computed in float64.

    Parameters
    ----------
    messages : ndarray, shape (n, Q)
        Finite rows.
    origin : ndarray, shape (Q,), optional
        c; zero if left out.
    weights : ndarray of float64, shape (n,)
        w.

    Returns
    -------
    ndarray, shape (Q,), of the messages' dtype
    """
    result = np.empty(messages.shape[1], dtype=messages.dtype)
    lines, centre = _lines(messages), _centre(messages, origin)
    chosen = np.flatnonzero(weights)
    weights = np.ascontiguousarray(weights[chosen], dtype=np.float64)

    def work(columns: slice) -> None:
        _mix(lines, centre, (chosen, weights), result, (columns.start, columns.stop))

    _for_columns(messages, work)
    return result


def squared_distances(messages: HostFloats, origin: HostFloats | None) -> HostFloats:
    """Return the squared distances of rows from a point, float64, shape (n,).

    Parameters
    ----------
    messages : ndarray, shape (n, Q)
    origin : ndarray, shape (Q,), optional
        The point; zero if left out.
    """
    lines, centre = _lines(messages), _centre(messages, origin)

    def squares_of(columns: slice) -> HostFloats:
        squares = np.zeros(len(messages))
        _add_squares(lines, centre, squares, columns.start, columns.stop)
        return squares

    return total(over_columns(messages, squares_of))


def _for_columns(messages: HostFloats, work: Callable[[slice], None]) -> None:
    """Apply a function to all columns at once, or to ranges of them on several threads."""
    if messages.nbytes < _SHARED_FROM_BYTES:
        work(slice(0, messages.shape[1]))
        return
    for _ in over_columns(messages, work):
        pass


def _lines(messages: HostFloats) -> HostFloats:
    """Return rows with their padding, because a compiler takes other rows for strided."""
    length, rest = divmod(messages.strides[0], messages.itemsize)
    adjacent = messages.strides[1] == messages.itemsize and rest == 0
    if messages.flags.c_contiguous or not adjacent or length < messages.shape[1]:
        return np.ascontiguousarray(messages)
    return as_strided(messages, (len(messages), length), writeable=False)


def _centre(messages: HostFloats, origin: HostFloats | None) -> HostFloats:
    if origin is None:
        return np.zeros(messages.shape[1])
    return np.ascontiguousarray(origin, dtype=np.float64)


@_compile
def _mean(lines: Any, result: Any, first: int, last: int) -> None:
    n = len(lines)
    room = np.empty(min(_COLUMNS, last - first))
    for a in range(first, last, _COLUMNS):
        b = min(last, a + _COLUMNS)
        sums = room[: b - a]
        sums[:] = 0.0
        for i in range(0, n - 3, 4):
            _add_four(sums, lines[i, a:b], lines[i + 1, a:b], lines[i + 2, a:b], lines[i + 3, a:b])
        for i in range(n // 4 * 4, n):
            row = lines[i, a:b]
            for j in range(len(sums)):
                sums[j] += row[j]
        part = result[a:b]
        for j in range(len(sums)):
            part[j] = sums[j] / n


@_compile
def _mix(
    lines: Any, centre: Any, weighted: tuple[Any, Any], result: Any, ends: tuple[int, int]
) -> None:
    (chosen, weights), (first, last) = weighted, ends
    n = len(chosen)
    room = np.empty(min(_COLUMNS, last - first))
    for a in range(first, last, _COLUMNS):
        b = min(last, a + _COLUMNS)
        sums, c = room[: b - a], centre[a:b]
        sums[:] = 0.0
        for k in range(0, n - 1, 2):
            _mix_two(sums, c, weights[k : k + 2], lines[chosen[k], a:b], lines[chosen[k + 1], a:b])
        for k in range(n // 2 * 2, n):
            row = lines[chosen[k], a:b]
            for j in range(len(sums)):
                sums[j] += weights[k] * (row[j] - c[j])
        part = result[a:b]
        for j in range(len(sums)):
            part[j] = c[j] + sums[j]


@_compile
def _add_squares(lines: Any, centre: Any, squares: Any, first: int, last: int) -> None:
    for a in range(first, last, _COLUMNS):
        b = min(last, a + _COLUMNS)
        for i in range(len(lines)):
            squares[i] += _squared_distance(lines[i, a:b], centre[a:b])


@_compile
def _add_four(sums: Any, p: Any, q: Any, r: Any, s: Any) -> None:
    for j in range(len(sums)):
        sums[j] = (((sums[j] + np.float64(p[j])) + np.float64(q[j])) + np.float64(r[j])) + s[j]


@_compile
def _mix_two(sums: Any, c: Any, weights: Any, p: Any, q: Any) -> None:
    v, w = weights[0], weights[1]
    for j in range(len(sums)):
        sums[j] = (sums[j] + v * (p[j] - c[j])) + w * (q[j] - c[j])


@_compile_sum
def _squared_distance(row: Any, point: Any) -> float:
    found = 0.0
    for j in range(len(row)):
        difference = row[j] - point[j]
        found += difference * difference
    return found
