"""Covariance-bound-agnostic filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from lad_mpi.aggregation.base import check_messages
from lad_mpi.aggregation.cost import Cost, Term
from lad_mpi.aggregation.gram import measure
from lad_mpi.parameters import CountOrZero, check_parameters

if TYPE_CHECKING:
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class CovarianceFilter:
    r"""Lower the weights of the messages that deviate most, until a weight of 2f is removed.

    Parameters
    ----------
    num_byzantine : int
        f.

    Notes
    -----
    From weights :math:`c_i = 1`, with :math:`μ_c` and :math:`Σ_c` the weighted
    mean and covariance, (λ, v) the top eigenpair of :math:`Σ_c` and
    :math:`τ_i = ⟨x_i - μ_c, v⟩^2`,

    .. math:: c_i ← c_i (1 - τ_i / \max_{c_j > 0} τ_j) \quad\text{while}\quad \sum_i c_i > n - 2f,

    and the result is the :math:`μ_c` whose λ was least. The eigenpair is that
    of the n × n matrix :math:`\sqrt{p_i p_j} ⟨x_i - μ_c, x_j - μ_c⟩`,
    :math:`p = c / \sum c`. Without faults, or if all messages are equal, the
    result is the mean. ByzFL's rule has no result in these cases.

    References
    ----------
    Allouah, Guerraoui, Stephan, "Towards trustworthy federated learning with
    untrusted participants", ICML 2025, arXiv:2505.01874.

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.aggregation import CovarianceFilter
    >>> CovarianceFilter(num_byzantine=1)(np.array([[1.0], [2.0], [3.0], [60.0]])).round(2)
    array([2.01])
    """

    num_byzantine: CountOrZero = 0

    kind: ClassVar[str] = "caf"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[Cost] = Cost(Term(n=2, Q=1), Term(n=3, f=1))

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, messages: Array) -> Array:
        """Aggregate messages of shape (n, Q) into shape (Q,)."""
        from lad_mpi.aggregation import kernels_gram  # noqa: PLC0415  (imports Numba)

        check_messages(messages, self.num_byzantine)
        geometry = measure(messages)
        weights = kernels_gram.filter_weights(geometry.gram, self.num_byzantine)
        return geometry.combine(weights * geometry.rows.shrinkage)
