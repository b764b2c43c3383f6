"""Pre-aggregations and a rule, as one rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from lad_mpi.aggregation.base import PreAggregation, Rule
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Apply pre-aggregations in order, then a rule; itself a rule.

    Parameters
    ----------
    pre : tuple of PreAggregation
        Applied first to last; may be empty.
    rule : Rule
        Applied to what they leave.

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.aggregation import NearestNeighbourMixing, Pipeline, TrimmedMean
    >>> robust = Pipeline((NearestNeighbourMixing(num_byzantine=1),), TrimmedMean(num_byzantine=1))
    >>> robust(np.array([[1.0], [2.0], [3.0], [1e6]]))
    array([2.])
    """

    pre: tuple[PreAggregation, ...]
    rule: Rule

    kind: ClassVar[str] = "pipeline"

    @property
    def num_byzantine(self) -> int:
        """Number of faults f that the rule is told of."""
        return self.rule.num_byzantine

    def __call__(self, messages: Array) -> Array:
        """Aggregate messages of shape (n, Q) into shape (Q,).

        Raises
        ------
        ParameterError
            A stage does not fit the number of messages that reaches it.
        ValueError
            The array is not two-dimensional and floating, or is empty.
        """
        for stage in self.pre:
            messages = stage(messages)
        return self.rule(messages)
