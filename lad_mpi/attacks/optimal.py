"""ALIE and inner product manipulation with the factor that moves the rule the most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Le

from lad_mpi.attacks.base import mean, moments, sent_by_all
from lad_mpi.columns import length
from lad_mpi.errors import ParameterError
from lad_mpi.parameters import check_parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.attacks.base import AttackContext
    from lad_mpi.types import Array

# For a rule such as the mean, both directions are equally bad, up to rounding.
_TIE = 1e-9
# Those of ByzFL.
_FIRST_STEP, _CONTRACTION = 10.0, 0.8
#: Every evaluation applies the rule once more.
_Evaluations: TypeAlias = Annotated[int, Ge(1), Le(1000)]


@dataclass(frozen=True, slots=True)
class OptimalAlie:
    """Send the shift of ALIE that moves the server's estimate the most.

    Parameters
    ----------
    evaluations : int
        Values of the factor to try in each direction; the rule is applied once for each.

    Notes
    -----
    All Byzantine devices send μ − z σ, as in :class:`~lad_mpi.attacks.Alie`. A line search
    looks for the factor z that maximises ‖ĝ − μ‖, the distance of the server's estimate from
    the mean of the honest messages. It starts at 0 and goes in both directions. Its step is 10
    at first, and doubles as long as the distance grows. Then it shrinks to 0.8 of itself in
    every evaluation, and the factor moves whenever the distance grows. The better direction
    wins. The search is that of ByzFL 0.0.11, which only looks in one direction. It never moves
    back towards 0, so it may pass the maximum.

    References
    ----------
    Allouah, Farhadkhani, Guerraoui, Gupta, Pinot, Stephan, "Fixing by mixing", AISTATS
    2023, arXiv:2302.01772, optimise the factor. ByzFL has the line search.
    """

    evaluations: _Evaluations = 20

    kind: ClassVar[str] = "optimal_alie"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[str] = "2 · evaluations times the rule"

    def __post_init__(self) -> None:
        check_parameters(self)

    def craft(self, honest: Array, context: AttackContext) -> Array:
        """Return the worst μ − z σ for each device; see :meth:`OmniscientAttack.craft`.

        Raises
        ------
        ParameterError
            The context has no ``aggregate``.
        """
        with np.errstate(all="ignore"):
            centre, deviation = moments(honest)
            return _worst(honest, context, centre, -deviation, self.evaluations)


@dataclass(frozen=True, slots=True)
class OptimalIpm:
    """Send the multiple of the mean that moves the server's estimate the most.

    Parameters
    ----------
    evaluations : int
        Values of the factor to try in each direction; the rule is applied once for each.

    Notes
    -----
    All Byzantine devices send −τ μ, as in :class:`~lad_mpi.attacks.Ipm`. The factor τ is
    found like the factor of :class:`~lad_mpi.attacks.OptimalAlie`. It may be negative.

    References
    ----------
    Allouah, Farhadkhani, Guerraoui, Gupta, Pinot, Stephan, "Fixing by mixing", AISTATS
    2023, arXiv:2302.01772, optimise the factor. ByzFL has the line search.
    """

    evaluations: _Evaluations = 20

    kind: ClassVar[str] = "optimal_ipm"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[str] = "2 · evaluations times the rule"

    def __post_init__(self) -> None:
        check_parameters(self)

    def craft(self, honest: Array, context: AttackContext) -> Array:
        """Return the worst −τ μ for each device; see :meth:`OmniscientAttack.craft`.

        Raises
        ------
        ParameterError
            The context has no ``aggregate``.
        """
        with np.errstate(all="ignore"):
            centre = mean(honest)
            return _worst(honest, context, 0.0 * centre, -centre, self.evaluations)


def _worst(
    honest: Array, context: AttackContext, origin: Array, direction: Array, evaluations: int
) -> Array:
    """Return the vectors origin + factor · direction, with the worst factor."""
    aggregate, count = context.aggregate, len(context.devices)
    if count == 0:
        return honest[:0].copy()
    if aggregate is None:
        raise ParameterError(
            "kind",
            "needs the server's estimate as a function of the Byzantine vectors, which codes with "
            "complex weights (draco_cyclic) do not have",
            hint="take another attack or code; in a test, pass AttackContext(…, aggregate=…)",
        )
    target = mean(honest)

    def vectors(factor: float) -> Array:
        return sent_by_all(origin + factor * direction, count, honest)

    def distance(factor: float) -> float:
        return length(aggregate(vectors(factor)) - target)

    return vectors(worst_factor(distance, evaluations))


def worst_factor(distance: Callable[[float], float], evaluations: int) -> float:
    """Search for the factor of the largest distance, in both directions from 0.

    Parameters
    ----------
    distance : callable
        Distance of the server's estimate from the honest mean, by factor.
    evaluations : int
        Factors to try in each direction, 0 included.

    Returns
    -------
    float
        If a positive and a negative factor are equally bad, up to rounding, the positive one.
    """
    start = distance(0.0)
    forward, backward = (
        _line_search(distance, start, step, evaluations) for step in (_FIRST_STEP, -_FIRST_STEP)
    )
    return backward[0] if backward[1] > forward[1] * (1.0 + _TIE) else forward[0]


def _line_search(
    distance: Callable[[float], float], start: float, step: float, evaluations: int
) -> tuple[float, float]:
    """Return the factor of the largest distance in one direction, and the distance."""
    best, largest, expanding = 0.0, start, True
    for _ in range(evaluations - 1):
        candidate = best + step
        found = distance(candidate)
        if found > largest:
            best, largest = candidate, found
        else:
            expanding = False
        step *= 2.0 if expanding else _CONTRACTION
    return best, largest
