"""What the coordinate-wise rules share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import namespace

if TYPE_CHECKING:
    from lad_mpi.types import Array


def column_mean(rows: Array) -> Array:
    """Mean of each column, accumulated in float64, in the dtype of the rows.

    Parameters
    ----------
    rows : array, shape (n, Q)
        Finite numbers.

    Returns
    -------
    array, shape (Q,)
        Finite, even where the sum of a column is not representable.
    """
    xp = namespace(rows)
    with np.errstate(over="ignore", invalid="ignore"):
        total = rows.sum(axis=0, dtype=np.float64)
    mean = total / len(rows)
    if not xp.isfinite(total).all():
        # Dividing first costs accuracy, so it is left to sums that overflow.
        mean = xp.where(xp.isfinite(total), mean, (rows / len(rows)).sum(axis=0))
    return mean.astype(rows.dtype, copy=False)
