"""Laws of aggregation rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from lad_mpi.aggregation import (
    CoordinateWiseRule,
    ReportingRule,
    RobustRule,
    Rule,
    StatefulRule,
)
from lad_mpi.columns import WorksOnColumns
from lad_mpi.conformance.aggregation import AggregationLaws
from lad_mpi.conformance.robustness import worst_ratio
from lad_mpi.conformance.suite import make_suite
from lad_mpi.theory import lower_bound

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


class RuleLaws(AggregationLaws):
    """Laws of rules: n messages of length Q in, one vector of length Q out."""

    family: ClassVar[str] = "aggregation"

    def result_shape(self, shape: tuple[int, int]) -> tuple[int, ...]:
        """Return (Q,)."""
        return shape[1:]

    def test_protocol(self) -> None:
        """It is a rule: a callable with a kind and a number of faults."""
        assert isinstance(self.make(2), Rule)

    def test_state(self) -> None:
        """A state goes in and comes out. Without a state, it does the same as a call.

        The rule itself holds no state, so that a run can be interrupted and resumed.
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

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("width", [50_000, 4_111, 1])
    def test_column_kernel(self, dtype: str, width: int) -> None:
        """Its column kernel gives the bits of a call on large messages, for any cut.

        A pipeline mixes large messages a few columns at a time and passes them to the
        kernel. This must not change bits.
        """
        num_messages, f = 20, self.faults(20, 4)
        generator = np.random.default_rng(5)
        # Enough for the compiled kernels of the suite's own rules.
        messages = generator.normal(1.0, 1.0, size=(num_messages, 50_000)).astype(dtype)
        messages[1] *= -1e6
        rule = self.make(f)
        expected = rule(messages)
        kernel = rule.column_kernel(num_messages)
        # All blocks, or a few of them if they are single columns.
        for first in range(0, 50_000, max(width, 997)):
            columns = slice(first, first + width)
            block = messages[:, columns].copy()
            result = kernel(block)
            assert result.dtype == np.dtype(dtype)
            assert np.array_equal(result, expected[columns])
            assert np.array_equal(block, messages[:, columns]), "the messages were changed"

    def test_report(self) -> None:
        """It reports one number for each metric, with the estimate of a call.

        The names begin with ``rule_``, so that they differ from other metrics of a run.
        """
        rule = self.make(self.faults(9, 2))
        names = [metric.name for metric in rule.reported]
        assert len(set(names)) == len(names)
        assert all(name.startswith("rule_") and name.isidentifier() for name in names)
        messages = np.random.default_rng(7).normal(size=(9, 6))
        estimate, state, reported = rule.aggregate(messages, None)
        assert np.array_equal(estimate, rule(messages))
        assert len(reported) == len(names)
        assert not np.isnan(reported).any()
        if not hasattr(rule, "advance"):
            assert state is None
            return
        assert np.array_equal(state, rule.advance(messages, None)[1])
        later = rule.aggregate(messages, state)
        assert np.array_equal(later.estimate, rule.advance(messages, state)[0])

    @pytest.mark.parametrize(("num_messages", "most"), [(7, 1), (15, 7), (20, 4), (11, 3)])
    def test_kappa(self, num_messages: int, most: int) -> None:
        """Its error stays within the κ that it declares, and κ is not below f/(n − 2f).

        No rule can have a lower κ. The law tries several attacks, weak and strong, and
        messages at two points, for which trimmed means and medians attain their κ.
        """
        f = self.faults(num_messages, most)
        declared = self.subject.kappa(num_messages, f)
        assert declared >= lower_bound(num_messages, f) * (1 - 1e-9)
        assert worst_ratio(self.make(f), num_messages, f) <= declared * (1 + 1e-9)


def rule(
    cls: type[Any],
    *,
    without: Collection[str] = (),
    make: Callable[[int], Any] | None = None,
    tolerates: float = 0.5,
) -> type[RuleLaws]:
    """Make the class of tests of a rule.

    See :mod:`lad_mpi.conformance` for what all such functions take and return.

    Parameters
    ----------
    cls : type
    without : collection of str
    make : callable, optional
        Builds a rule for a number of faults.
    tolerates : float
        It tolerates faults below this share of the messages, if less than a half.

    Examples
    --------
    >>> from lad_mpi import conformance
    >>> from lad_mpi.aggregation import Median
    >>> TestMedian = conformance.rule(Median, without={"mean_without_faults"})
    """
    optional = {
        "state": StatefulRule,
        "kappa": RobustRule,
        "report": ReportingRule,
        "column_kernel": CoordinateWiseRule,
        "servers": WorksOnColumns,
    }
    maker = make or (lambda num_byzantine: cls(num_byzantine=num_byzantine))
    return make_suite(
        RuleLaws, cls, without, optional, maker=staticmethod(maker), tolerates=tolerates
    )
