"""Coordinate-wise median."""

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
class Median:
    r"""Take the median of every coordinate; of an even number of messages, average the middle two.

    Parameters
    ----------
    num_byzantine : int
        f. It is checked, but the result does not depend on it.

    Notes
    -----
    With :math:`x_{(1)} ≤ … ≤ x_{(n)}` the sorted values of one coordinate,

    .. math::

        R(x_1, …, x_n) = \tfrac12 \left( x_{(⌊(n+1)/2⌋)} + x_{(⌈(n+1)/2⌉)} \right).

    References
    ----------
    Yin, Chen, Kannan, Bartlett, "Byzantine-robust distributed learning: towards
    optimal statistical rates", ICML 2018, arXiv:1803.01498.

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.aggregation import Median
    >>> Median(num_byzantine=1)(np.array([[1.0], [2.0], [1e6]]))
    array([2.])
    """

    num_byzantine: CountOrZero = 0

    kind: ClassVar[str] = "median"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[Cost] = Cost(Term(n=1, log_n=2, Q=1))

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, messages: Array) -> Array:
        """Aggregate messages of shape (n, Q) into shape (Q,)."""
        check_messages(messages, self.num_byzantine)
        return band_mean(messages, *_middle(len(messages)))

    def column_kernel(self, num_messages: int) -> Kernel:
        """Return the compiled function of columns that a call uses on large host arrays."""
        return band_kernel(*_middle(num_messages))


def _middle(num_messages: int) -> tuple[int, int]:
    return (num_messages - 1) // 2, num_messages // 2 + 1
