"""Mimicry: all Byzantine devices copy one honest device."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from lad_mpi.arrays import namespace
from lad_mpi.attacks.base import mean, sent_by_all
from lad_mpi.columns import dot, largest, length, own_columns
from lad_mpi.errors import ParameterError
from lad_mpi.parameters import Count, CountOrZero, check_parameters

if TYPE_CHECKING:
    from lad_mpi.attacks.base import AttackContext
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class Mimic:
    r"""Learn in which direction the honest devices differ, and copy the one farthest along it.

    The vectors are honest, so no rule can refuse them, but that device gets too much weight.

    Parameters
    ----------
    warmup : int
        Iterations of learning. From then on, the same device is copied.

    Notes
    -----
    During the warm-up, each iteration takes one step of Oja's rule towards the first
    eigenvector z of the covariance of the honest vectors:

    .. math::

        μ_t &= \frac{t}{t+1} μ_{t-1} + \frac{1}{t+1} \bar x, \\
        u &= \sum_i (x_i - μ_t) ⟨x_i - μ_t, z_{t-1}⟩, \\
        z_t &∝ \frac{t}{t+1} z_{t-1} + \frac{1}{t+1} \frac{u}{\lVert u \rVert},

    and the device whose product ⟨z_t, x_i⟩ has the largest absolute value is copied, the lowest
    of several. All vectors z have length 1. The first one is random. The authors' program takes
    the largest product, so its choice depends on the sign of z.

    References
    ----------
    Karimireddy, He, Jaggi, "Byzantine-robust learning on heterogeneous datasets via
    bucketing", ICLR 2022, arXiv:2006.09365.
    """

    warmup: Count = 100

    kind: ClassVar[str] = "mimic"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[str] = "O(HQ) during the warm-up, then O(fQ)"

    def __post_init__(self) -> None:
        check_parameters(self)

    def craft(self, honest: Array, context: AttackContext) -> Array:
        """Return what is sent in iteration 0; see :meth:`OmniscientAttack.craft`."""
        first = replace(context, iteration=0)
        return self.advance(honest, first, self.initial_state(honest[0]))

    def initial_state(self, like: Array) -> dict[str, Array]:
        """Return the mean μ, the direction z and the copied device, all zero.

        See :meth:`StatefulAttack.initial_state`.
        """
        xp = namespace(like)
        return {
            "mean": xp.zeros(like.shape, dtype=np.float64),
            "direction": xp.zeros(like.shape, dtype=np.float64),
            "device": xp.zeros(1, dtype=np.int64),
        }

    def advance(self, honest: Array, context: AttackContext, state: dict[str, Array]) -> Array:
        """Learn, and return the copies; see :meth:`StatefulAttack.advance`."""
        count = len(context.devices)
        if count == 0:
            return honest[:0].copy()
        if context.iteration < self.warmup:
            with np.errstate(all="ignore"):
                _learn(honest, context, state)
        return sent_by_all(honest[int(state["device"][0])], count, honest)


@dataclass(frozen=True, slots=True)
class MimicFixed:
    """Send the vector of a given honest device, which gives its data too much weight.

    Parameters
    ----------
    device : int
        The device to copy, counted from 0 among the honest devices.

    References
    ----------
    Karimireddy, He, Jaggi, "Byzantine-robust learning on heterogeneous datasets via
    bucketing", ICLR 2022, arXiv:2006.09365.
    """

    device: CountOrZero = 0

    kind: ClassVar[str] = "mimic_fixed"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[str] = "O(fQ)"

    def __post_init__(self) -> None:
        check_parameters(self)

    def craft(self, honest: Array, context: AttackContext) -> Array:
        """Return that device's vector for each; see :meth:`OmniscientAttack.craft`.

        Raises
        ------
        ParameterError
            There are fewer honest devices.
        """
        if self.device >= len(honest):
            raise ParameterError(
                "device",
                f"must be below the number of honest devices {len(honest)}, not {self.device}",
            )
        return sent_by_all(honest[self.device], len(context.devices), honest)


def _learn(honest: Array, context: AttackContext, state: dict[str, Array]) -> None:
    """Take a step of Oja's rule, and choose the device."""
    xp, share = namespace(honest), 1.0 / (context.iteration + 1)
    average, direction = state["mean"], state["direction"]
    if context.iteration == 0:
        columns, count = own_columns(honest)
        start = context.generator(int(context.devices[0])).standard_normal(count)
        direction[...] = xp.asarray(start[columns])
    average *= 1.0 - share
    average += share * mean(honest)
    # In a unit of length in which no square overflows.
    scale = largest(honest) or 1.0
    centred = (honest - average) / scale
    step = (centred.T @ dot(centred, direction)).astype(np.float64, copy=False)
    size = length(step)
    # Nothing varies, or the vectors overflow.
    if 0.0 < size < math.inf:
        step *= share / size
        direction *= 1.0 - share
        direction += step
        direction /= length(direction) or 1.0
    state["device"][...] = xp.argmax(abs(dot(honest / scale, direction)))
