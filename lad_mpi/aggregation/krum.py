"""Krum: the message that is closest to its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from lad_mpi.aggregation.base import check_messages
from lad_mpi.aggregation.cost import Cost, Term
from lad_mpi.aggregation.gram import TIE, measure
from lad_mpi.parameters import CountOrZero, check_parameters

if TYPE_CHECKING:
    from lad_mpi.types import Array, HostFloats

Neighbours = Literal["n-f-2", "n-f-1"]


@dataclass(frozen=True, slots=True)
class Krum:
    r"""Return the message with the least distance to its nearest others; ties go to the lowest row.

    Parameters
    ----------
    num_byzantine : int
        f.
    neighbours : {"n-f-2", "n-f-1"}
        Number of nearest others in the score: ``"n-f-2"`` as first published, or
        ``"n-f-1"`` as in ByzFL and in the analysis by Allouah et al. It is at least
        one if there are other messages.

    Notes
    -----
    .. math::

        R(x_1, …, x_n) = x_{k}, \quad
        k = \arg\min_i \sum_{j \in N_i} \lVert x_i - x_j \rVert^2,

    with :math:`N_i` the n − f − 2 (or n − f − 1) other rows nearest :math:`x_i`.

    References
    ----------
    Blanchard, El Mhamdi, Guerraoui, Stainer, "Machine learning with adversaries",
    NeurIPS 2017, arXiv:1703.02757.
    Allouah, Farhadkhani, Guerraoui, Gupta, Pinot, Stephan, "Fixing by mixing",
    AISTATS 2023, arXiv:2302.01772.

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.aggregation import Krum
    >>> Krum(num_byzantine=1)(np.array([[1.0], [2.0], [2.5], [4.0], [1e6]]))
    array([2.])
    """

    num_byzantine: CountOrZero = 0
    neighbours: Neighbours = "n-f-2"

    kind: ClassVar[str] = "krum"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[Cost] = Cost(Term(n=2, Q=1))

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, messages: Array) -> Array:
        """Aggregate messages of shape (n, Q) into shape (Q,)."""
        check_messages(messages, self.num_byzantine)
        geometry = measure(messages)
        scores = krum_scores(geometry.squared_distances, self.num_byzantine, self.neighbours)
        best = scores <= scores.min() * (1.0 + TIE)
        return geometry.rows.messages[int(np.argmax(best))].copy()


def krum_scores(
    squared_distances: HostFloats, num_byzantine: int, neighbours: Neighbours
) -> HostFloats:
    """Sum the squared distances of every row to its nearest others, float64, shape (n,)."""
    omitted = 2 if neighbours == "n-f-2" else 1
    count = max(1, len(squared_distances) - num_byzantine - omitted)
    # Position 0 of a sorted row is its distance zero to itself.
    scores: HostFloats = np.sort(squared_distances, axis=1)[:, 1 : count + 1].sum(axis=1)
    return scores
