"""Minimum-diameter averaging."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge

from lad_mpi.aggregation.base import check_messages, check_num_subsets
from lad_mpi.aggregation.cost import Cost, Term
from lad_mpi.aggregation.gram import TIE, measure
from lad_mpi.parameters import CountOrZero, check_parameters

if TYPE_CHECKING:
    from lad_mpi.types import Array, HostBools, HostFloats


@dataclass(frozen=True, slots=True)
class MinimumDiameterAveraging:
    r"""Average the n − f messages of least diameter; ties go to the lowest rows.

    Parameters
    ----------
    num_byzantine : int
        f.
    max_subsets : int
        Largest number of subsets of n − f messages that the rule may search. If there
        are more, the rule is refused.

    Notes
    -----
    .. math::

        R(x_1, …, x_n) = \frac{1}{n - f} \sum_{i \in S} x_i, \quad
        S = \arg\min_{|S| = n - f} \max_{i, j \in S} \lVert x_i - x_j \rVert.

    The search is depth first. It abandons a subset as soon as two of its rows are not
    closer than the best diameter so far.

    References
    ----------
    El Mhamdi, Guerraoui, Guirguis, Hoang, Rouault, "Genuinely distributed Byzantine
    machine learning", arXiv:1905.03853.

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.aggregation import MinimumDiameterAveraging
    >>> MinimumDiameterAveraging(num_byzantine=1)(np.array([[1.0], [2.0], [9.0]]))
    array([1.5])
    """

    num_byzantine: CountOrZero = 0
    max_subsets: Annotated[int, Ge(1)] = 1_000_000

    kind: ClassVar[str] = "mda"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[Cost] = Cost(Term(n=2, Q=1), Term(n=2, choices=1))

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, messages: Array) -> Array:
        """Aggregate messages of shape (n, Q) into shape (Q,).

        Raises
        ------
        ParameterError
            2f ≥ n, or there are too many subsets.
        ValueError
            The array is not two-dimensional and floating, or is empty.
        """
        check_messages(messages, self.num_byzantine)
        check_num_subsets(len(messages), self.num_byzantine, self.max_subsets)
        geometry = measure(messages)
        return geometry.mean_of(_tightest(geometry.squared_distances, self.num_byzantine))


def _tightest(squared_distances: HostFloats, num_left_out: int) -> HostBools:
    """Mark the subset of least diameter, the first in lexicographic order."""
    num_rows = len(squared_distances)
    size = num_rows - num_left_out
    distances: list[list[float]] = squared_distances.tolist()
    bound, best = math.inf, [0]
    # Each entry: the next row to decide on, the rows taken before it, their diameter.
    pending: list[tuple[int, list[int], float]] = [(0, [], 0.0)]
    while pending:
        row, taken, diameter = pending.pop()
        if diameter >= bound or num_rows - row < size - len(taken):
            continue
        if len(taken) == size:
            # A later subset must be better by more than a tie.
            bound, best = diameter * (1.0 - TIE), taken
            continue
        pending.append((row + 1, taken, diameter))
        others = distances[row]
        widened = max((others[i] for i in taken), default=0.0)
        pending.append((row + 1, [*taken, row], max(diameter, widened)))
    chosen = np.zeros(num_rows, dtype=bool)
    chosen[best] = True
    return chosen
