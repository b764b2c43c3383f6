"""Laws that rules and pre-aggregations share."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.conformance.component import ComponentLaws, moves_no_global_generator
from lad_mpi.conformance.servers import on_servers
from lad_mpi.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.types import HostFloats, HostInts

_SEEDS = st.integers(0, 2**32)
_DRAWS = settings(max_examples=15, deadline=None)
_DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])
_SHAPES = pytest.mark.parametrize("shape", [(1, 1), (1, 4), (2, 3), (3, 1), (7, 5), (4, 300_000)])


class AggregationLaws(ComponentLaws):
    """Laws of rules and pre-aggregations.

    Attributes
    ----------
    maker : callable
        Builds a component for a number of faults.
    tolerates : float
        Faults are tolerated below this share of the messages.
    """

    maker: ClassVar[Callable[[int], Any]]
    tolerates: ClassVar[float]

    def example(self) -> Any:
        """Return a component for two faults."""
        return self.make(2)

    def make(self, num_byzantine: int) -> Any:
        """Return the component for f faults."""
        return type(self).maker(num_byzantine)

    def faults(self, num_messages: int, wanted: int | None = None) -> int:
        """Return a number of faults among n messages that the component accepts.

        The largest such number, but at most ``wanted``.
        """
        # Rounding may lift a product above a whole number.
        most = max(0, math.ceil(self.tolerates * num_messages - 1e-9) - 1)
        return most if wanted is None else min(wanted, most)

    def reordered(self, component: Any, order: HostInts) -> Any:  # noqa: ARG002
        """Return the component for messages whose row i is the old row ``order[i]``.

        By default the same component. Override this if a parameter names a row.
        """
        return component

    def result_shape(self, shape: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of the result for messages of a shape."""
        raise NotImplementedError

    @_DTYPES
    def test_servers(self, dtype: str) -> None:
        """Servers that share the columns get the bits of one that has all.

        It also holds if a message is absurdly long, and if nearly all are equal.
        """
        component = self.make(self.faults(9, 2))
        plain = np.random.default_rng(1).normal(1.0, 1.0, size=(9, 40_001)).astype(dtype)
        far, equal = plain.copy(), np.repeat(plain[:1], 9, axis=0)
        far[3] *= np.finfo(dtype).max / 8
        equal[7:] = 5
        for messages in (plain, far, equal):
            alone = component(messages)
            parts = on_servers(40_001, 3, partial(_on_columns, component, messages))
            assert np.array_equal(np.concatenate(parts, axis=-1), alone)

    # Parameters and refusals.

    def test_knows_its_faults(self) -> None:
        """Its field num_byzantine is f, 0 if left out.

        A spec has this number in one place, the table [devices].
        """
        assert self.make(2).num_byzantine == 2
        assert self.make(0).num_byzantine == 0
        defaults = self.subject.__dataclass_fields__["num_byzantine"]
        assert defaults.default == 0

    def test_negative_faults(self) -> None:
        """A negative number of faults is refused, when it is made or when it is called."""
        with pytest.raises(ParameterError) as caught:
            self.make(-1)(np.ones((3, 2)))
        assert caught.value.parameter == "num_byzantine"

    @pytest.mark.parametrize(("num_messages", "num_byzantine"), [(2, 1), (4, 2), (5, 3), (1, 1)])
    def test_minority(self, num_messages: int, num_byzantine: int) -> None:
        """Faults that are not a minority of the messages, 2f ≥ n, are refused.

        No rule tolerates them, so there must be no result.
        """
        with pytest.raises(ParameterError) as caught:
            self.make(num_byzantine)(np.ones((num_messages, 2)))
        assert caught.value.parameter == "num_byzantine"

    @pytest.mark.parametrize(
        "messages",
        [np.ones(3), np.ones((0, 3)), np.ones((3, 0)), np.ones((3, 3), dtype=np.int64)],
        ids=["vector", "no rows", "no columns", "integers"],
    )
    def test_matrix(self, messages: HostFloats) -> None:
        """Anything but a non-empty matrix of floats raises a ValueError."""
        with pytest.raises(ValueError, match=r"."):
            self.make(0)(messages)

    # Results.

    @_DTYPES
    @_SHAPES
    def test_shape(self, shape: tuple[int, int], dtype: str) -> None:
        """The result has the shape of its family, for one message or many."""
        result = self.make(self.faults(shape[0]))(_normal(shape, dtype))
        assert result.shape == self.result_shape(shape)

    @_DTYPES
    @_SHAPES
    def test_dtype(self, shape: tuple[int, int], dtype: str) -> None:
        """The result has the dtype of the messages.

        Otherwise a run in float32 would continue in float64, and measure neither.
        """
        assert self.make(self.faults(shape[0]))(_normal(shape, dtype)).dtype == np.dtype(dtype)

    @_DTYPES
    @_SHAPES
    def test_input(self, shape: tuple[int, int], dtype: str) -> None:
        """The messages are not changed, and the result has its own memory.

        The messages are the receive buffer of the server, which the next iteration reuses.
        """
        messages = _normal(shape, dtype)
        copy = messages.copy()
        component = self.make(self.faults(shape[0]))
        result = component(messages)
        assert np.array_equal(messages, copy), "the messages were changed"
        assert not np.shares_memory(result, messages)
        messages.flags.writeable = False
        component(messages)

    @_DTYPES
    @_SHAPES
    def test_repeatable(self, shape: tuple[int, int], dtype: str) -> None:
        """The same messages give the same bits: a call only depends on them."""
        messages = _normal(shape, dtype)
        component = self.make(self.faults(shape[0]))
        assert np.array_equal(component(messages), component(messages))

    def test_global_generators(self) -> None:
        """It neither uses nor seeds a global generator of random numbers.

        Results must only depend on the seed of the spec.
        """
        messages = _normal((9, 6), "float64")
        component = self.make(self.faults(9, 2))
        moves_no_global_generator(lambda: component(messages))

    @_DTYPES
    def test_memory_layout(self, dtype: str) -> None:
        """The memory layout of the messages does not matter: columns first, or strided."""
        messages = _normal((9, 6), dtype)
        component = self.make(self.faults(9, 2))
        strided = np.repeat(messages, 2, axis=1)[:, ::2]
        tolerance = 1e-12 if dtype == "float64" else 1e-6
        for same in (np.asfortranarray(messages), strided):
            np.testing.assert_allclose(
                component(same), component(messages), rtol=tolerance, atol=tolerance
            )

    # Symmetries.

    def test_scaling(self) -> None:
        """Scaling the messages scales the result: R(c x) = c R(x), for c from 1e-100 to 1e100.

        Gradients have no natural unit. A rule with a length among its parameters,
        such as a threshold, need not keep this.
        """
        self._scale(st.integers(-100, 100))

    def test_scaling_to_the_ends(self) -> None:
        """Scaling the messages scales the result, also by 1e-300 and 1e300.

        Squares of such numbers leave the range of float64, so norms and distances need scaled
        numbers.
        """
        self._scale(st.integers(100, 300) | st.integers(-300, -100))

    def _scale(self, exponents: st.SearchStrategy[int]) -> None:
        @_DRAWS
        @given(_SEEDS, st.integers(1, 12), exponents, st.data())
        def holds(seed: int, num_messages: int, exponent: int, data: st.DataObject) -> None:
            component = self.make(data.draw(st.integers(0, self.faults(num_messages))))
            messages = np.random.default_rng(seed).normal(size=(num_messages, 3))
            scaled = component(messages * 10.0**exponent)
            np.testing.assert_allclose(scaled / 10.0**exponent, component(messages), atol=1e-6)

        holds()

    def test_translation(self) -> None:
        """Adding a vector to all messages adds it to the result: R(x + v) = R(x) + v.

        The origin is not a special gradient. A rule that compares norms, or starts from
        zero, need not keep this.
        """

        @_DRAWS
        @given(_SEEDS, st.integers(3, 12))
        def holds(seed: int, num_messages: int) -> None:
            component = self.make(self.faults(num_messages))
            generator = np.random.default_rng(seed)
            messages = generator.normal(size=(num_messages, 4))
            shift = 1e3 * generator.normal(size=4)
            np.testing.assert_allclose(
                component(messages + shift), component(messages) + shift, atol=1e-6
            )

        holds()

    def test_order(self) -> None:
        """The order of the messages does not matter.

        Devices have no order. If a parameter names a row, override ``reordered``. A component
        that groups rows by place need not keep this.
        """

        @_DRAWS
        @given(_SEEDS, st.integers(5, 12))
        def holds(seed: int, num_messages: int) -> None:
            # More than a quarter of faults would leave Krum one neighbour, and nearest pairs tie.
            component = self.make(self.faults(num_messages, (num_messages - 1) // 4))
            generator = np.random.default_rng(seed)
            messages = generator.normal(size=(num_messages, 4))
            order = generator.permutation(num_messages)
            expected = component(messages)
            if expected.ndim == 2:
                expected = expected[order]
            turned = self.reordered(component, order)
            np.testing.assert_allclose(turned(messages[order]), expected, atol=1e-7)

        holds()

    # Messages with known results.

    @_DTYPES
    def test_equal_messages(self, dtype: str) -> None:
        """Messages that are all equal are returned.

        With a full load all honest devices send the same message.
        """
        vector = _normal((1, 5), dtype)[0] / 4
        result = self.make(self.faults(7, 1))(np.tile(vector, (7, 1)))
        np.testing.assert_allclose(result, np.broadcast_to(vector, result.shape), rtol=1e-6)

    def test_mean_without_faults(self) -> None:
        """Without faults, it returns the mean.

        The mean has no error then. Medians and rules that select need not keep this.
        """
        messages = _normal((8, 6), "float64")
        result = self.make(0)(messages)
        np.testing.assert_allclose(
            result, np.broadcast_to(messages.mean(axis=0), result.shape), atol=1e-14
        )

    def test_zeros(self) -> None:
        """Messages of zeros give zeros, although their norms are zero."""
        result = self.make(self.faults(5, 1))(np.zeros((5, 3)))
        assert np.array_equal(result, np.zeros(result.shape))

    # Hostile messages.

    @pytest.mark.parametrize("position", ["first", "last"])
    @pytest.mark.parametrize("huge", [1e130, 1e160, 1e300, -1.7e308, "mixed"])
    def test_huge_rows(self, huge: float | str, position: str) -> None:
        """Up to f messages of huge finite numbers do no harm and cause no warning.

        A Byzantine device may send them, and the squares of their norms are infinite.
        The result stays within the range of the honest messages.
        """
        num_messages = 20
        f = self.faults(num_messages, 6)
        honest = _normal((num_messages - f, 8), "float64")
        hostile = np.full((f, 8), 1.7e308 if huge == "mixed" else huge)
        if huge == "mixed":
            hostile[::2] *= -1.0
        order = np.roll(np.arange(num_messages), f if position == "first" else 0)
        component = self.reordered(self.make(f), order)
        result = component(np.concatenate([honest, hostile])[order])
        assert np.isfinite(result).all()
        clean = result[order < len(honest)] if result.ndim == 2 else result
        assert np.abs(clean).max() <= np.abs(honest).max()

    def test_largest_numbers(self) -> None:
        """Messages of the largest numbers, of both signs, give a finite result.

        Their sum is not representable, but their mean is.
        """
        messages = np.full((7, 3), np.finfo(np.float64).max)
        messages[::2] *= -1.0
        assert np.isfinite(self.make(self.faults(7, 1))(messages)).all()

    def test_largest_float32(self) -> None:
        """Two of nine messages of the largest float32 numbers give a finite result."""
        messages = _normal((9, 4), "float32")
        messages[:2] = np.finfo(np.float32).max
        assert np.isfinite(self.make(self.faults(9, 2))(messages)).all()

    @pytest.mark.parametrize("columns", [3, 70_000])
    @_DTYPES
    def test_not_finite(self, dtype: str, columns: int) -> None:
        """A message with a NaN or an infinity counts as zeros.

        Comparisons with NaN are false, so NaN can win a least score or pass medians and means.
        :func:`lad_mpi.aggregation.finite_rows` replaces such rows.
        """
        messages = _normal((12, columns), dtype)
        zeroed = messages.copy()
        messages[3, columns - 1] = np.nan
        messages[5, 1] = np.inf
        messages[7] = -np.inf
        messages[7, 0] = np.inf
        zeroed[[3, 5, 7]] = 0.0
        copy = messages.copy()
        component = self.make(self.faults(12, 3))
        result = component(messages)
        assert np.isfinite(result).all()
        np.testing.assert_allclose(result, component(zeroed), rtol=1e-6, atol=1e-6)
        assert np.array_equal(messages, copy, equal_nan=True)

    def test_only_row_not_finite(self) -> None:
        """A single message that is not finite gives zeros."""
        assert not self.make(0)(np.full((1, 2), np.nan)).any()


def _normal(shape: tuple[int, int], dtype: str) -> HostFloats:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)


def _on_columns(component: Any, messages: HostFloats, columns: slice) -> Any:
    return component(messages[:, columns])
