"""Helpers of the coordinate-wise rules."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.aggregation import kernels_cuda
from lad_mpi.aggregation.rows import finite_rows, sums_compiled
from lad_mpi.arrays import namespace
from lad_mpi.columns import column_blocks, own_columns

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from lad_mpi.types import Array, HostFloats

    #: Maps an array of shape (n, q) to shape (q,), for any number q of columns.
    Kernel: TypeAlias = Callable[[HostFloats], HostFloats]

# Up to this many numbers, a sort is faster if the columns are contiguous.
_TRANSPOSED_UP_TO = 200_000
# With more rows, sorting networks are slower than sorts.
_COMPILED_ROWS = 2048


def runs_compiled(messages: Array) -> bool:
    """Return whether coordinate-wise rules run compiled kernels on an array.

    This only depends on the kind and shape of the array, so that equal calls give equal
    bits.
    """
    return sums_compiled(messages) and len(messages) <= _COMPILED_ROWS


def num_numbers(messages: Array) -> int:
    """Return how many numbers the messages hold, on all servers."""
    return len(messages) * own_columns(messages)[1]


def band_kernel(first: int, last: int) -> Kernel:
    """Return the compiled function that averages the ranks ``first … last − 1`` of columns."""
    from lad_mpi.aggregation import kernels  # noqa: PLC0415  (imports Numba)

    return partial(kernels.band_mean, first=first, last=last)


def band_mean(messages: Array, first: int, last: int) -> Array:
    """Average the ranks ``first … last − 1`` of every column.

    Parameters
    ----------
    messages : array, shape (n, Q)
        Rows that are not finite count as zeros.
    first, last : int
        0 ≤ first < last ≤ n.

    Returns
    -------
    array, shape (Q,), of the same library and dtype
        Accumulated in float64; the last bits may depend on the order of rows.
    """
    if runs_compiled(messages):
        return band_kernel(first, last)(messages)
    if kernels_cuda.fits(messages):
        means = kernels_cuda.band_mean(messages, first, last)
        if means is not None:
            return means
    xp = namespace(messages)
    transposed = num_numbers(messages) <= _TRANSPOSED_UP_TO
    parts = []
    with np.errstate(over="ignore", invalid="ignore"):
        for columns in column_blocks(messages):
            ordered = _sort_columns(messages[:, columns], transposed=transposed)
            mean = xp.add.reduce(ordered[first:last], axis=0, dtype=np.float64)
            mean /= last - first
            # NaN and infinities sort to the ends.
            if not xp.isfinite(mean + (ordered[-1] - ordered[0])).all():
                cleaned = finite_rows(messages)
                if cleaned is not messages:
                    return band_mean(cleaned, first, last)
                return _careful_band_mean(messages, first, last)
            parts.append(mean.astype(messages.dtype, copy=False))
    return parts[0] if len(parts) == 1 else xp.concatenate(parts)


def _sort_columns(block: Array, *, transposed: bool) -> Array:
    """Sort each column. A full vectorised sort is several times as fast as a selection."""
    if not transposed:
        return namespace(block).sort(block, axis=0)
    adjacent = block.T.copy()
    adjacent.sort(axis=1)
    return adjacent.T


def _careful_band_mean(messages: Array, first: int, last: int) -> Array:
    """Average ranks of finite numbers whose sums or differences may overflow."""
    xp = namespace(messages)
    parts = [
        column_mean(xp.sort(messages[:, columns], axis=0)[first:last])
        for columns in column_blocks(messages)
    ]
    return xp.concatenate(parts)


def column_mean(rows: Array) -> Array:
    """Average each column, accumulated in float64, in the dtype of the rows.

    Parameters
    ----------
    rows : array, shape (n, Q)
        Rows that are not finite count as zeros.

    Returns
    -------
    array, shape (Q,)
        Finite, even if the sum of a column is not representable.
    """
    if sums_compiled(rows):
        return compiled_mean(rows)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = namespace(rows).add.reduce(rows, axis=0, dtype=np.float64)
        mean /= len(rows)
        mean = mean.astype(rows.dtype, copy=False)
        # The squares may overflow. Then the mean is looked at more closely.
        if math.isfinite(mean @ mean):
            return mean
    return _repaired(rows, mean, column_mean)


def compiled_mean(rows: HostFloats) -> HostFloats:
    """Do as :func:`column_mean` by a compiled kernel, on any number of columns."""
    from lad_mpi.aggregation import kernels_rows  # noqa: PLC0415  (imports Numba)

    mean: HostFloats = kernels_rows.mean(rows)
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(mean @ mean):
            return mean
    repaired: HostFloats = _repaired(rows, mean, compiled_mean)
    return repaired


def _repaired(rows: Array, mean: Array, average: Callable[[Array], Array]) -> Array:
    """Return the mean of rows, which may not have been finite, or whose sums may not."""
    xp = namespace(rows)
    finite = xp.isfinite(mean)
    if finite.all():
        return mean
    cleaned = finite_rows(rows)
    if cleaned is not rows:
        return average(cleaned)
    # Dividing first is less accurate, so it is done only if the sum overflows. Rounding may
    # then still exceed the largest number, so the halves are added up.
    limit = float(np.finfo(mean.dtype).max) / 2
    halves = (rows / (2 * len(rows))).sum(axis=0, dtype=mean.dtype)
    return xp.where(finite, mean, 2 * xp.clip(halves, -limit, limit))
