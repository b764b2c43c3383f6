"""Aggregation that begins before all columns of the messages have arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from lad_mpi.aggregation.columns import num_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.aggregation.coordinates import Kernel
    from lad_mpi.types import HostFloats

# A few milliseconds of work. In between, communication makes progress.
_COLUMNS_AT_A_TIME = 16384


class Arriving(Protocol):
    """The work of a rule on the first columns of its messages."""

    def extend(self, stop: int, between: Callable[[], None]) -> None:
        """Work on new columns.

        Parameters
        ----------
        stop : int
            All columns before this one have arrived. They are finite and do not change.
        between : callable
            Called every few milliseconds, on this thread.
        """


class ArrivingColumns:
    """The estimate of a coordinate-wise rule, for the columns that have arrived.

    Parameters
    ----------
    messages : ndarray, shape (n, Q)
    kernel : callable
        See :meth:`~lad_mpi.aggregation.CoordinateWiseRule.column_kernel`.
    """

    def __init__(self, messages: HostFloats, kernel: Kernel) -> None:
        self._messages = messages
        self._kernel = kernel
        self._estimate = np.empty(messages.shape[1], dtype=messages.dtype)
        self._done = 0

    def extend(self, stop: int, between: Callable[[], None]) -> None:
        """Aggregate the new columns before ``stop``; see :class:`Arriving`."""
        step = _COLUMNS_AT_A_TIME * num_threads()
        for first in range(self._done, stop, step):
            columns = slice(first, min(first + step, stop))
            self._estimate[columns] = self._kernel(self._messages[:, columns])
            between()
        self._done = max(self._done, stop)

    def estimate(self) -> HostFloats:
        """Return the estimate, ndarray, shape (Q,), once all columns have arrived."""
        self.extend(self._messages.shape[1], lambda: None)
        return self._estimate
