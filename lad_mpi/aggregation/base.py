"""The contracts of aggregation rules: N messages in, one estimate of ∇F out.

Rules and pre-aggregations are plain callables on (n, Q) arrays of NumPy or
CuPy. They need no MPI, and never change the caller's array or its dtype.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, runtime_checkable

from lad_mpi.aggregation.cost import Cost  # noqa: TC001  (class variables are checked by it)
from lad_mpi.errors import ParameterError
from lad_mpi.types import Metric  # noqa: TC001  (class variables are checked by it)

if TYPE_CHECKING:
    from lad_mpi.aggregation.coordinates import Kernel
    from lad_mpi.aggregation.mixture import Mixture
    from lad_mpi.rng import Streams
    from lad_mpi.types import Array


@runtime_checkable
class Rule(Protocol):
    """An aggregation rule: a frozen description that is also the function."""

    kind: ClassVar[str]

    @property
    def num_byzantine(self) -> int:
        """f, the number of rows that may be arbitrary."""

    def __call__(self, messages: Array) -> Array:
        """Aggregate.

        Parameters
        ----------
        messages : array, shape (n, Q), float32 or float64
            One row a device. A row that is not finite counts as a row of zeros, and
            is one of the f.

        Returns
        -------
        array, shape (Q,), of the same library and dtype

        Raises
        ------
        ParameterError
            2f ≥ n, or another parameter that does not fit n.
        ValueError
            The array is not two-dimensional and floating, or is empty.
        """


@runtime_checkable
class CoordinateWiseRule(Rule, Protocol):
    """A rule whose estimate of a coordinate only depends on that column of the messages.

    Large messages can then be mixed and aggregated a few columns at a time, and before all
    of their columns have arrived.
    """

    def column_kernel(self, num_messages: int) -> Kernel:
        """Return the function of columns that a call uses on large host arrays.

        Parameters
        ----------
        num_messages : int
            n, more than twice ``num_byzantine``.

        Returns
        -------
        callable
            Maps an array of shape (n, q), float32 or float64, to shape (q,) of the same
            dtype, for any number q of columns, each separately.
        """


@runtime_checkable
class CostedRule(Rule, Protocol):
    """A rule that declares how its arithmetic grows.

    Forecasts scale the time of the rule by the cost, bounds use it to see whether all pairs
    of messages are compared, and ``lad-mpi components`` shows it.
    """

    cost: ClassVar[Cost]


@runtime_checkable
class RobustRule(Rule, Protocol):
    """A rule with a proven robustness coefficient κ; see :mod:`lad_mpi.theory.kappa`."""

    @staticmethod
    def kappa(num_messages: int, num_byzantine: int) -> float:
        """Return κ for n messages of which f may be arbitrary.

        The first line of its docstring is the formula that ``lad-mpi components`` shows.

        Raises
        ------
        ParameterError
            κ is not known for these.
        """


@runtime_checkable
class PreAggregation(Protocol):
    """A map of n messages to n' messages, applied before a rule."""

    kind: ClassVar[str]

    @property
    def num_byzantine(self) -> int:
        """f, the number of rows that may be arbitrary."""

    def __call__(self, messages: Array) -> Array:
        """Transform messages of shape (n, Q) into (n', Q), of the same library and dtype."""


@runtime_checkable
class CostedPreAggregation(PreAggregation, Protocol):
    """A pre-aggregation that declares how its arithmetic grows, as a :class:`CostedRule`."""

    cost: ClassVar[Cost]


@runtime_checkable
class MixingPreAggregation(PreAggregation, Protocol):
    """A pre-aggregation by weights, which can be applied some columns at a time."""

    def mixture(self, messages: Array) -> Mixture:
        """Find the weights for messages of shape (n, Q), without mixing.

        A call gives the bits of ``mixture(messages).whole()``.
        """


@runtime_checkable
class StatefulRule(Rule, Protocol):
    """A rule that starts from what it last returned.

    The rule itself holds no state: the state goes in and comes out. A call starts from the
    default state.
    """

    def advance(self, messages: Array, state: Array | None) -> tuple[Array, Array]:
        """Aggregate from a state.

        Parameters
        ----------
        messages : array, shape (n, Q)
            As for a call.
        state : array, shape (Q,), optional
            The state that the last call returned; None before the first. It is not
            changed.

        Returns
        -------
        estimate : array, shape (Q,)
        state : array, shape (Q,)
            What to pass next time. It may be the same array as the estimate, so do not
            change either in place.
        """


