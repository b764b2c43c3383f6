# mypy: disable-error-code="import-untyped, untyped-decorator"
"""Compiled iterations on the Gram matrix of a few messages.

Importing this module imports Numba. One step of these iterations on 100 messages takes a
microsecond, about as long as a single call of NumPy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

# Numba does not type this decorator. Only sums may be reordered, for vector registers, and a
# division by zero is infinite, as in NumPy.
_compile: Any = njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})

# Points of an interval that are tried at once: divisions of several are as fast as of one.
_POINTS = 16
# Each search divides an interval by 17, and 14 of them divide it by more than 2**56.
_SEARCHES = 14
# The squares of entries between these neither overflow nor vanish.
_PLAIN = (1e-100, 1e100)
# Deviations within this relative difference count as equal, so that copies are removed together.
_EQUAL = 1.0 - 1e-12


@_compile
def weiszfeld(
    gram: Any, weights: Any, shortest: float, tolerance: float, num_steps: int
) -> tuple[int, float]:
    """Take steps towards the geometric median of rows.

    Parameters
    ----------
    gram : ndarray of float64, shape (n, n)
        Inner products of the rows.
    weights : ndarray of float64, shape (n,)
        The iterate is the sum of the rows with these weights. They sum to one, and are changed
        in place.
    shortest : float
        Shorter distances count as this.
    tolerance : float
        Stop once the residual is no greater.
    num_steps : int
        Largest number of steps.

    Returns
    -------
    num_steps : int
        Steps that were taken.
    residual : float
        Norm of the mean unit vector from the iterate before the last; infinite without a step.
    """
    n = len(gram)
    image, moved, new_image = np.empty(n), np.empty(n), np.empty(n)
    _apply(gram, weights, image)
    taken, residual = 0, math.inf
    while taken < num_steps and residual > tolerance:
        square = _dot(weights, image)
        total = 0.0
        for i in range(n):
            squared = gram[i, i] - 2.0 * image[i] + square
            moved[i] = 1.0 / math.sqrt(max(squared, shortest * shortest))
            total += moved[i]
        moved /= total
        _apply(gram, moved, new_image)
        advance = _dot(moved - weights, new_image - image)
        residual = total / n * math.sqrt(max(advance, 0.0))
        weights[:] = moved
        image[:] = new_image
        taken += 1
    return taken, residual


@_compile
def filter_weights(gram: Any, num_byzantine: int) -> Any:
    """Return the weights of the mean with the least top eigenvalue, which sum to one.

    Parameters
    ----------
    gram : ndarray of float64, shape (n, n)
        Inner products of the rows, from any origin.
    num_byzantine : int
        f.
    """
    n = len(gram)
    weights, best = np.ones(n), np.full(n, 1.0 / n)
    inner, scaled = np.empty((n, n)), np.empty((n, n))
    offsets, projections = np.empty(n), np.empty(n)
    least = math.inf
    while num_byzantine > 0 and weights.sum() > n - 2 * num_byzantine:
        shares = weights / weights.sum()
        roots = np.sqrt(shares)
        _apply(gram, shares, offsets)
        offset = _dot(shares, offsets)
        for i in range(n):
            for j in range(n):
                inner[i, j] = gram[i, j] - offsets[i] - offsets[j] + offset
                scaled[i, j] = roots[i] * inner[i, j] * roots[j]
        value, vector = top_eigenpair(scaled)
        if value < least:
            least = value
            best[:] = shares
        if value <= 0.0:
            break
        # Up to a factor that ratios do not see; squared as ratios, which cannot overflow.
        _apply(inner, roots * vector, projections)
        largest = 0.0
        for i in range(n):
            if weights[i] > 0.0:
                largest = max(largest, abs(projections[i]))
        if largest == 0.0:
            break
        for i in range(n):
            ratio = (projections[i] / largest) ** 2
            weights[i] *= 0.0 if ratio >= _EQUAL else 1.0 - ratio
    return best


@_compile
def top_eigenpair(matrix: Any) -> tuple[float, Any]:
    """Return the largest eigenvalue of a positive semidefinite matrix, and a unit eigenvector.

    Parameters
    ----------
    matrix : ndarray of float64, shape (n, n)
        It is overwritten.

    Notes
    -----
    Householder reflections make the matrix tridiagonal. Counts of negative pivots enclose the
    eigenvalue, and a twisted factorisation gives its eigenvector.

    References
    ----------
    Golub, Van Loan, Matrix Computations, section 8.3.1 and 8.4.1.
    Dhillon, Parlett, "Multiple representations to compute orthogonal eigenvectors of
    symmetric tridiagonal matrices", doi:10.1016/j.laa.2003.12.028.
    """
    n = len(matrix)
    # Squares of entries are formed. No entry exceeds the largest one of the diagonal.
    size = np.diag(matrix).max()
    size = 1.0 if _PLAIN[0] < size < _PLAIN[1] or size <= 0.0 else size
    if size != 1.0:
        matrix /= size
    diagonal, beside = np.empty(n), np.zeros(n)
    _tridiagonalise(matrix, diagonal, beside)
    value = _largest(diagonal, beside)
    vector = _eigenvector(diagonal, beside, value)
    for k in range(1, n):
        along = 0.0
        for j in range(k):
            along += matrix[k, j] * vector[j]
        for j in range(k):
            vector[j] -= along * matrix[k, j]
    vector /= math.sqrt(_dot(vector, vector))
    return value * size, vector


@_compile
def _tridiagonalise(matrix: Any, diagonal: Any, beside: Any) -> None:
    """Reduce a matrix; row k is left with the reflector v of I − v vᵀ, up to column k − 1."""
    n = len(matrix)
    # The reflection before. It is applied to a row when the next one reads that row.
    before, image_before = np.zeros(n), np.zeros(n)
    reflector, image = np.zeros(n), np.zeros(n)
    for k in range(n - 1, -1, -1):
        square = 0.0
        for j in range(k + 1):
            matrix[k, j] -= before[k] * image_before[j] + image_before[k] * before[j]
        diagonal[k] = matrix[k, k]
        for j in range(k):
            reflector[j] = matrix[k, j]
            square += reflector[j] * reflector[j]
        length = math.sqrt(square)
        if k > 0:
            # The sign that adds up, so that nothing cancels.
            beside[k - 1] = -math.copysign(length, reflector[k - 1])
            reflector[k - 1] -= beside[k - 1]
            scale = 1.0 / math.sqrt(length * abs(reflector[k - 1])) if length > 0.0 else 0.0
            for j in range(k):
                reflector[j] *= scale
                matrix[k, j] = reflector[j]
        half = 0.0
        for i in range(k):
            a, b, found = before[i], image_before[i], 0.0
            for j in range(k):
                entry = matrix[i, j] - (a * image_before[j] + b * before[j])
                matrix[i, j] = entry
                found += entry * reflector[j]
            image[i] = found
            half += 0.5 * found * reflector[i]
        for j in range(k):
            image[j] -= half * reflector[j]
        before, reflector = reflector, before
        image_before, image = image, image_before


@_compile
def _largest(diagonal: Any, beside: Any) -> float:
    """Return the largest eigenvalue of a tridiagonal matrix."""
    n = len(diagonal)
    low: float = diagonal.max()
    high = -math.inf
    for i in range(n):
        radius = abs(beside[i]) + (abs(beside[i - 1]) if i > 0 else 0.0)
        high = max(high, diagonal[i] + radius)
    points, pivots, below = np.empty(_POINTS), np.empty(_POINTS), np.empty(_POINTS)
    for _ in range(_SEARCHES):
        step = (high - low) / (_POINTS + 1)
        for p in range(_POINTS):
            points[p] = low + (p + 1) * step
            pivots[p] = diagonal[0] - points[p]
            below[p] = pivots[p]
        for i in range(1, n):
            square = beside[i - 1] * beside[i - 1]
            for p in range(_POINTS):
                pivots[p] = diagonal[i] - points[p] - square / pivots[p]
                below[p] = max(pivots[p], below[p])
        # All pivots are negative at points above the largest eigenvalue.
        for p in range(_POINTS):
            if below[p] < 0.0:
                high = points[p]
                break
            low = points[p]
    return 0.5 * (low + high)


@_compile
def _eigenvector(diagonal: Any, beside: Any, value: float) -> Any:
    """Return an eigenvector of a tridiagonal matrix, of any length."""
    n = len(diagonal)
    tiny = 1e-300 + 1e-16 * np.abs(diagonal).max()
    down, up, vector = np.empty(n), np.empty(n), np.zeros(n)
    for i in range(n):
        down[i] = diagonal[i] - value
        if i > 0:
            down[i] -= beside[i - 1] * beside[i - 1] / down[i - 1]
        if abs(down[i]) < tiny:
            down[i] = -tiny
    for i in range(n - 1, -1, -1):
        up[i] = diagonal[i] - value
        if i < n - 1:
            up[i] -= beside[i] * beside[i] / up[i + 1]
        if abs(up[i]) < tiny:
            up[i] = -tiny
    twist = np.argmin(np.abs(down + up - (diagonal - value)))
    vector[twist] = 1.0
    for i in range(twist - 1, -1, -1):
        vector[i] = -beside[i] * vector[i + 1] / down[i]
    for i in range(twist + 1, n):
        vector[i] = -beside[i - 1] * vector[i - 1] / up[i]
    return vector


@_compile
def _apply(matrix: Any, vector: Any, image: Any) -> None:
    for i in range(len(image)):
        image[i] = _dot(matrix[i], vector)


@_compile
def _dot(a: Any, b: Any) -> float:
    found = 0.0
    for j in range(len(a)):
        found += a[j] * b[j]
    return found
