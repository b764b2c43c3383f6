"""Adaptive robust clipping: shorten the longest messages to the next length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from lad_mpi.aggregation.base import check_messages
from lad_mpi.aggregation.cost import Cost, Term
from lad_mpi.aggregation.rows import measure_lengths, shrink
from lad_mpi.parameters import CountOrZero, check_parameters

if TYPE_CHECKING:
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class AdaptiveClipping:
    r"""Shorten the k longest messages to the length of the next one.

    Parameters
    ----------
    num_byzantine : int
        f, from which k = ⌊2f (n − f) / n⌋.

    Notes
    -----
    .. math:: y_i = x_i \min(1, c / \lVert x_i \rVert),

    with c the (k + 1)-th largest of the norms.

    References
    ----------
    Allouah, Guerraoui, Gupta, Jellouli, Rizk, Stephan, "Adaptive gradient
    clipping for robust federated learning", ICLR 2025, arXiv:2405.14432.

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.aggregation import AdaptiveClipping
    >>> AdaptiveClipping(num_byzantine=1)(np.array([[1.0], [2.0], [1e6], [-1.0]]))
    array([[ 1.],
           [ 2.],
           [ 2.],
           [-1.]])
    """

    num_byzantine: CountOrZero = 0

    kind: ClassVar[str] = "arc"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[Cost] = Cost(Term(n=1, Q=1))

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, messages: Array) -> Array:
        """Transform messages of shape (n, Q) into as many of adapted length."""
        check_messages(messages, self.num_byzantine)
        num_rows, f = len(messages), self.num_byzantine
        num_clipped = 2 * f * (num_rows - f) // num_rows
        rows, lengths = measure_lengths(messages, compared=True)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            norms = lengths / rows.shrinkage
            threshold = np.sort(norms)[num_rows - num_clipped - 1]
            factors = np.fmin(1.0, threshold / lengths * rows.shrinkage)
        return shrink(rows, factors)
