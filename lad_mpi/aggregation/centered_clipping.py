"""Centred clipping: the last estimate, moved by messages of bounded pull."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le

from lad_mpi.aggregation.base import Aggregated, check_messages
from lad_mpi.aggregation.cost import Cost, Term
from lad_mpi.aggregation.mixture import Mixture
from lad_mpi.aggregation.rows import measure_lengths
from lad_mpi.parameters import CountOrZero, Positive, check_parameters
from lad_mpi.types import Metric

if TYPE_CHECKING:
    from lad_mpi.types import Array

#: A slip of some digits must not keep the server in one aggregation for hours.
_MOST_STEPS = 1000


@dataclass(frozen=True, slots=True)
class CenteredClipping:
    r"""Move the last estimate by the mean of the clipped differences of the messages from it.

    Parameters
    ----------
    num_byzantine : int
        f. It is checked, but the result does not depend on it.
    threshold : float
        τ, the length to which differences are clipped.
    iterations : int
        L, the number of steps in one aggregation.

    Notes
    -----
    The rule starts from v, the last estimate, or from the origin if there is none. It
    takes L steps

    .. math::

        v ← v + \frac{1}{n} \sum_i (x_i - v) \min\Big(1, \frac{τ}{\lVert x_i - v \rVert}\Big).

    A call starts at the origin. :meth:`advance` starts at a state and returns the next
    state, which is the estimate. A step reads the messages twice.

    References
    ----------
    Karimireddy, He, Jaggi, "Learning from history for Byzantine robust
    optimization", ICML 2021, arXiv:2012.10333.

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.aggregation import CenteredClipping
    >>> rule = CenteredClipping(num_byzantine=1, threshold=3.0)
    >>> messages = np.array([[1.0], [2.0], [1e6]])
    >>> rule(messages)
    array([2.])
    >>> estimate, state = rule.advance(messages, np.array([1.0]))
    >>> estimate
    array([2.33333333])
    """

    num_byzantine: CountOrZero = 0
    threshold: Positive = 100.0
    iterations: Annotated[int, Ge(1), Le(_MOST_STEPS)] = 1

    kind: ClassVar[str] = "centered_clipping"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[Cost] = Cost(Term(n=1, Q=1, steps="L"))
    reported: ClassVar[tuple[Metric, ...]] = (
        Metric("rule_clipped", "1", "messages that the rule clipped"),
    )

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, messages: Array) -> Array:
        """Aggregate messages of shape (n, Q) into shape (Q,), from the origin."""
        return self.aggregate(messages, None).estimate

    def advance(self, messages: Array, state: Array | None) -> tuple[Array, Array]:
        """Aggregate messages of shape (n, Q), from the last estimate.

        Parameters
        ----------
        messages : array, shape (n, Q)
        state : array, shape (Q,), optional
            What the last call returned; it is not changed.

        Returns
        -------
        estimate, state : array, shape (Q,)
            The same array.
        """
        estimate, _, _ = self.aggregate(messages, state)
        return estimate, estimate

    def aggregate(self, messages: Array, state: Array | None) -> Aggregated:
        """Aggregate as :meth:`advance` does, and report how many messages the last step clipped."""
        check_messages(messages, self.num_byzantine)
        centre = state
        for _ in range(self.iterations):
            rows, lengths = measure_lengths(messages, centre)
            # Never 1/length, which may not be representable; zero lengths pull by nothing.
            with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
                factors = self.threshold / rows.unit / lengths * rows.shrinkage
                num_clipped = np.count_nonzero(factors < 1.0)
                shares = np.fmin(1.0, factors)
            centre = Mixture(rows, centre, shares / len(messages)).whole()
        return Aggregated(centre, centre, (float(num_clipped),))
