"""How far the rows of a matrix lie from their mean, in float64 whatever the dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.arrays import namespace

if TYPE_CHECKING:
    from lad_mpi.types import Array

#: Numbers that are centred at once, which bounds the float64 scratch.
_BLOCK = 2**18


def dispersion(messages: Array) -> float:
    """Return the mean squared distance of messages from their mean.

    Parameters
    ----------
    messages : array, shape (H, Q), float32 or float64
        One row a device; H ≥ 1.

    Returns
    -------
    float
        (1/H) Σ_i ‖g_i − ḡ‖².
    """
    xp = namespace(messages)
    count, dimension = messages.shape
    total: Any = 0.0
    step = max(1, _BLOCK // count)
    # A run that diverges is seen in its values, not in warnings.
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, dimension, step):
            block = messages[:, start : start + step].astype(np.float64)
            # Rows are centred before they are squared, so nothing cancels.
            block -= block.sum(axis=0) / count
            centred = block.ravel()
            total = total + xp.dot(centred, centred)
    mean: float = float(total) / count
    return mean
