"""Adam: momentum, with a step size for each coordinate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Lt

from lad_mpi.arrays import namespace
from lad_mpi.parameters import check_parameters

if TYPE_CHECKING:
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class Adam:
    r"""Divide the mean of past estimates by the root of their mean square.

    Parameters
    ----------
    beta1 : float
        β₁, how much of the mean remains in the next iteration.
    beta2 : float
        β₂, how much of the mean square remains in the next iteration.
    epsilon : float
        ε, which is added to the root. It is at least 1e-30, so that it is not zero in
        float32.

    Notes
    -----
    From zero, for each coordinate,

    .. math::

        m_t &= β_1 m_{t-1} + (1 - β_1) \hat g_t, \\
        v_t &= β_2 v_{t-1} + (1 - β_2) \hat g_t^2,

    and the direction is

    .. math::

        \frac{m_t / (1 - β_1^{t+1})}{\sqrt{v_t / (1 - β_2^{t+1})} + ε}.

    The iteration t counts from 0. With ``weight_decay`` this is AdamW: the decay is not part
    of the estimate, so it is not divided by the root.

    References
    ----------
    Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015, arXiv:1412.6980.

    Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019,
    arXiv:1711.05101.
    """

    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.999
    epsilon: Annotated[float, Ge(1e-30), Lt(math.inf)] = 1e-8

    kind: ClassVar[str] = "adam"
    cost: ClassVar[str] = "O(Q), keeps 2Q numbers"

    def __post_init__(self) -> None:
        check_parameters(self)

    def initial_state(self, like: Array) -> dict[str, Array]:
        """Return the means ``mean`` and ``mean_square``; see :meth:`Optimizer.initial_state`."""
        zeros_like = namespace(like).zeros_like
        return {"mean": zeros_like(like), "mean_square": zeros_like(like)}

    def direction(self, estimate: Array, state: dict[str, Array], iteration: int) -> Array:
        """Update both means and divide; see :meth:`Optimizer.direction`."""
        xp, steps = namespace(estimate), iteration + 1
        mean, mean_square = state["mean"], state["mean_square"]
        # The run has its own check for divergence.
        with np.errstate(all="ignore"):
            mean *= self.beta1
            mean += (1.0 - self.beta1) * estimate
            scratch = estimate * estimate
            scratch *= 1.0 - self.beta2
            mean_square *= self.beta2
            mean_square += scratch
            xp.sqrt(mean_square, out=scratch)
            scratch /= math.sqrt(1.0 - self.beta2**steps)
            scratch += self.epsilon
            xp.divide(mean, scratch, out=scratch)
            scratch /= 1.0 - self.beta1**steps
        return scratch
