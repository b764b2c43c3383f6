"""Pre-aggregations and a rule, as one rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from lad_mpi.aggregation.base import (
    Aggregated,
    CoordinateWiseRule,
    MixingPreAggregation,
    PreAggregation,
    RandomisedPreAggregation,
    ReportingRule,
    Rule,
    StatefulRule,
    check_minority,
)
from lad_mpi.aggregation.coordinates import runs_compiled

if TYPE_CHECKING:
    from lad_mpi.aggregation.mixture import Mixture
    from lad_mpi.rng import Streams
    from lad_mpi.types import Array, Metric


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Apply pre-aggregations in order, then a rule. A pipeline is a rule itself.

    A call depends only on the messages. A run uses :meth:`step`, which draws from the run's
    streams and starts where the last step ended. Large messages before a coordinate-wise
    rule are mixed a few columns at a time. This gives the same bits and needs no memory for
    the mixture.

    Parameters
    ----------
    pre : tuple of PreAggregation
        Applied first to last; may be empty.
    rule : Rule
        Applied to their result.

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
    # Decided once, because a check against a protocol costs more than a small rule.
    _random: tuple[RandomisedPreAggregation | None, ...] = field(
        init=False, repr=False, compare=False
    )
    _mixing: MixingPreAggregation | None = field(init=False, repr=False, compare=False)
    _columns: CoordinateWiseRule | None = field(init=False, repr=False, compare=False)
    _stateful: StatefulRule | None = field(init=False, repr=False, compare=False)
    _reporting: ReportingRule | None = field(init=False, repr=False, compare=False)

    kind: ClassVar[str] = "pipeline"

    def __post_init__(self) -> None:
        """Find the parts that draw random numbers, have a state, or work by columns."""
        random = tuple(
            stage if isinstance(stage, RandomisedPreAggregation) else None for stage in self.pre
        )
        rule = self.rule
        stateful = rule if isinstance(rule, StatefulRule) else None
        # If a subclass only overrides the call, use the call.
        reports = isinstance(rule, ReportingRule) and _from_one_class(rule, "aggregate")
        reporting = rule if reports else None
        mixing = columns = None
        if self.pre and random[-1] is None and stateful is None and reporting is None:
            last = self.pre[-1]
            if isinstance(last, MixingPreAggregation) and _from_one_class(last, "mixture"):
                mixing = last
            if isinstance(rule, CoordinateWiseRule) and _from_one_class(rule, "column_kernel"):
                columns = rule
        self._derive("_random", random)
        together = mixing is not None and columns is not None
        self._derive("_mixing", mixing if together else None)
        self._derive("_columns", columns if together else None)
        self._derive("_stateful", stateful)
        self._derive("_reporting", reporting)

    @property
    def num_byzantine(self) -> int:
        """Number of faults f that the rule expects."""
        return self.rule.num_byzantine

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics that the rule reports in every step; empty if it does not report."""
        return () if self._reporting is None else self._reporting.reported

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
        self,
        messages: Array,
        *,
        streams: Streams,
        iteration: int,
        state: Array | None,
    ) -> Aggregated:
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
            The state that the last step returned; None before the first.

        Returns
        -------
        Aggregated
            The estimate, the state to pass to the next step, and a number for each of
            :attr:`metrics`.

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
        if self._reporting is not None:
            return self._reporting.aggregate(messages, state)
        if self._stateful is not None:
            return Aggregated(*self._stateful.advance(messages, state))
        return Aggregated(self._finish(messages))

    def _finish(self, messages: Array) -> Array:
        """Apply the rule, together with the last pre-aggregation if both work by columns."""
        if self._mixing is None:
            return self.rule(messages)
        return self._finish_mixture(self._mixing.mixture(messages))

    def _finish_mixture(self, mixture: Mixture) -> Array:
        messages, columns = mixture.rows.messages, self._columns
        if columns is None or not runs_compiled(messages) or len(mixture.weights) != len(messages):
            return self.rule(mixture.whole())
        check_minority(self.num_byzantine, len(messages))
        return mixture.reduce(columns.column_kernel(len(messages)))

    def _derive(self, name: str, value: Any) -> None:
        # The only way into a frozen dataclass.
        object.__setattr__(self, name, value)


def _from_one_class(component: object, method: str) -> bool:
    """Return whether the class that defines the call also defines a method."""
    owners = {
        next((cls for cls in type(component).__mro__ if name in vars(cls)), None)
        for name in ("__call__", method)
    }
    return len(owners) == 1
