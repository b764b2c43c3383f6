"""Multi-Krum: the mean of the messages with the best Krum scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from lad_mpi.aggregation.base import check_messages
from lad_mpi.aggregation.cost import Cost, Term
from lad_mpi.aggregation.gram import measure, nearest
from lad_mpi.aggregation.krum import Neighbours, krum_scores
from lad_mpi.errors import ParameterError
from lad_mpi.parameters import Count, CountOrZero, Example, check_parameters

if TYPE_CHECKING:
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class MultiKrum:
    r"""Average the m messages with the lowest Krum scores; ties go to the lowest row.

    Parameters
    ----------
    num_byzantine : int
        f.
    num_selected : int, optional
        m, from 1 to n − f; n − f if left out. A larger mean would always include a
        hostile row, which could move the result anywhere.
    neighbours : {"n-f-2", "n-f-1"}
        As in :class:`~lad_mpi.aggregation.Krum`.

    Notes
    -----
    .. math::

        R(x_1, …, x_n) = \frac{1}{m} \sum_{i \in S} x_i,

    with S the m rows of lowest :math:`\sum_{j \in N_i} \lVert x_i - x_j \rVert^2`.

    References
    ----------
    Blanchard, El Mhamdi, Guerraoui, Stainer, "Machine learning with adversaries",
    NeurIPS 2017, arXiv:1703.02757.

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.aggregation import MultiKrum
    >>> MultiKrum(num_byzantine=1)(np.array([[1.0], [2.0], [3.0], [4.0], [1e6]]))
    array([2.5])
    """

    num_byzantine: CountOrZero = 0
    num_selected: Annotated[Count | None, Example(60)] = None
    neighbours: Neighbours = "n-f-2"

    kind: ClassVar[str] = "multi_krum"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[Cost] = Cost(Term(n=2, Q=1))

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, messages: Array) -> Array:
        """Aggregate messages of shape (n, Q) into shape (Q,)."""
        check_messages(messages, self.num_byzantine)
        num_messages = len(messages)
        most = num_messages - self.num_byzantine
        count = most if self.num_selected is None else self.num_selected
        if count > most:
            raise ParameterError(
                "num_selected",
                f"must be at most n - f = {num_messages} - {self.num_byzantine} = {most}, "
                f"not {count}: with more, a faulty message is always in the mean",
            )
        geometry = measure(messages)
        scores = krum_scores(geometry.squared_distances, self.num_byzantine, self.neighbours)
        return geometry.mean_of(nearest(scores[None], count)[0])
