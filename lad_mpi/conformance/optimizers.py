"""Laws of optimizers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from lad_mpi.conformance.component import ComponentLaws, moves_no_global_generator
from lad_mpi.conformance.suite import make_suite
from lad_mpi.optimizers import Updates

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lad_mpi.types import Array, HostFloats

_Q, _ITERATIONS = 11, 30
_DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


class OptimizerLaws(ComponentLaws):
    """Laws of optimizers.

    Attributes
    ----------
    maker : callable
        Builds an optimizer.
    """

    family: ClassVar[str] = "optimizer"
    maker: ClassVar[Callable[[], Any]]

    def example(self) -> Any:
        """Return an optimizer."""
        return type(self).maker()

    def directions(self, dtype: str, state: dict[str, Array], first: int = 0) -> HostFloats:
        """Return the directions of all iterations from ``first`` on, shape (iterations, Q)."""
        optimizer = self.example()
        return np.array(
            [
                optimizer.direction(estimate, state, iteration)
                for iteration, estimate in enumerate(_estimates(dtype)[first:], first)
            ]
        )

    @_DTYPES
    def test_dtype(self, dtype: str) -> None:
        """A direction has the shape and the dtype of the estimate.

        Otherwise a model of float32 would be updated in float64 and rounded twice.
        """
        state = self.example().initial_state(_like(dtype))
        direction = self.example().direction(_estimates(dtype)[0], state, 0)
        assert isinstance(direction, np.ndarray)
        assert direction.shape == (_Q,)
        assert direction.dtype == np.dtype(dtype)

    @_DTYPES
    def test_state(self, dtype: str) -> None:
        """The state is a dictionary of arrays, which keep their shapes and dtypes.

        Checkpoints save the arrays. They are updated in place, and none is added or replaced.
        """
        state = self.example().initial_state(_like(dtype))
        arrays, forms = dict(state), _forms(state)
        self.directions(dtype, state)
        assert _forms(state) == forms
        assert all(state[name] is array for name, array in arrays.items()), "an array was replaced"

    def test_like(self) -> None:
        """The initial state depends on the form of the model only, not on its values."""
        first = self.example().initial_state(_like("float64"))
        other = self.example().initial_state(_like("float64") + 7.0)
        assert first.keys() == other.keys()
        for name, array in first.items():
            np.testing.assert_array_equal(array, other[name])
            assert not np.shares_memory(array, other[name])

    @_DTYPES
    def test_repeatable(self, dtype: str) -> None:
        """The same estimates and the same initial state give the same bits."""
        first, second = (
            self.directions(dtype, self.example().initial_state(_like(dtype))) for _ in range(2)
        )
        np.testing.assert_array_equal(first, second)

    @_DTYPES
    def test_resume(self, dtype: str) -> None:
        """From a copy of the state, it goes on with the same bits.

        A resumed run has a new optimizer and the state of a checkpoint. All that changes must
        therefore be in the state.
        """
        state = self.example().initial_state(_like(dtype))
        whole = self.directions(dtype, state)
        for interrupted in (1, _ITERATIONS // 2):
            state = self.example().initial_state(_like(dtype))
            optimizer = self.example()
            for iteration, estimate in enumerate(_estimates(dtype)[:interrupted]):
                optimizer.direction(estimate, state, iteration)
            saved = {name: array.copy() for name, array in state.items()}
            resumed = self.directions(dtype, saved, interrupted)
            np.testing.assert_array_equal(resumed, whole[interrupted:])

    def test_estimate(self) -> None:
        """The estimate is not changed."""
        # The estimates are read-only, so a change in place raises an error.
        state = self.example().initial_state(_like("float64"))
        self.directions("float64", state)

    def test_own_memory(self) -> None:
        """The state does not share memory with the estimate.

        The suite reuses the memory of the estimate.
        """
        state = self.example().initial_state(_like("float64"))
        estimate = _estimates("float64")[0]
        self.example().direction(estimate, state, 0)
        assert not any(np.shares_memory(array, estimate) for array in state.values())

    @_DTYPES
    def test_zero(self, dtype: str) -> None:
        """A zero estimate gives a zero direction in the first iteration, and no warning.

        A feature that is zero in all samples must not move its parameter, or make it NaN.
        """
        optimizer = self.example()
        state = optimizer.initial_state(_like(dtype))
        direction = optimizer.direction(np.zeros(_Q, dtype=dtype), state, 0)
        np.testing.assert_array_equal(direction, np.zeros(_Q))

    @_DTYPES
    def test_descends(self, dtype: str) -> None:
        """With a small step size, it lowers a convex quadratic function.

        The mean value over the iterations is below the value at the start, and the last value
        is as well.
        """
        curvature = np.linspace(0.1, 1.0, _Q).astype(dtype)
        model, updates = np.ones(_Q, dtype=dtype), Updates(self.example(), step_size=0.01)
        state = updates.method.initial_state(model)
        values = [float(curvature @ model**2) / 2.0]
        for iteration in range(200):
            updates.apply(model, curvature * model, state, iteration, 200)
            values.append(float(curvature @ model**2) / 2.0)
        assert model.dtype == np.dtype(dtype)
        assert np.mean(values) < values[0]
        assert values[-1] < values[0]

    def test_global_generators(self) -> None:
        """It neither uses nor seeds a global generator of random numbers."""
        moves_no_global_generator(
            lambda: self.directions("float64", self.example().initial_state(_like("float64")))
        )

    @_DTYPES
    def test_largest_numbers(self, dtype: str) -> None:
        """Estimates of the largest numbers cause no errors and no warnings.

        The run has its own check for divergence, with a message.
        """
        optimizer = self.example()
        state = optimizer.initial_state(_like(dtype))
        estimate = np.full(_Q, np.finfo(dtype).max, dtype=dtype)
        with np.errstate(all="raise"):
            for iteration in range(3):
                optimizer.direction(estimate, state, iteration)


def optimizer(
    cls: type[Any], *, without: Collection[str] = (), make: Callable[[], Any] | None = None
) -> type[OptimizerLaws]:
    """Make the class of tests of an optimizer.

    See :mod:`lad_mpi.conformance` for what all such functions take and return.

    Parameters
    ----------
    cls : type
    without : collection of str
    make : callable, optional
        Builds an optimizer.
    """
    return make_suite(OptimizerLaws, cls, without, {}, maker=staticmethod(make or cls))


def _like(dtype: str) -> HostFloats:
    """Return a model, read-only: only its form matters."""
    model = np.linspace(-1.0, 1.0, _Q).astype(dtype)
    model.setflags(write=False)
    return model


def _estimates(dtype: str) -> HostFloats:
    """Return the estimates of all iterations, read-only, shape (iterations, Q)."""
    estimates = np.random.default_rng(8).normal(1.0, 2.0, (_ITERATIONS, _Q)).astype(dtype)
    estimates.setflags(write=False)
    return estimates


def _forms(state: dict[str, Array]) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    return {name: (array.shape, array.dtype) for name, array in state.items()}
