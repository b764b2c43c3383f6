# mypy: disable-error-code="import-untyped, no-untyped-call, untyped-decorator"
"""Compiled products with samples where they lie, for gradients of linear models.

Importing this module imports Numba, so it is imported only for batches that do not fit in a
cache. Every device has products of its own. Devices that share samples only find them in the
cache: all devices work on a block of columns before the next block is read from memory.

Columns are cut into blocks of a fixed width, and the sums of blocks are added in order. So the
bits of a row do not depend on the other rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from lad_mpi.types import HostFloats, HostInts

#: Columns of a block. One row of it and the sum of a device fit in the first-level cache.
_COLUMNS = 2048

# Sums may be reordered, for vector instructions. NaN and infinity keep their meaning.
_compile: Any = njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})


def products(features: HostFloats, samples: HostInts, model: HostFloats) -> HostFloats:
    """Return the inner product of each sample with the model.

    Parameters
    ----------
    features : ndarray, shape (S, p), C-contiguous
        All samples.
    samples : ndarray of int64, shape (G, n)
        Samples of G batches.
    model : ndarray, shape (p,)
        The model.

    Returns
    -------
    ndarray, shape (G, n)
        In the dtype of the features; blocks of columns are added up in float64.
    """
    sums = np.zeros(samples.shape)
    _add_products(features, samples, model, sums)
    return sums.astype(features.dtype, copy=False)


def combine(features: HostFloats, samples: HostInts, factors: HostFloats, out: HostFloats) -> None:
    """Write the weighted sum of the samples of each batch.

    Parameters
    ----------
    features : ndarray, shape (S, p), C-contiguous
        All samples.
    samples : ndarray of int64, shape (G, n)
        Samples of G batches.
    factors : ndarray, shape (G, n)
        Weights of the samples, in the dtype of the features.
    out : ndarray, shape (G, p)
        Receives the sums. Its rows may lie apart.
    """
    _combine(features, samples, factors, out)


@_compile
def _dot(z: HostFloats, block: HostFloats) -> Any:
    total = block.dtype.type(0)
    for i in range(block.size):
        total += z[i] * block[i]
    return total


@_compile
def _four_dots(
    z0: HostFloats, z1: HostFloats, z2: HostFloats, z3: HostFloats, block: HostFloats
) -> Any:
    # Four products with each number of the model that is loaded.
    a = b = c = d = block.dtype.type(0)
    for i in range(block.size):
        a += z0[i] * block[i]
        b += z1[i] * block[i]
        c += z2[i] * block[i]
        d += z3[i] * block[i]
    return a, b, c, d


@_compile
def _add_products(
    features: HostFloats, samples: HostInts, model: HostFloats, sums: HostFloats
) -> None:
    size = samples.shape[1]
    whole = size - size % 4
    for first in range(0, model.size, _COLUMNS):
        columns = slice(first, min(first + _COLUMNS, model.size))
        block = model[columns]
        for row in range(samples.shape[0]):
            held, found = samples[row], sums[row]
            for j in range(0, whole, 4):
                a, b, c, d = _four_dots(
                    features[held[j], columns],
                    features[held[j + 1], columns],
                    features[held[j + 2], columns],
                    features[held[j + 3], columns],
                    block,
                )
                found[j] += a
                found[j + 1] += b
                found[j + 2] += c
                found[j + 3] += d
            for j in range(whole, size):
                found[j] += _dot(features[held[j], columns], block)


@_compile
def _add_four(  # noqa: PLR0917
    total: HostFloats, factors: HostFloats, z0: HostFloats, z1: HostFloats, z2: HostFloats, z3: Any
) -> None:
    a, b, c, d = factors[0], factors[1], factors[2], factors[3]
    for i in range(total.size):
        total[i] += a * z0[i] + b * z1[i] + c * z2[i] + d * z3[i]


@_compile
def _add_one(total: HostFloats, factor: Any, z: HostFloats) -> None:
    for i in range(total.size):
        total[i] += factor * z[i]


@_compile
def _combine(features: HostFloats, samples: HostInts, factors: HostFloats, out: HostFloats) -> None:
    # Rows of ``out`` have no fixed stride, so a block is added up in adjacent memory.
    scratch = np.empty(_COLUMNS, dtype=features.dtype)
    size = samples.shape[1]
    for first in range(0, features.shape[1], _COLUMNS):
        columns = slice(first, min(first + _COLUMNS, features.shape[1]))
        total = scratch[: columns.stop - first]
        for row in range(samples.shape[0]):
            total[:] = 0
            held, scales = samples[row], factors[row]
            whole = size - size % 4
            for j in range(0, whole, 4):
                _add_four(
                    total,
                    scales[j : j + 4],
                    features[held[j], columns],
                    features[held[j + 1], columns],
                    features[held[j + 2], columns],
                    features[held[j + 3], columns],
                )
            for j in range(whole, size):
                _add_one(total, scales[j], features[held[j], columns])
            out[row, columns] = total
