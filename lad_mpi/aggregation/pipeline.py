"""Pre-aggregations and a rule, as one rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from lad_mpi.aggregation.base import (
    CoordinateWiseRule,
    MixingPreAggregation,
    PreAggregation,
    RandomisedPreAggregation,
    Rule,
    StatefulRule,
    check_minority,
)
from lad_mpi.aggregation.coordinates import compiled

if TYPE_CHECKING:
    from lad_mpi.rng import Streams
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Apply pre-aggregations in order, then a rule; itself a rule.

    Called as a function it depends on the messages alone. :meth:`step` is what
    a run uses: it draws from the run's streams and starts where the last step ended.
    Large messages that are mixed before a coordinate-wise rule are mixed some
    columns at a time, which gives the same bits and needs no memory for the mixture.

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
    # Decided once: to ask a protocol costs more than a small rule.
    _random: tuple[RandomisedPreAggregation | None, ...] = field(
        init=False, repr=False, compare=False
    )
    _mixing: MixingPreAggregation | None = field(init=False, repr=False, compare=False)
    _columns: CoordinateWiseRule | None = field(init=False, repr=False, compare=False)
    _stateful: StatefulRule | None = field(init=False, repr=False, compare=False)

    kind: ClassVar[str] = "pipeline"

    def __post_init__(self) -> None:
        """See which parts draw random numbers, have a state, or go together by columns."""
        random = tuple(
            stage if isinstance(stage, RandomisedPreAggregation) else None for stage in self.pre
        )
        stateful = self.rule if isinstance(self.rule, StatefulRule) else None
        mixing = columns = None
        if self.pre and random[-1] is None and stateful is None:
            last, rule = self.pre[-1], self.rule
            # A subclass that changes only the call means the call.
            if isinstance(last, MixingPreAggregation) and _from_one_class(last, "mixture"):
                mixing = last
            if isinstance(rule, CoordinateWiseRule) and _from_one_class(rule, "column_kernel"):
                columns = rule
        self._derive("_random", random)
        together = mixing is not None and columns is not None
        self._derive("_mixing", mixing if together else None)
        self._derive("_columns", columns if together else None)
        self._derive("_stateful", stateful)

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
        ahead = self.pre if self._mixing is None else self.pre[:-1]
        for stage in ahead:
            messages = stage(messages)
        return self._finish(messages)

    def step(
        self, messages: Array, *, streams: Streams, iteration: int, state: Array | None
    ) -> tuple[Array, Array | None]:
        """Aggregate the messages of one iteration of a run.

        Parameters
        ----------
        messages : array, shape (n, Q)
            As for a call.
        streams : Streams
            The run's random streams.
        iteration : int
            The iteration t.
        state : array, shape (Q,), optional
            The state that the last step returned; nothing before the first.

        Returns
        -------
        estimate : array, shape (Q,)
        state : array, shape (Q,), or None
            What to pass to the next step; None where the rule has no state.
            It may be the estimate itself: change neither in place.

        Raises
        ------
        ParameterError, ValueError
            As for a call.
        """
        ahead = self.pre if self._mixing is None else self.pre[:-1]
        for number, stage in enumerate(ahead):
            random = self._random[number]
            if random is None:
                messages = stage(messages)
            else:
                messages = random.sample(messages, streams, iteration=iteration, stage=number)
        if self._stateful is None:
            return self._finish(messages), None
        return self._stateful.advance(messages, state)

    def _finish(self, messages: Array) -> Array:
        """Apply the rule, and before it the last pre-aggregation where they go together."""
        if self._mixing is None or self._columns is None:
            return self.rule(messages)
        if not compiled(messages):
            return self.rule(self._mixing(messages))
        mixture = self._mixing.mixture(messages)
        if len(mixture.weights) != len(messages):
            return self.rule(mixture.whole())
        check_minority(self.num_byzantine, len(messages))
        return mixture.reduce(self._columns.column_kernel(len(messages)))

    def _derive(self, name: str, value: Any) -> None:
        # The only way into a frozen dataclass.
        object.__setattr__(self, name, value)


def _from_one_class(component: object, method: str) -> bool:
    """Whether a method was defined, or overridden, by the class that defines the call."""
    owners = {
        next(cls for cls in type(component).__mro__ if name in vars(cls))
        for name in ("__call__", method)
    }
    return len(owners) == 1
