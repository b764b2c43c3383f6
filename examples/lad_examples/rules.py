"""A rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lad_mpi.aggregation import Cost, Term, check_messages, finite_rows
from lad_mpi.arrays import namespace
from lad_mpi.parameters import CountOrZero, check_parameters

if TYPE_CHECKING:
    from lad_mpi.types import Array


@dataclass(frozen=True)
class Phocas:
    """In every coordinate, average the n − f values nearest the trimmed mean.

    Parameters
    ----------
    num_byzantine : int
        f, the number of values dropped.

    References
    ----------
    Xie, Koyejo, Gupta, "Phocas: dimensional Byzantine-resilient stochastic gradient descent",
    arXiv:1805.09682.
    """

    num_byzantine: CountOrZero = 0

    kind: ClassVar[str] = "phocas"
    cost: ClassVar[Cost] = Cost(Term(n=1, log_n=1, Q=1))

    def __post_init__(self) -> None:
        """Check the ranges that the types of the fields state."""
        check_parameters(self)

    def __call__(self, messages: Array) -> Array:
        """Aggregate messages of shape (n, Q) into shape (Q,)."""
        check_messages(messages, self.num_byzantine)
        messages = finite_rows(messages)
        xp, kept = namespace(messages), len(messages) - self.num_byzantine
        # Sorted, so that the order of the messages does not matter in case of a tie.
        ordered = xp.sort(messages, axis=0)
        centre = ordered[self.num_byzantine : kept].mean(axis=0)
        nearest = xp.argsort(abs(ordered - centre), axis=0)[:kept]
        return xp.take_along_axis(ordered, nearest, axis=0).mean(axis=0)
