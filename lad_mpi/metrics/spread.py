"""How far the rows of a matrix lie from their mean, in float64 whatever the dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import namespace
from lad_mpi.columns import column_blocks, over_columns, total

if TYPE_CHECKING:
    from lad_mpi.types import Array, HostInts


def dispersion(messages: Array, rows: HostInts | None = None) -> float:
    """Return the mean squared distance of messages from their mean.

    Parameters
    ----------
    messages : array, shape (n, Q), float32 or float64
        One row a device. Several servers may share the columns.
    rows : ndarray of int64, shape (H,), optional
        The rows that count; all of them if left out. H ≥ 1.

    Returns
    -------
    float
        (1/H) Σ_i ‖g_i − ḡ‖².
    """
    xp = namespace(messages)
    count = len(messages) if rows is None else len(rows)
    chosen = slice(None) if rows is None else xp.asarray(rows)

    def squares(columns: slice) -> Array:
        found = xp.zeros(1)
        for part in column_blocks(messages, columns):
            block = messages[chosen, part].astype(np.float64)
            # Rows are centred before they are squared, so nothing cancels.
            block -= block.sum(axis=0) / count
            centred = block.ravel()
            found += xp.dot(centred, centred)
        return found

    return float(total(over_columns(messages, squares))[0]) / count
