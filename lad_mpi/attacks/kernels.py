# mypy: disable-error-code="untyped-decorator"
"""Compiled moments of columns, for attacks that hide in the spread of the honest vectors.

Numba compiles for the types of the arguments at the first call, and caches the code on disk.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

#: Columns that are worked on together, so that their sums stay in the first-level cache.
_STRIP = 1024

_compile: Any = njit(nogil=True, cache=True, error_model="numpy")


@_compile
def column_moments(rows: Any, means: Any, deviations: Any) -> None:
    """Write the mean and the standard deviation of each column, accumulated in float64.

    Parameters
    ----------
    rows : ndarray of float32 or float64, shape (n, Q)
    means, deviations : ndarray of float64, shape (Q,)
        Receive the results. The divisor of the deviation is n.
    """
    count, dimension = rows.shape
    for start in range(0, dimension, _STRIP):
        stop = min(start + _STRIP, dimension)
        width, mean, deviation = stop - start, means[start:stop], deviations[start:stop]
        mean[:] = 0.0
        deviation[:] = 0.0
        for i in range(count):
            row = rows[i, start:stop]
            for j in range(width):
                mean[j] += row[j]
        for j in range(width):
            mean[j] /= count
        for i in range(count):
            row = rows[i, start:stop]
            for j in range(width):
                apart = row[j] - mean[j]
                deviation[j] += apart * apart
        for j in range(width):
            deviation[j] = math.sqrt(deviation[j] / count)
