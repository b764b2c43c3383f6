"""Laws of pre-aggregations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from lad_mpi.aggregation import MixingPreAggregation, PreAggregation, RandomisedPreAggregation
from lad_mpi.columns import WorksOnColumns
from lad_mpi.conformance.aggregation import AggregationLaws
from lad_mpi.conformance.suite import make_suite
from lad_mpi.rng import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


class PreAggregationLaws(AggregationLaws):
    """Laws of pre-aggregations: n messages in, n' messages of the same length out.

    Attributes
    ----------
    counter : callable
        Returns n' for n.
    """

    counter: ClassVar[Callable[[int], int]]
    family: ClassVar[str] = "pre"

    def result_shape(self, shape: tuple[int, int]) -> tuple[int, ...]:
        """Return (n', Q)."""
        return type(self).counter(shape[0]), shape[1]

    def test_protocol(self) -> None:
        """It is a pre-aggregation: a callable with a kind and a number of faults."""
        assert isinstance(self.make(2), PreAggregation)

    def test_draws(self) -> None:
        """Random numbers only depend on seed, iteration and stage of the run's streams.

        A call without streams draws the same numbers every time.
        """
        component = self.make(self.faults(40, 2))
        assert isinstance(component, RandomisedPreAggregation)
        messages = np.arange(40.0)[:, None]

        def drawn(seed: int, iteration: int, stage: int) -> bytes:
            result = component.sample(messages, Streams(seed), iteration=iteration, stage=stage)
            return bytes(result.tobytes())

        keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
        assert [drawn(*key) for key in keys] == [drawn(*key) for key in keys]
        assert len({drawn(*key) for key in keys}) == len(keys)

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("shape", [(12, 6), (12, 70_000)])
    def test_mixture(self, shape: tuple[int, int], dtype: str) -> None:
        """Its mixture gives the bits of a call, at once or a few columns at a time.

        A pipeline aggregates large messages while it mixes them. This must not change bits.
        """
        messages = np.random.default_rng(6).normal(1.0, 1.0, size=shape).astype(dtype)
        messages[2] *= -1e6
        copy = messages.copy()
        component = self.make(self.faults(shape[0], 2))
        expected = component(messages)
        mixture = component.mixture(messages)
        assert len(mixture.weights) == len(expected)
        assert np.array_equal(mixture.whole(), expected)
        for row in (0, len(expected) - 1):
            assert np.array_equal(mixture.reduce(lambda block, i=row: block[i]), expected[row])
        assert np.array_equal(messages, copy), "the messages were changed"


def pre_aggregation(
    cls: type[Any],
    *,
    without: Collection[str] = (),
    make: Callable[[int], Any] | None = None,
    tolerates: float = 0.5,
    count: Callable[[int], int] = lambda num_messages: num_messages,
) -> type[PreAggregationLaws]:
    """Make the class of tests of a pre-aggregation.

    See :mod:`lad_mpi.conformance` for what all such functions take and return.

    Parameters
    ----------
    cls : type
    without : collection of str
    make : callable, optional
        Builds a pre-aggregation for a number of faults.
    tolerates : float
        It tolerates faults below this share of the messages, if less than a half.
    count : callable
        Returns the number n' of messages that come out for n; n if left out.
    """
    optional = {
        "draws": RandomisedPreAggregation,
        "mixture": MixingPreAggregation,
        "servers": WorksOnColumns,
    }
    return make_suite(
        PreAggregationLaws,
        cls,
        without,
        optional,
        maker=staticmethod(make or (lambda num_byzantine: cls(num_byzantine=num_byzantine))),
        tolerates=tolerates,
        counter=staticmethod(count),
    )
