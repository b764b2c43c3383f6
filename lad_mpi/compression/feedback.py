"""Error feedback: the error of a message is added to the next vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import namespace, to_host

if TYPE_CHECKING:
    from lad_mpi.types import Array


def correct(vectors: Array, residuals: Array | None) -> Array:
    r"""Return the corrected vectors, which devices compress.

    Parameters
    ----------
    vectors : array, shape (n, Q)
        v_t, one row a device.
    residuals : array, shape (n, Q), optional
        e_t; zeros if left out, as before the first message.

    Returns
    -------
    array, shape (n, Q), of the dtype of the vectors
        v_t + e_t, a new array.
    """
    # Add zeros if there are no residuals, so that −0.0 becomes 0.0 in both cases.
    # The server refuses a vector that overflows.
    with np.errstate(all="ignore"):
        corrected: Array = vectors + (0.0 if residuals is None else residuals)
    return corrected


def keep(corrected: Array, received: Array) -> Array:
    r"""Return the residuals, which are left to send.

    Parameters
    ----------
    corrected : array, shape (n, Q)
        v_t + e_t.
    received : array, shape (n, Q)
        C(v_t + e_t) as the receiver decodes it; zero if it refuses the message.

    Returns
    -------
    array, shape (n, Q), of the dtype of the vectors
        e_{t+1} = v_t + e_t − C(v_t + e_t), and zeros in rows where that is not finite.

    Notes
    -----
    Up to rounding, the received vectors and the residual add up to the sum of all
    vectors, Σ_{s≤t} C(v_s + e_s) + e_{t+1} = Σ_{s≤t} v_s. A row that is not finite is
    discarded, because it would spoil every later message.

    References
    ----------
    Karimireddy, Rebjock, Stich, Jaggi, "Error feedback fixes SignSGD and other
    gradient compression schemes", ICML 2019, arXiv:1901.09847.
    """
    with np.errstate(all="ignore"):
        left: Array = corrected - received
    # By their numbers: CuPy makes a mask of rows one of all coordinates, and more of it.
    lost = np.flatnonzero(~to_host(namespace(left).isfinite(left).all(axis=1)))
    if len(lost):
        left[lost] = 0
    return left
