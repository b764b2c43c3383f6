"""Schedules of the step size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le

from lad_mpi.parameters import Count, CountOrZero, Example, Positive, check_parameters


@dataclass(frozen=True, slots=True)
class Constant:
    """Keep the step size.

    Parameters
    ----------
    warmup : int
        Iterations of linear warm-up. In iteration t of the first w, the step size is
        (t + 1)/(w + 1) of the full one. The schedule begins after these iterations.

    References
    ----------
    Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017,
    arXiv:1706.02677, section 2.2, has the warm-up.
    """

    warmup: CountOrZero = 0

    kind: ClassVar[str] = "constant"

    def __post_init__(self) -> None:
        check_parameters(self)

    def factor(self, iteration: int, iterations: int) -> float:  # noqa: ARG002
        """Return 1 after the warm-up; see :meth:`Schedule.factor`."""
        return _ramp(iteration, self.warmup)


@dataclass(frozen=True, slots=True)
class Step:
    """Lower the step size by a factor at regular intervals.

    Parameters
    ----------
    every : int
        Iterations between two drops.
    decay : float
        The factor of a drop, above 0 and at most 1.
    warmup : int
        Iterations of linear warm-up before the schedule begins, as in :class:`Constant`.

    Notes
    -----
    With s iterations since the warm-up, the factor is decay^⌊s/every⌋, as in
    ``torch.optim.lr_scheduler.StepLR``.
    """

    every: Annotated[Count, Example(100)]
    decay: Annotated[float, Gt(0), Le(1)] = 0.1
    warmup: CountOrZero = 0

    kind: ClassVar[str] = "step"

    def __post_init__(self) -> None:
        check_parameters(self)

    def factor(self, iteration: int, iterations: int) -> float:  # noqa: ARG002
        """Return the power of ``decay``; see :meth:`Schedule.factor`."""
        drops = _after(iteration, self.warmup) // self.every
        return _ramp(iteration, self.warmup) * self.decay**drops


@dataclass(frozen=True, slots=True)
class Cosine:
    r"""Lower the step size along half a period of a cosine, to the end of the run.

    Parameters
    ----------
    final : float
        Share of the step size that the curve ends at.
    warmup : int
        Iterations of linear warm-up before the schedule begins, as in :class:`Constant`.

    Notes
    -----
    With s iterations since the warm-up and S iterations between it and the end of the run,

    .. math:: \mathrm{final} + (1 - \mathrm{final}) \frac{1 + \cos(π s / S)}{2}.

    The factor is 1 after the warm-up. It would reach ``final`` in the iteration after the
    last one. If the number of iterations of a run changes, so do all step sizes.

    References
    ----------
    Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017,
    arXiv:1608.03983; without restarts.
    """

    final: Annotated[float, Ge(0), Le(1)] = 0.0
    warmup: CountOrZero = 0

    kind: ClassVar[str] = "cosine"

    def __post_init__(self) -> None:
        check_parameters(self)

    def factor(self, iteration: int, iterations: int) -> float:
        """Return the height of the curve; see :meth:`Schedule.factor`."""
        # The length is zero or less if the whole run is warm-up.
        share = _after(iteration, self.warmup) / max(1, iterations - self.warmup)
        height = self.final + (1.0 - self.final) * (1.0 + math.cos(math.pi * share)) / 2.0
        return _ramp(iteration, self.warmup) * height


@dataclass(frozen=True, slots=True)
class Inverse:
    """Lower the step size like a power of the inverse of the iteration.

    Parameters
    ----------
    scale : float
        Iterations after which the step size is 2^−power of the first.
    power : float
        1 for 1/t, and 0.5 for 1/√t.
    warmup : int
        Iterations of linear warm-up before the schedule begins, as in :class:`Constant`.

    Notes
    -----
    With s iterations since the warm-up, the factor is (1 + s/scale)^−power. With a power above
    1/2 and at most 1, the step sizes add up to infinity and their squares do not, which
    stochastic gradient descent needs to converge.

    References
    ----------
    Robbins, Monro, "A stochastic approximation method", Annals of Mathematical Statistics
    22(3), 1951, doi:10.1214/aoms/1177729586.
    """

    scale: Annotated[Positive, Example(100.0)]
    power: Positive = 1.0
    warmup: CountOrZero = 0

    kind: ClassVar[str] = "inverse"

    def __post_init__(self) -> None:
        check_parameters(self)

    def factor(self, iteration: int, iterations: int) -> float:  # noqa: ARG002
        """Return the power of the inverse; see :meth:`Schedule.factor`."""
        growth = 1.0 + _after(iteration, self.warmup) / self.scale
        return _ramp(iteration, self.warmup) * math.pow(growth, -self.power)


def _ramp(iteration: int, warmup: int) -> float:
    """Return the share of the step size that the warm-up allows."""
    return min(1.0, (iteration + 1) / (warmup + 1))


def _after(iteration: int, warmup: int) -> int:
    """Return the number of iterations since the warm-up, 0 during it."""
    return max(0, iteration - warmup)
