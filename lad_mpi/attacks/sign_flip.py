"""Sign flipping: the device's own vector, reversed and scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lad_mpi.parameters import Finite, check_parameters

if TYPE_CHECKING:
    from lad_mpi.attacks.base import AttackContext
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class SignFlip:
    """Send ``scale`` times the device's own coded vector.

    Parameters
    ----------
    scale : float
        The factor. A negative one points uphill.

    Notes
    -----
    Some authors use this name for the negated mean of the honest vectors, which is
    :class:`~lad_mpi.attacks.Ipm` with τ = 1.

    References
    ----------
    Li, Xu, Chen, Giannakis, Ling, "RSA: Byzantine-robust stochastic aggregation
    methods for distributed learning from heterogeneous datasets", AAAI 2019,
    arXiv:1811.03761.
    """

    scale: Finite = -2.0

    kind: ClassVar[str] = "sign_flip"
    cost: ClassVar[str] = "O(Q) a device"

    def __post_init__(self) -> None:
        check_parameters(self)

    def corrupt(self, coded: Array, context: AttackContext) -> Array:  # noqa: ARG002
        """Scale each vector; see :meth:`LocalAttack.corrupt`."""
        # The server refuses a message that overflows.
        with np.errstate(all="ignore"):
            return coded * coded.dtype.type(self.scale)
