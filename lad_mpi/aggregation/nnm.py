"""Nearest-neighbour mixing: every message becomes the mean of its neighbourhood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from lad_mpi.aggregation.base import check_messages
from lad_mpi.aggregation.cost import Cost, Term
from lad_mpi.aggregation.gram import measure, nearest
from lad_mpi.parameters import CountOrZero, check_parameters

if TYPE_CHECKING:
    from lad_mpi.aggregation.mixture import Mixture
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class NearestNeighbourMixing:
    r"""Replace every message by the mean of the n − f messages nearest to it, itself included.

    Parameters
    ----------
    num_byzantine : int
        f, the number of farthest messages that each mean leaves out; ties go
        to the lowest row.

    Notes
    -----
    .. math:: y_i = \frac{1}{n - f} \sum_{j \in N_i} x_j,

    with :math:`N_i` the n − f rows nearest :math:`x_i`. The means are one product of a 0/1
    mixing matrix with the centred rows. This takes O(nQ) memory. Gathering the
    neighbourhoods would take n(n − f)Q numbers.

    References
    ----------
    Allouah, Farhadkhani, Guerraoui, Gupta, Pinot, Stephan, "Fixing by mixing",
    AISTATS 2023, arXiv:2302.01772.

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.aggregation import NearestNeighbourMixing
    >>> NearestNeighbourMixing(num_byzantine=1)(np.array([[1.0], [2.0], [9.0]]))
    array([[1.5],
           [1.5],
           [5.5]])
    """

    num_byzantine: CountOrZero = 0

    kind: ClassVar[str] = "nnm"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[Cost] = Cost(Term(n=2, Q=1))

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, messages: Array) -> Array:
        """Transform messages of shape (n, Q) into as many means."""
        return self.mixture(messages).whole()

    def mixture(self, messages: Array) -> Mixture:
        """Find the weights of the means for messages of shape (n, Q), without mixing."""
        check_messages(messages, self.num_byzantine)
        geometry = measure(messages)
        count = len(geometry.gram) - self.num_byzantine
        mixing = nearest(geometry.squared_distances, count) / count
        return geometry.mixture(mixing)
