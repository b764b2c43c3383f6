"""Norm thresholding (TGN): the mean of the shortest messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from lad_mpi.aggregation.base import check_messages
from lad_mpi.aggregation.cost import Cost, Term
from lad_mpi.aggregation.gram import nearest
from lad_mpi.aggregation.mixture import Mixture
from lad_mpi.aggregation.rows import measure_lengths
from lad_mpi.parameters import CountOrZero, check_parameters

if TYPE_CHECKING:
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class NormThreshold:
    r"""Average the n − f messages of smallest Euclidean norm; ties go to the lowest row.

    Parameters
    ----------
    num_byzantine : int
        f, the number of longest messages that are dropped.

    Notes
    -----
    .. math:: R(x_1, …, x_n) = \frac{1}{n - f} \sum_{i \in S} x_i,

    with S the n − f rows of smallest :math:`\lVert x_i \rVert`. Short
    Byzantine messages are not dropped.

    References
    ----------
    Ghosh, Maity, Kadhe, Mazumdar, Ramchandran, "Communication-efficient and
    Byzantine-robust distributed learning with error feedback", arXiv:1911.09721.

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.aggregation import NormThreshold
    >>> NormThreshold(num_byzantine=1)(np.array([[1.0], [3.0], [-1e6]]))
    array([2.])
    """

    num_byzantine: CountOrZero = 0

    kind: ClassVar[str] = "norm_threshold"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[Cost] = Cost(Term(n=1, Q=1))

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, messages: Array) -> Array:
        """Aggregate messages of shape (n, Q) into shape (Q,)."""
        check_messages(messages, self.num_byzantine)
        rows, lengths = measure_lengths(messages, compared=True)
        # A row that was shortened may be too long to represent: its norm is infinite.
        with np.errstate(over="ignore", divide="ignore"):
            norms = lengths / rows.shrinkage
        count = len(messages) - self.num_byzantine
        kept = nearest(norms[None], count)[0]
        return Mixture(rows, rows.messages[int(np.argmax(kept))], kept / count).whole()
