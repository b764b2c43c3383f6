"""Checks of parameters and messages that several rules share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import namespace, to_host
from lad_mpi.errors import ParameterError

if TYPE_CHECKING:
    from lad_mpi.types import Array, HostBools

# Sums of this many-thousandth of finite numbers never overflow, and seldom underflow.
_SMALL = 2.0**-40


def check_num_subsets(num_messages: int, num_byzantine: int, allowed: int) -> None:
    """Refuse a rule that would look at too many subsets.

    Parameters
    ----------
    num_messages, num_byzantine : int
        n and f; there are C(n, f) subsets of n − f messages.
    allowed : int
        Subsets at most, the parameter ``max_subsets``.

    Raises
    ------
    ParameterError
        There are more.
    """
    count = math.comb(num_messages, num_byzantine)
    if count > allowed:
        # Python writes out no number of thousands of digits.
        found = f"{count:,}" if count < 10**15 else f"about 10^{math.log10(count):.0f}"
        raise ParameterError(
            "max_subsets",
            f"{num_messages} messages of which {num_byzantine} are left out make "
            f"{found} subsets, and {allowed:,} are allowed",
            hint="raise max_subsets if you can wait, or take a rule of polynomial cost",
        )


def finite_rows(messages: Array) -> Array:
    """Return the messages, rows that are not finite replaced by zeros.

    A row with a NaN or an infinity is known to be faulty. It stays one of the
    f rows that may be arbitrary, and zeros are what the server puts in place of
    a message that it refuses; so a rule is as robust with such rows as without.

    Parameters
    ----------
    messages : array, shape (n, Q)

    Returns
    -------
    array, shape (n, Q)
        The same object where all rows are finite, else a copy.

    Notes
    -----
    One product with a vector tells: a sum with a NaN or an infinity in it is
    not finite. It costs one reading of the messages.
    """
    xp = namespace(messages)
    ruler = xp.full(messages.shape[1], _SMALL, dtype=messages.dtype)
    with np.errstate(all="ignore"):
        finite = np.isfinite(to_host(messages @ ruler))
    return messages if finite.all() else without_rows(messages, ~finite)


def without_rows(messages: Array, refused: HostBools) -> Array:
    """Return a copy of the messages in which the rows that are marked are zero."""
    copy = messages.copy()
    copy[namespace(messages).asarray(refused)] = 0.0
    return copy
