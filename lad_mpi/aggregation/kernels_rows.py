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

from lad_mpi.columns import SHARED_FROM_BYTES, num_threads, over_columns, shared, total

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.types import HostFloats

# Columns of sums that fit in a cache. Fewer columns would be too short for memory to stream.
_COLUMNS = 8192

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

    found: HostFloats = total(over_columns(messages, squares_of))
    return found


def _for_columns(messages: HostFloats, work: Callable[[slice], None]) -> None:
    """Apply a function of separate columns to all of them, on several threads if that is faster."""
    num_columns = messages.shape[1]
    if messages.nbytes < SHARED_FROM_BYTES or num_threads() == 1:
        work(slice(0, num_columns))
        return
    # Ranges so long that memory can stream, and so many that all threads have some.
    width = max(_COLUMNS, -(-num_columns // (4 * num_threads())))
    ranges = [slice(a, min(a + width, num_columns)) for a in range(0, num_columns, width)]
    for _ in shared(work, ranges):
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
        for k in range(0, n - 3, 4):
            p, q = lines[chosen[k], a:b], lines[chosen[k + 1], a:b]
            r, s = lines[chosen[k + 2], a:b], lines[chosen[k + 3], a:b]
            _mix_four(sums, c, weights[k : k + 4], (p, q, r, s))
        for k in range(n // 4 * 4, n):
            row = lines[chosen[k], a:b]
            for j in range(len(sums)):
                sums[j] += weights[k] * (row[j] - c[j])
        part = result[a:b]
        for j in range(len(sums)):
            part[j] = c[j] + sums[j]


@_compile
def _add_squares(lines: Any, centre: Any, squares: Any, first: int, last: int) -> None:
    n = len(lines)
    for a in range(first, last, _COLUMNS):
        b = min(last, a + _COLUMNS)
        c = centre[a:b]
        for i in range(0, n - 3, 4):
            p, q, r, s = lines[i, a:b], lines[i + 1, a:b], lines[i + 2, a:b], lines[i + 3, a:b]
            found = _distances_of_four(p, q, r, s, c)
            for k in range(4):
                squares[i + k] += found[k]
        for i in range(n // 4 * 4, n):
            squares[i] += _distance(lines[i, a:b], c)


@_compile
def _add_four(sums: Any, p: Any, q: Any, r: Any, s: Any) -> None:
    for j in range(len(sums)):
        sums[j] = (((sums[j] + np.float64(p[j])) + np.float64(q[j])) + np.float64(r[j])) + s[j]


@_compile
def _mix_four(sums: Any, c: Any, weights: Any, rows: tuple[Any, Any, Any, Any]) -> None:
    p, q, r, s = rows
    v0, v1, v2, v3 = weights[0], weights[1], weights[2], weights[3]
    for j in range(len(sums)):
        found = sums[j] + v0 * (p[j] - c[j])
        found += v1 * (q[j] - c[j])
        found += v2 * (r[j] - c[j])
        sums[j] = found + v3 * (s[j] - c[j])


@_compile_sum
def _distances_of_four(p: Any, q: Any, r: Any, s: Any, point: Any) -> Any:
    p_sum, q_sum, r_sum, s_sum = 0.0, 0.0, 0.0, 0.0
    for j in range(len(point)):
        p_sum += (p[j] - point[j]) * (p[j] - point[j])
        q_sum += (q[j] - point[j]) * (q[j] - point[j])
        r_sum += (r[j] - point[j]) * (r[j] - point[j])
        s_sum += (s[j] - point[j]) * (s[j] - point[j])
    return p_sum, q_sum, r_sum, s_sum


@_compile_sum
def _distance(row: Any, point: Any) -> float:
    found = 0.0
    for j in range(len(point)):
        found += (row[j] - point[j]) * (row[j] - point[j])
    return found
