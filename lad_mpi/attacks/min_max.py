"""The mean of the honest vectors, moved as far as the distances between them hide it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

import numpy as np

from lad_mpi.arrays import namespace, to_host
from lad_mpi.attacks.base import mean, moments, sent_by_all
from lad_mpi.columns import dot, largest, length, squared_lengths
from lad_mpi.parameters import check_parameters

if TYPE_CHECKING:
    from lad_mpi.attacks.base import AttackContext
    from lad_mpi.types import Array

Perturbation: TypeAlias = Literal["std", "unit", "sign"]


@dataclass(frozen=True, slots=True)
class MinMax:
    r"""Move the honest mean as far as the largest distance between honest vectors allows.

    Parameters
    ----------
    perturbation : {"std", "unit", "sign"}
        Direction p of the move: −σ, the negated standard deviation of each coordinate;
        −μ, against the mean; or −sign(μ).

    Notes
    -----
    All Byzantine devices send m = μ + γ p with the largest γ such that

    .. math:: \max_i \lVert m - x_i \rVert ≤ \max_{i,j} \lVert x_i - x_j \rVert

    over the honest messages x_i, of mean μ. The length of p does not matter. The
    authors find γ by bisection. Here it is the least of the positive roots of H quadratic
    equations, ‖μ + γ p − x_i‖² = D² with the largest honest distance D. The bisection
    approximates this number if its start is not too small.

    If all honest messages are equal, or p is zero, the devices send μ.

    References
    ----------
    Shejwalkar, Houmansadr, "Manipulating the Byzantine: optimizing model poisoning attacks
    and defenses for federated learning", NDSS 2021, doi:10.14722/ndss.2021.24498.
    """

    perturbation: Perturbation = "std"

    kind: ClassVar[str] = "min_max"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[str] = "O(H²Q)"

    def __post_init__(self) -> None:
        check_parameters(self)

    def craft(self, honest: Array, context: AttackContext) -> Array:
        """Return μ + γ p for each device; see :meth:`OmniscientAttack.craft`."""
        with np.errstate(all="ignore"):
            scale, centre, centred, towards = _prepare(honest, self.perturbation)
            products = to_host(dot(centred, centred))
            squares = np.diagonal(products)
            limit = (squares[:, None] + squares - 2.0 * products).max()
            along = to_host(dot(centred, towards))
            roots = along + np.sqrt(along**2 + np.maximum(limit - squares, 0.0))
            moved = scale * (centre + float(roots.min()) * towards)
            return sent_by_all(moved, len(context.devices), honest)


@dataclass(frozen=True, slots=True)
class MinSum:
    r"""Move the honest mean as far as the largest sum of squared honest distances allows.

    Parameters
    ----------
    perturbation : {"std", "unit", "sign"}
        As for :class:`~lad_mpi.attacks.MinMax`.

    Notes
    -----
    All Byzantine devices send m = μ + γ p with the largest γ such that

    .. math::

        \sum_i \lVert m - x_i \rVert^2 ≤ \max_i \sum_j \lVert x_i - x_j \rVert^2.

    With a_i = ‖x_i − μ‖², the left side is H γ² ‖p‖² + Σ a_i, and the right side is
    H max a_i + Σ a_i. Hence γ = max ‖x_i − μ‖ / ‖p‖: the vector is as far from μ as the farthest
    honest message. The authors find this number by bisection.

    If all honest messages are equal, or p is zero, the devices send μ.

    References
    ----------
    Shejwalkar, Houmansadr, "Manipulating the Byzantine: optimizing model poisoning attacks
    and defenses for federated learning", NDSS 2021, doi:10.14722/ndss.2021.24498.
    """

    perturbation: Perturbation = "std"

    kind: ClassVar[str] = "min_sum"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[str] = "O(HQ)"

    def __post_init__(self) -> None:
        check_parameters(self)

    def craft(self, honest: Array, context: AttackContext) -> Array:
        """Return μ + γ p for each device; see :meth:`OmniscientAttack.craft`."""
        with np.errstate(all="ignore"):
            scale, centre, centred, towards = _prepare(honest, self.perturbation)
            farthest = math.sqrt(float(squared_lengths(centred).max()))
            moved = scale * (centre + farthest * towards)
            return sent_by_all(moved, len(context.devices), honest)


def _prepare(honest: Array, perturbation: Perturbation) -> tuple[float, Array, Array, Array]:
    """Return a unit of length, and in this unit the mean, the deviations and the direction.

    No square overflows in this unit. All arrays are float64, and the direction has length 1,
    or 0 if p is zero.
    """
    scale = largest(honest) or 1.0
    scaled = honest.astype(np.float64) / scale
    centre = mean(scaled)
    if perturbation == "std":
        towards = -moments(scaled)[1]
    else:
        towards = -centre if perturbation == "unit" else -namespace(honest).sign(centre)
    return scale, centre, scaled - centre, towards / (length(towards) or 1.0)
