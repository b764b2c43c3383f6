"""Mean around median (Meamed)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from lad_mpi.aggregation import kernels_cuda
from lad_mpi.aggregation.base import check_messages
from lad_mpi.aggregation.coordinates import column_mean, runs_compiled
from lad_mpi.aggregation.cost import Cost, Term
from lad_mpi.aggregation.rows import finite_rows
from lad_mpi.arrays import namespace
from lad_mpi.columns import column_blocks
from lad_mpi.parameters import CountOrZero, check_parameters

if TYPE_CHECKING:
    from lad_mpi.aggregation.coordinates import Kernel
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class Meamed:
    r"""In every coordinate, average the n − f values nearest the median.

    Parameters
    ----------
    num_byzantine : int
        f, the number of values dropped. Of two equally near values, the lower one stays.

    Notes
    -----
    With m the median of one coordinate and :math:`N` the n − f values nearest it,

    .. math:: R(x_1, …, x_n) = \frac{1}{n - f} \sum_{i \in N} x_i.

    In sorted order, N contains the middle n − 2f values. The other f need no search:
    for each i = 1 … f, the nearer of :math:`x_{(i)}` and :math:`x_{(n-f+i)}` is in N.

    References
    ----------
    Xie, Koyejo, Gupta, "Generalized Byzantine-tolerant SGD", arXiv:1802.10116.

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.aggregation import Meamed
    >>> Meamed(num_byzantine=1)(np.array([[1.0], [2.0], [3.0], [4.0], [1e6]]))
    array([2.5])
    """

    num_byzantine: CountOrZero = 0

    kind: ClassVar[str] = "meamed"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[Cost] = Cost(Term(n=1, log_n=2, Q=1))

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, messages: Array) -> Array:
        """Aggregate messages of shape (n, Q) into shape (Q,)."""
        check_messages(messages, self.num_byzantine)
        if runs_compiled(messages):
            return self.column_kernel(len(messages))(messages)
        if kernels_cuda.fits(messages):
            means = kernels_cuda.mean_around_median(messages, self.num_byzantine)
            if means is not None:
                return means
        messages = finite_rows(messages)
        xp = namespace(messages)
        result = xp.empty(messages.shape[1], dtype=messages.dtype)
        for columns in column_blocks(messages):
            ordered = xp.sort(messages[:, columns], axis=0)
            result[columns] = column_mean(_around_median(ordered, self.num_byzantine))
        return result

    def column_kernel(self, num_messages: int) -> Kernel:  # noqa: ARG002
        """Return the compiled function of columns that a call uses on large host arrays."""
        from lad_mpi.aggregation import kernels  # noqa: PLC0415  (imports Numba)

        return partial(kernels.mean_around_median, num_dropped=self.num_byzantine)


def _around_median(ordered: Array, num_dropped: int) -> Array:
    """Return the n − f nearest to the median of each column of sorted rows, in no order."""
    if num_dropped == 0:
        return ordered
    xp = namespace(ordered)
    n, f = len(ordered), num_dropped
    # Halves are added in float64, since neither a sum nor a difference then overflows early.
    median = 0.5 * ordered[(n - 1) // 2].astype(np.float64)
    median += 0.5 * ordered[n // 2].astype(np.float64)
    low, high = ordered[:f], ordered[n - f :]
    # Their middle is rounded as the median is, so that equal distances are seen to be equal.
    middle = 0.5 * low.astype(np.float64)
    middle += 0.5 * high.astype(np.float64)
    nearer = xp.where(median <= middle, low, high)
    return xp.concatenate([nearer, ordered[f : n - f]])
