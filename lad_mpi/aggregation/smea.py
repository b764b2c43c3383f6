"""Smallest-maximum-eigenvalue averaging."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, islice
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge

from lad_mpi.aggregation.base import check_messages, check_num_subsets
from lad_mpi.aggregation.cost import Cost, Term
from lad_mpi.aggregation.gram import TIE, measure
from lad_mpi.parameters import CountOrZero, check_parameters

if TYPE_CHECKING:
    from lad_mpi.types import Array, HostBools, HostFloats

_SUBSETS_AT_A_TIME = 1024
# For rounding.
_SLACK = 1.0 - 1e-12


@dataclass(frozen=True, slots=True)
class SmallestMaximumEigenvalueAveraging:
    r"""Average the n − f messages with the least largest eigenvalue of their covariance.

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

        R(x_1, …, x_n) = \bar x_S, \quad
        S = \arg\min_{|S| = n - f} λ_{\max}
        \Big( \frac{1}{|S|} \sum_{i \in S} (x_i - \bar x_S)(x_i - \bar x_S)^⊤ \Big).

    The covariance has the same non-zero eigenvalues as the centred Gram matrix
    of S. Ties go to the subset of the lowest rows.

    References
    ----------
    Allouah, Guerraoui, Gupta, Pinot, Stephan, "On the privacy-robustness-utility
    trilemma in distributed learning", ICML 2023, arXiv:2302.04787.

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.aggregation import SmallestMaximumEigenvalueAveraging
    >>> rule = SmallestMaximumEigenvalueAveraging(num_byzantine=1)
    >>> rule(np.array([[1.0], [2.0], [9.0]]))
    array([1.5])
    """

    num_byzantine: CountOrZero = 0
    max_subsets: Annotated[int, Ge(1)] = 100_000

    kind: ClassVar[str] = "smea"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[Cost] = Cost(Term(n=2, Q=1), Term(n=3, choices=1))

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
        return geometry.mean_of(_least_varying(geometry.gram, self.num_byzantine))


def _least_varying(gram: HostFloats, num_left_out: int) -> HostBools:
    """Mark the subset with the least largest eigenvalue, the first in lexicographic order."""
    num_rows = len(gram)
    subsets = combinations(range(num_rows), num_rows - num_left_out)
    # So that squares of these numbers do not overflow.
    scaled = gram / (np.abs(gram).max() or 1.0)
    # No trace is greater than n now.
    least, best = num_rows + 1.0, tuple(range(num_rows - num_left_out))
    while least > 0.0:
        some = list(islice(subsets, _SUBSETS_AT_A_TIME))
        if not some:
            break
        rows = np.array(some)
        inner = scaled[rows[:, :, None], rows[:, None, :]]
        inner -= inner.mean(axis=2, keepdims=True)
        inner -= inner.mean(axis=1, keepdims=True)
        # λ_max tr A ≥ ‖A‖² rules most subsets out without their eigenvalues.
        squares = np.einsum("kij,kij->k", inner, inner)
        open_ = np.flatnonzero(_SLACK * squares <= least * np.trace(inner, axis1=1, axis2=2))
        # A later subset must be better by more than a tie.
        for subset, value in zip(open_, np.linalg.eigvalsh(inner[open_])[:, -1], strict=True):
            if value < least * (1.0 - TIE):
                least, best = float(value), some[subset]
    chosen = np.zeros(num_rows, dtype=bool)
    chosen[list(best)] = True
    return chosen
