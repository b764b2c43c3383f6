"""How the server moves the model: an optimizer, a step size and its schedule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.optimizers.base import Optimizer, Schedule  # noqa: TC001  (types are read at run time)
from lad_mpi.optimizers.gd import GradientDescent
from lad_mpi.optimizers.schedules import Constant
from lad_mpi.parameters import NotNegative, Positive, check_parameters

if TYPE_CHECKING:
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class Updates:
    r"""How the server moves the model.

    Parameters
    ----------
    method : Optimizer
        Turns the estimate of the gradient into a direction.
    step_size : float
        γ, the step size.
    weight_decay : float
        λ, the decoupled weight decay.
    schedule : Schedule
        How the step size changes during a run: γ_t is γ times its factor.

    Notes
    -----
    With the direction p_t of the method, a step is

    .. math:: x ← x - γ_t (p_t + λ x).

    The decay is not part of the estimate, so it changes neither a velocity nor Adam's means.
    For plain gradient descent it equals the penalty (λ/2) ‖x‖². The loss in the log does not
    include it; ``l2`` of a model does.

    References
    ----------
    Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019,
    arXiv:1711.05101.
    """

    method: Optimizer = field(default_factory=GradientDescent)
    step_size: Positive = 1e-3
    weight_decay: NotNegative = 0.0
    schedule: Schedule = field(default_factory=Constant)

    def __post_init__(self) -> None:
        check_parameters(self)

    def apply(
        self,
        model: Array,
        estimate: Array,
        state: dict[str, Array],
        iteration: int,
        iterations: int,
    ) -> None:
        """Take a step, in place.

        Parameters
        ----------
        model : array, shape (Q,)
            The model x.
        estimate : array, shape (Q,)
            The estimate ĝ, of the model's dtype. It is not changed.
        state : dict of str to array
            The state of the method, as its ``initial_state`` or the last step left it.
        iteration : int
            The iteration t, counted from 0.
        iterations : int
            T, the number of iterations of the run.
        """
        direction = self.method.direction(estimate, state, iteration)
        # A Python number keeps float32, a NumPy float64 would not.
        step = self.step_size * float(self.schedule.factor(iteration, iterations))
        # The run has its own check for divergence.
        with np.errstate(all="ignore"):
            if self.weight_decay:
                model *= 1.0 - step * self.weight_decay
            model -= step * direction
