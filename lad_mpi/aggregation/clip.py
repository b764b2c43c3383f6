"""Clipping of long messages to a given length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from lad_mpi.aggregation.base import check_messages
from lad_mpi.aggregation.cost import Cost, Term
from lad_mpi.aggregation.rows import measure_lengths, shrink
from lad_mpi.parameters import CountOrZero, Positive, check_parameters

if TYPE_CHECKING:
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class Clip:
    r"""Shorten every message that is longer than a threshold to the threshold.

    Parameters
    ----------
    num_byzantine : int
        f. It is checked, but the result does not depend on it.
    threshold : float
        c, the greatest length that is not shortened.

    Notes
    -----
    .. math:: y_i = x_i \min(1, c / \lVert x_i \rVert).

    References
    ----------
    Allouah, Guerraoui, Gupta, Jellouli, Rizk, Stephan, "Adaptive gradient
    clipping for robust federated learning", ICLR 2025, arXiv:2405.14432.

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.aggregation import Clip
    >>> Clip(threshold=5.0)(np.array([[3.0, 4.0], [6.0, 8.0]]))
    array([[3., 4.],
           [3., 4.]])
    """

    num_byzantine: CountOrZero = 0
    threshold: Positive = 2.0

    kind: ClassVar[str] = "clip"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[Cost] = Cost(Term(n=1, Q=1))

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, messages: Array) -> Array:
        """Transform messages of shape (n, Q) into as many of bounded length."""
        check_messages(messages, self.num_byzantine)
        rows, lengths = measure_lengths(messages)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            factors = np.fmin(1.0, self.threshold / rows.unit / lengths * rows.shrinkage)
        return shrink(rows, factors)
