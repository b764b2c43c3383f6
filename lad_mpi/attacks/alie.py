"""A little is enough: a shift that hides in the spread of the honest vectors."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np

from lad_mpi.attacks.base import moments, sent_by_all
from lad_mpi.errors import ParameterError
from lad_mpi.parameters import Example, Finite, check_parameters

if TYPE_CHECKING:
    from lad_mpi.attacks.base import AttackContext
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class Alie:
    r"""Send the mean of the honest vectors, shifted by z standard deviations.

    Parameters
    ----------
    z : float, optional
        The shift in standard deviations; the published quantile if left out.

    Notes
    -----
    All Byzantine devices send μ − z σ, with the mean and the standard deviation (divisor
    H) of each coordinate over the honest messages. The quantile for n devices with f
    Byzantine ones is

    .. math:: z = \Phi^{-1}\!\left(\frac{n - f - s}{n - f}\right), \qquad
              s = \left\lfloor n/2 + 1 \right\rfloor - f.

    It is zero or negative if f is very small. It is undefined if the fraction is not
    strictly between 0 and 1, that is for n ≤ 2 or f > n/2.

    References
    ----------
    Baruch, Baruch, Goldberg, "A little is enough: circumventing defenses for
    distributed learning", NeurIPS 2019, arXiv:1902.06156.
    """

    z: Annotated[Finite | None, Example(1.5)] = None

    kind: ClassVar[str] = "alie"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[str] = "O(HQ)"

    def __post_init__(self) -> None:
        check_parameters(self)

    def craft(self, honest: Array, context: AttackContext) -> Array:
        """Return μ − z σ for each device; see :meth:`OmniscientAttack.craft`.

        Raises
        ------
        ParameterError
            z was left out, and the quantile is undefined for these n and f.
        """
        count = len(context.devices)
        if count == 0:
            return honest[:0].copy()
        z = self.z
        if z is None:
            z = published_quantile(context.num_devices, context.num_byzantine)
        with np.errstate(all="ignore"):
            centre, deviation = moments(honest)
            return sent_by_all(centre - z * deviation, count, honest)


def published_quantile(num_devices: int, num_byzantine: int) -> float:
    """Return the z that the attack's authors derive for n devices and f Byzantine ones.

    Raises
    ------
    ParameterError
        It is undefined.
    """
    num_honest = num_devices - num_byzantine
    supporters = num_devices // 2 + 1 - num_byzantine
    if not 0 < supporters < num_honest:
        raise ParameterError(
            "z",
            f"has no published quantile for {num_devices} devices with {num_byzantine} "
            "Byzantine ones",
            hint="give z as a number",
        )
    return NormalDist().inv_cdf((num_honest - supporters) / num_honest)
