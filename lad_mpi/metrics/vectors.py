"""Euclidean norms, in float64 whatever the dtype."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import namespace

if TYPE_CHECKING:
    from lad_mpi.types import Array


def norm(vector: Array) -> float:
    """Return ‖v‖ of a vector of shape (Q,)."""
    values = vector.astype(np.float64, copy=False)
    # A run that diverges is seen in its values, not in warnings.
    with np.errstate(over="ignore", invalid="ignore"):
        return math.sqrt(float(namespace(vector).dot(values, values)))


def distance(first: Array, second: Array) -> float:
    """Return ‖a − b‖ of two vectors of shape (Q,) of one library.

    The difference is taken in float64, so that float32 vectors that are
    close do not lose it to rounding.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return norm(first.astype(np.float64, copy=False) - second)
