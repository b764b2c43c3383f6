"""Coordinate-wise trimmed mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from lad_mpi.aggregation.base import check_messages
from lad_mpi.aggregation.coordinates import band_kernel, band_mean
from lad_mpi.aggregation.cost import Cost, Term
from lad_mpi.parameters import CountOrZero, check_parameters

if TYPE_CHECKING:
    from lad_mpi.aggregation.coordinates import Kernel
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class TrimmedMean:
    r"""In every coordinate, drop the f lowest and the f highest values and average the rest.

    Parameters
    ----------
    num_byzantine : int
        f, the number of values dropped at each end.

    Notes
    -----
    With :math:`x_{(1)} ≤ … ≤ x_{(n)}` the sorted values of one coordinate,

    .. math:: R(x_1, …, x_n) = \frac{1}{n - 2f} \sum_{i=f+1}^{n-f} x_{(i)}.

    Compiled kernels do not sort large host arrays. They only separate them into bands,
    so the order of rows may change the last bits.

    References
    ----------
    Yin, Chen, Kannan, Bartlett, "Byzantine-robust distributed learning: towards
    optimal statistical rates", ICML 2018, arXiv:1803.01498.

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.aggregation import TrimmedMean
    >>> TrimmedMean(num_byzantine=1)(np.array([[1.0], [2.0], [3.0], [1e6]]))
    array([2.5])
    """

    num_byzantine: CountOrZero = 0

    kind: ClassVar[str] = "trimmed_mean"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[Cost] = Cost(Term(n=1, log_n=2, Q=1))

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, messages: Array) -> Array:
        """Aggregate messages of shape (n, Q) into shape (Q,)."""
        check_messages(messages, self.num_byzantine)
        return band_mean(messages, self.num_byzantine, len(messages) - self.num_byzantine)

    def column_kernel(self, num_messages: int) -> Kernel:
        """Return the compiled function of columns that a call uses on large host arrays."""
        return band_kernel(self.num_byzantine, num_messages - self.num_byzantine)