class Aggregated(NamedTuple):
    """An estimate with the next state and the report of the rule.

    Parameters
    ----------
    estimate : array, shape (Q,)
    state : array, shape (Q,), or None
        What to pass next time; None if the rule has no state. It may be the same array as
        the estimate, so do not change either in place.
    reported : tuple of float
        A number for each metric that the rule declares, in their order.
    """

    estimate: Array
    state: Array | None = None
    reported: tuple[float, ...] = ()


@runtime_checkable
class ReportingRule(Rule, Protocol):
    """A rule that reports how it found its estimate, for instance the number of steps.

    A run records these numbers as metrics.
    """

    #: The metrics of the report. Names begin with ``rule_``.
    reported: ClassVar[tuple[Metric, ...]]

    def aggregate(self, messages: Array, state: Array | None) -> Aggregated:
        """Aggregate as a call does, or ``advance`` if the rule has a state, and report.

        Parameters
        ----------
        messages : array, shape (n, Q)
            As for a call.
        state : array, shape (Q,), optional
            As for :meth:`StatefulRule.advance`. A rule without a state ignores it.
        """


@runtime_checkable
class RandomisedPreAggregation(PreAggregation, Protocol):
    """A pre-aggregation that draws random numbers.

    A call draws the same numbers every time.
    """

    def sample(self, messages: Array, streams: Streams, *, iteration: int, stage: int) -> Array:
        """Transform messages of shape (n, Q) into (n', Q), of the same library and dtype.

        Parameters
        ----------
        messages : array, shape (n, Q)
        streams : Streams
            The run's random streams. It uses those of the purpose ``PRE_AGGREGATION``, of
            this iteration, and of the device ``stage``.
        iteration : int
            The iteration t.
        stage : int
            Place of the pre-aggregation in its pipeline, counted from 0.
        """


def check_messages(messages: Array, num_byzantine: int) -> None:
    """Refuse messages that no rule can aggregate.

    Raises
    ------
    ParameterError
        Faults are not a minority.
    ValueError
        The array is not a non-empty matrix of floats.
    """
    if getattr(messages, "ndim", None) != 2 or messages.dtype.kind != "f":
        raise ValueError(
            "messages must be a two-dimensional array of floats, one row a device; got "
            f"{getattr(messages, 'shape', type(messages).__name__)} "
            f"of {getattr(messages, 'dtype', 'no dtype')}"
        )
    rows, columns = messages.shape
    if rows == 0 or columns == 0:
        raise ValueError(f"messages must not be empty; got shape {(rows, columns)}")
    check_minority(num_byzantine, rows)


def check_minority(num_byzantine: int, num_messages: int) -> None:
    """Refuse 2f ≥ n, which no rule tolerates.

    Raises
    ------
    ParameterError
        The number of faults is negative, or they are not a minority.
    """
    if num_byzantine < 0:
        raise ParameterError("num_byzantine", f"must be at least 0, not {num_byzantine}")
    if 2 * num_byzantine >= num_messages:
        raise ParameterError(
            "num_byzantine",
            f"{num_byzantine} of {num_messages} messages is not a minority; "
            f"at most {max(0, (num_messages - 1) // 2)} can be tolerated",
        )


def check_num_subsets(num_messages: int, num_byzantine: int, allowed: int) -> None:
    """Refuse a rule that would search too many subsets.

    Parameters
    ----------
    num_messages, num_byzantine : int
        n and f; there are C(n, f) subsets of n − f messages.
    allowed : int
        Largest number of subsets, the parameter ``max_subsets``.

    Raises
    ------
    ParameterError
        There are more.
    """
    count = math.comb(num_messages, num_byzantine)
    if count > allowed:
        # Python does not print a number of thousands of digits.
        found = f"{count:,}" if count < 10**15 else f"about 10^{math.log10(count):.0f}"
        raise ParameterError(
            "max_subsets",
            f"is {allowed:,}, but {found} subsets leave out {num_byzantine} of "
            f"{num_messages} messages",
            hint="raise max_subsets if you can wait, or use a rule of polynomial cost",
        )
