"""How far the rows of a matrix lie from their mean, in float64 whatever the dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.arrays import namespace

if TYPE_CHECKING:
    from lad_mpi.types import Array

#: Numbers that are centred at once, which bounds the float64 scratch.
_BLOCK = 2**18


def subset_statistics(subset_gradients: Array) -> tuple[Array, float]:
    r"""Return the global gradient and the heterogeneity of the subsets at one model.

    Parameters
    ----------
    subset_gradients : array, shape (N, Q), float32 or float64
        ∇f_k, one row a subset; N ≥ 1.

    Returns
    -------
    global_gradient : array of float64, shape (Q,)
        ∇F, in the library of the input.
    beta_squared : float
        β².

    Notes
    -----
    .. math:: \nabla F = \frac1N \sum_k \nabla f_k, \qquad
              \beta^2 = \frac1N \sum_k \|\nabla f_k - \nabla F\|^2.

    Rows are centred before they are squared, so nothing cancels.
    """
    return _mean_and_spread(subset_gradients)


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
    return _mean_and_spread(messages)[1]


def _mean_and_spread(rows: Array) -> tuple[Array, float]:
    xp = namespace(rows)
    count, dimension = rows.shape
    mean = xp.empty(dimension, dtype=np.float64)
    total: Any = 0.0
    step = max(1, _BLOCK // count)
    # A run that diverges is seen in its values, not in warnings.
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, dimension, step):
            columns = slice(start, start + step)
            mean[columns] = rows[:, columns].sum(axis=0, dtype=np.float64)
            mean[columns] /= count
            centred = (rows[:, columns] - mean[columns]).ravel()
            total = total + xp.dot(centred, centred)
    return mean, float(total) / count
