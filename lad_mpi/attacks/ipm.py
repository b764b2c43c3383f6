"""Inner product manipulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from lad_mpi.attacks.base import mean, sent_by_all
from lad_mpi.parameters import Finite, check_parameters

if TYPE_CHECKING:
    from lad_mpi.attacks.base import AttackContext
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class Ipm:
    """Send the mean of the honest vectors, negated and scaled.

    Parameters
    ----------
    tau : float
        τ, the factor. With a small τ the vectors hide among the honest ones.

    Notes
    -----
    All Byzantine devices send −τ μ, with μ the mean of the honest messages.

    References
    ----------
    Xie, Koyejo, Gupta, "Fall of empires: breaking Byzantine-tolerant SGD by inner
    product manipulation", UAI 2019, arXiv:1903.03936.
    """

    tau: Finite = 2.0

    kind: ClassVar[str] = "ipm"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[str] = "O(HQ)"

    def __post_init__(self) -> None:
        check_parameters(self)

    def craft(self, honest: Array, context: AttackContext) -> Array:
        """Return −τ μ for each device; see :meth:`OmniscientAttack.craft`."""
        with np.errstate(all="ignore"):
            return sent_by_all(-self.tau * mean(honest), len(context.devices), honest)
