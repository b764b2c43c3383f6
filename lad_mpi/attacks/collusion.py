"""What the omniscient attacks share: moments of the honest vectors, and one vector for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import namespace

if TYPE_CHECKING:
    from lad_mpi.types import Array


def mean(honest: Array) -> Array:
    """Return the mean μ of the honest vectors, float64, shape (Q,)."""
    return honest.mean(axis=0, dtype=np.float64)


def standard_deviation(honest: Array) -> Array:
    """Return the standard deviation σ of each coordinate, divisor H, float64, shape (Q,)."""
    return honest.std(axis=0, dtype=np.float64)


def sent_by_all(vector: Array, count: int, like: Array) -> Array:
    """Return ``count`` copies of a vector, shape (count, Q), in the dtype of ``like``."""
    xp = namespace(like)
    return xp.repeat(vector[None].astype(like.dtype), count, axis=0)
