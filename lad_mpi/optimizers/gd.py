"""Gradient descent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class GradientDescent:
    """Step along the estimate ĝ of the gradient.

    Notes
    -----
    Without weight decay the step is x ← x − γ_t ĝ.
    """

    kind: ClassVar[str] = "gd"
    cost: ClassVar[str] = "O(Q)"

    def initial_state(self, like: Array) -> dict[str, Array]:  # noqa: ARG002
        """Return an empty state; see :meth:`Optimizer.initial_state`."""
        return {}

    def direction(
        self,
        estimate: Array,
        state: dict[str, Array],  # noqa: ARG002
        iteration: int,  # noqa: ARG002
    ) -> Array:
        """Return the estimate itself; see :meth:`Optimizer.direction`."""
        return estimate
