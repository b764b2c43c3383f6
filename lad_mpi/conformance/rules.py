"""Laws of aggregation rules."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lad_mpi.aggregation import Pipeline, Rule
from lad_mpi.conformance.aggregation import AggregationLaws
from lad_mpi.conformance.robustness import worst_ratio
from lad_mpi.conformance.suite import build
from lad_mpi.rng import Streams
from lad_mpi.theory import lower_bound

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


class RuleLaws(AggregationLaws):
    """Laws of rules: n messages of length Q in, one vector of length Q out."""

    def result_shape(self, shape: tuple[int, int]) -> tuple[int, ...]:
        """Return (Q,)."""
        return shape[1:]

    def test_protocol(self) -> None:
        """It is a rule: a callable with a kind and a number of faults."""
        assert isinstance(self.make(2), Rule)

    def test_state(self) -> None:
        """A state goes in and comes out; none at the start is a plain call.

        The rule holds none itself, so that a run can be interrupted and resumed.
        """
        rule = self.make(self.faults(9, 2))
        messages = np.random.default_rng(0).normal(size=(9, 6)) + 10.0
        estimate, state = rule.advance(messages, None)
        assert np.array_equal(estimate, rule(messages))
        kept = state.copy()
        later = rule.advance(messages, state)
        again = rule.advance(messages, kept.copy())
        assert np.array_equal(state, kept), "the state was changed in place"
        assert np.array_equal(later[0], again[0])
        assert np.array_equal(later[1], again[1])

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_arriving(self, dtype: str) -> None:
        """Aggregation that begins with the first columns ends with the bits of a call.

        A result must not depend on whether communication is overlapped.
        """
        rule = self.make(self.faults(20, 4))
        messages = np.random.default_rng(0).normal(size=(20, 60_001)).astype(dtype)
        pipeline = Pipeline((), rule)
        # What has not arrived would show.
        arrived = np.full_like(messages, np.nan)
        begun = pipeline.begin(arrived)
        for start, stop in itertools.pairwise([0, 1, 30_000, 60_001]):
            arrived[:, start:stop] = messages[:, start:stop]
            if begun is not None:
                begun.extend(stop, lambda: None)
        streams = Streams(0)
        estimate, _ = pipeline.step(arrived, streams=streams, iteration=0, state=None, begun=begun)
        assert np.array_equal(estimate, rule(messages))

    @pytest.mark.parametrize(("num_messages", "most"), [(7, 1), (15, 7), (20, 4), (11, 3)])
    def test_kappa(self, num_messages: int, most: int) -> None:
        """Its error stays within the κ that it declares, and κ is not below f/(n − 2f).

        No rule can have a lower one. Several attacks, weak and strong, are tried.
        """
        f = self.faults(num_messages, most)
        declared = self.subject.kappa(num_messages, f)
        assert declared >= lower_bound(num_messages, f)
        assert worst_ratio(self.make(f), num_messages, f) <= declared * (1 + 1e-9)


def rule(
    cls: type[Any],
    *,
    without: Collection[str] = (),
    make: Callable[[int], Any] | None = None,
    tolerates: float = 0.5,
) -> type[RuleLaws]:
    """Make the class of tests of a rule; assign it to a name ``Test…``.

    Parameters
    ----------
    cls : type
        The rule.
    without : collection of str
        Laws that it need not keep, by name.
    make : callable, optional
        Makes one for a number of faults, where more parameters have to be given.
    tolerates : float
        Share of the messages below which it tolerates faults, if less than a half.

    Returns
    -------
    type
        Tests ``test_<law>``, to be collected by pytest or derived from.

    Raises
    ------
    ParameterError
        ``without`` names a law that does not exist.

    Examples
    --------
    >>> from lad_mpi import conformance
    >>> from lad_mpi.aggregation import Median
    >>> TestMedian = conformance.rule(Median, without={"mean_without_faults"})
    """
    inapplicable = set()
    if not hasattr(cls, "advance"):
        inapplicable.add("state")
    if hasattr(cls, "advance") or not hasattr(cls, "column_kernel") | hasattr(cls, "from_geometry"):
        inapplicable.add("arriving")
    if not callable(getattr(cls, "kappa", None)):
        inapplicable.add("kappa")
    maker = make or (lambda num_byzantine: cls(num_byzantine=num_byzantine))
    return build(
        RuleLaws, cls, without, inapplicable, maker=staticmethod(maker), tolerates=tolerates
    )
