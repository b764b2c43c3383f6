"""Momentum on the server: the heavy ball, and Nesterov's variant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Lt

from lad_mpi.arrays import namespace
from lad_mpi.parameters import check_parameters

if TYPE_CHECKING:
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class Momentum:
    r"""Step along a decaying sum of all estimates.

    Parameters
    ----------
    momentum : float
        μ, how much of the sum remains in the next iteration.
    nesterov : bool
        Whether to step along the sum after one more iteration with the same estimate.

    Notes
    -----
    The convention is that of ``torch.optim.SGD`` without dampening. From zero,

    .. math:: v_t = μ v_{t-1} + \hat g_t,

    and the direction is v_t, or ĝ_t + μ v_t for Nesterov's variant. The
    estimate is not scaled by 1 − μ. For a constant estimate the direction therefore grows to
    1/(1 − μ) times the estimate. The step size is not part of the sum, so a schedule
    scales the whole direction.

    This is momentum on the server. ``devices.momentum`` is momentum on each device.

    References
    ----------
    Polyak, "Some methods of speeding up the convergence of iteration methods", USSR
    Computational Mathematics and Mathematical Physics 4(5), 1964,
    doi:10.1016/0041-5553(64)90137-5.

    Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in
    deep learning", ICML 2013, has Nesterov's variant for training.
    """

    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    nesterov: bool = False

    kind: ClassVar[str] = "momentum"
    cost: ClassVar[str] = "O(Q), keeps Q numbers"

    def __post_init__(self) -> None:
        check_parameters(self)

    def initial_state(self, like: Array) -> dict[str, Array]:
        """Return the sum ``velocity``, zero; see :meth:`Optimizer.initial_state`."""
        return {"velocity": namespace(like).zeros_like(like)}

    def direction(
        self,
        estimate: Array,
        state: dict[str, Array],
        iteration: int,  # noqa: ARG002
    ) -> Array:
        """Add the estimate to the sum; see :meth:`Optimizer.direction`."""
        velocity = state["velocity"]
        # The run has its own check for divergence.
        with np.errstate(all="ignore"):
            velocity *= self.momentum
            velocity += estimate
            if not self.nesterov:
                return velocity
            ahead = self.momentum * velocity
            ahead += estimate
        return ahead
