"""What an optimizer offers: the direction of a step, from the estimate of the gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from lad_mpi.types import Array


@runtime_checkable
class Optimizer(Protocol):
    """A method by which the server moves the model.

    The suite applies the step: x ← x − γ_t (direction + λ x), with the step size γ_t of the
    schedule and the weight decay λ.
    """

    kind: ClassVar[str]

    def initial_state(self, like: Array) -> dict[str, Array]:
        """Return the state before the first step, by name; empty without a state.

        Parameters
        ----------
        like : array, shape (Q,)
            An array of the model's shape, dtype and memory; its values do not matter.

        Returns
        -------
        dict of str to array
            Checkpoints save these arrays. Their shapes and dtypes must never change.
        """

    def direction(self, estimate: Array, state: dict[str, Array], iteration: int) -> Array:
        """Return the direction of a step, and update the state.

        Parameters
        ----------
        estimate : array, shape (Q,)
            The estimate ĝ of ∇F. Not to be changed.
        state : dict of str to array
            As :meth:`initial_state` or the last call left it. The arrays are updated in place.
        iteration : int
            The iteration t, counted from 0.

        Returns
        -------
        array, shape (Q,)
            It may be ``estimate`` itself or an array of the state. Not to be changed by the
            caller.
        """


@runtime_checkable
class Schedule(Protocol):
    """How the step size changes during a run."""

    kind: ClassVar[str]

    def factor(self, iteration: int, iterations: int) -> float:
        """Return γ_t / γ, the factor of the step size in an iteration.

        Parameters
        ----------
        iteration : int
            The iteration t, counted from 0.
        iterations : int
            T, the number of iterations of the run.
        """


@runtime_checkable
class WarmedUp(Schedule, Protocol):
    """A schedule that raises the step size in the first iterations."""

    @property
    def warmup(self) -> int:
        """Number of these iterations."""
