"""The mean of all messages: the baseline, which is not robust."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from lad_mpi.aggregation import kernels_cuda
from lad_mpi.aggregation.base import check_messages
from lad_mpi.aggregation.coordinates import band_mean, column_mean, compiled_mean
from lad_mpi.aggregation.cost import Cost, Term
from lad_mpi.parameters import CountOrZero, check_parameters

if TYPE_CHECKING:
    from lad_mpi.aggregation.coordinates import Kernel
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class Mean:
    r"""Average all messages.

    Parameters
    ----------
    num_byzantine : int
        f. It is checked, but the result does not depend on it.

    Notes
    -----
    .. math:: R(x_1, …, x_n) = \frac{1}{n} \sum_i x_i

    One Byzantine message can move it anywhere.

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.aggregation import Mean
    >>> Mean()(np.array([[1.0, 10.0], [3.0, 30.0]]))
    array([ 2., 20.])
    """

    num_byzantine: CountOrZero = 0

    kind: ClassVar[str] = "mean"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[Cost] = Cost(Term(n=1, Q=1))

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, messages: Array) -> Array:
        """Aggregate messages of shape (n, Q) into shape (Q,)."""
        check_messages(messages, self.num_byzantine)
        if kernels_cuda.fits(messages):
            return band_mean(messages, 0, len(messages))
        return column_mean(messages)

    def column_kernel(self, num_messages: int) -> Kernel:  # noqa: ARG002
        """Return the compiled function of columns that a call uses on large host arrays."""
        return compiled_mean
