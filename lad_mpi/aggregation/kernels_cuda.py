"""Coordinate-wise kernels for arrays on a GPU.

One thread, or two adjacent ones, reads a column into registers, separates its ranks by a network
of exchanges, and writes one mean. The messages are read once, in coalesced loads. CuPy compiles
one kernel for each case when it is first needed, and caches it on disk. As in all code that CuPy
compiles, float32 numbers below 2⁻¹²⁶ count as zeros.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.aggregation.kernels_cuda_source import KERNEL, THREADS, Case, max_rows, source
from lad_mpi.aggregation.rows import finite_rows
from lad_mpi.arrays import namespace

if TYPE_CHECKING:
    from lad_mpi.types import Array

#: How CuPy compiles the kernels.
OPTIONS = ("--std=c++14",)
# With a stride of 32 bits an address takes one instruction instead of two.
_MAX_STRIDE = 2**31 - 1


def fits(messages: Array) -> bool:
    """Whether the kernels can work on an array.

    This only depends on the kind, shape and strides of the array, so that equal calls give
    equal bits.
    """
    return (
        not isinstance(messages, np.ndarray)
        and messages.dtype.char in "fd"
        and messages.size > 0
        and len(messages) <= max_rows(messages.dtype)
        and abs(messages.strides[0]) <= _MAX_STRIDE * messages.itemsize
    )


def band_mean(messages: Array, first: int, last: int) -> Array | None:
    """Average the ranks ``first … last − 1`` of every column.

    Parameters
    ----------
    messages : CuPy array, shape (n, Q), that :func:`fits`
        Rows that are not finite count as zeros.
    first, last : int
        0 ≤ first < last ≤ n.

    Returns
    -------
    array, shape (Q,), of the same dtype, or None
        Summed in float64; None if the sum of a column is not representable.
    """
    return _run(messages, Case(len(messages), first, last, 0, messages.dtype.char))


def mean_around_median(messages: Array, num_dropped: int) -> Array | None:
    """Average the n − f values nearest the median of every column.

    Parameters
    ----------
    messages : CuPy array, shape (n, Q), that :func:`fits`
        Rows that are not finite count as zeros.
    num_dropped : int
        f, with 2f < n.

    Returns
    -------
    array, shape (Q,), of the same dtype, or None
        Summed in float64; None if the sum of a column is not representable.
    """
    n, f = len(messages), num_dropped
    return _run(messages, Case(n, f, n - f, f, messages.dtype.char))


def _run(messages: Array, case: Case) -> Array | None:
    xp = namespace(messages)
    num_columns = messages.shape[1]
    row_stride, column_stride = (stride // messages.itemsize for stride in messages.strides)
    result = xp.empty(num_columns, dtype=messages.dtype)
    refused = xp.zeros(1, dtype=np.int32)
    num_blocks = -(-num_columns * case.lanes // THREADS)
    arguments = (
        messages,
        np.int32(row_stride),
        np.int64(column_stride),
        np.int64(num_columns),
        result,
        refused,
    )
    compiled(xp, case)((num_blocks,), (THREADS,), arguments)
    # Reading it waits for the kernel.
    if not int(refused[0]):
        return result
    cleaned = finite_rows(messages)
    return None if cleaned is messages else _run(cleaned, case)


@lru_cache(maxsize=256)
def compiled(xp: Any, case: Case) -> Any:
    """Return the kernel of a case, which CuPy compiles at its first launch."""
    return xp.RawKernel(source(case), KERNEL, options=OPTIONS)
