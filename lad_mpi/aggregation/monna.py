"""MoNNA: the mean of the messages nearest to one that is trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from lad_mpi.aggregation.base import check_messages
from lad_mpi.aggregation.cost import Cost, Term
from lad_mpi.aggregation.gram import nearest
from lad_mpi.aggregation.mixture import Mixture
from lad_mpi.aggregation.rows import measure_lengths
from lad_mpi.arrays import namespace
from lad_mpi.errors import ParameterError
from lad_mpi.parameters import CountOrZero, check_parameters

if TYPE_CHECKING:
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class MoNNA:
    r"""Average the n − f messages nearest to a trusted one; ties go to the lowest row.

    Parameters
    ----------
    num_byzantine : int
        f.
    reference : int
        Number of the trusted row, counted from 0. If that row is hostile, it decides the
        result: the rule was designed for peers that trust themselves.

    Notes
    -----
    .. math:: R(x_1, …, x_n) = \frac{1}{n - f} \sum_{i \in N} x_i,

    with N the n − f rows nearest :math:`x_{\mathrm{reference}}`, itself included.

    References
    ----------
    Farhadkhani, Guerraoui, Gupta, Hoang, Pinot, Stephan, "Robust collaborative
    learning with linear gradient overhead", ICML 2023, arXiv:2209.10931.

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.aggregation import MoNNA
    >>> MoNNA(num_byzantine=1)(np.array([[1.0], [2.0], [9.0]]))
    array([1.5])
    """

    num_byzantine: CountOrZero = 0
    reference: CountOrZero = 0

    kind: ClassVar[str] = "monna"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[Cost] = Cost(Term(n=1, Q=1))

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, messages: Array) -> Array:
        """Aggregate messages of shape (n, Q) into shape (Q,).

        Raises
        ------
        ParameterError
            2f ≥ n, or there is no row ``reference``.
        ValueError
            The array is not two-dimensional and floating, or is empty.
        """
        check_messages(messages, self.num_byzantine)
        num_messages = len(messages)
        if self.reference >= num_messages:
            raise ParameterError(
                "reference",
                f"must be the number of one of {num_messages} messages, "
                f"0 … {num_messages - 1}, not {self.reference}",
            )
        trusted = messages[self.reference]
        if not namespace(messages).isfinite(trusted).all():
            trusted = namespace(messages).zeros_like(trusted)
        rows, lengths = measure_lengths(messages, trusted)
        distances = lengths
        if rows.factors is not None:
            # A row that was shortened may be too long to represent: its distance is infinite.
            with np.errstate(over="ignore", divide="ignore"):
                distances = lengths / rows.shrinkage
        # The trusted row itself comes first, however the other distances round.
        distances[self.reference] = -np.inf
        count = num_messages - self.num_byzantine
        return Mixture(rows, trusted, nearest(distances[None], count)[0] / count).whole()
