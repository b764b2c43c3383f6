"""Gaussian noise in place of the vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lad_mpi.arrays import namespace
from lad_mpi.parameters import Positive, check_parameters

if TYPE_CHECKING:
    from lad_mpi.attacks.base import AttackContext
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Send independent normal numbers of mean zero.

    Each device draws from its own keyed stream on the host. Its numbers therefore do not
    depend on the rank that hosts it or on the backend.

    Parameters
    ----------
    standard_deviation : float
        Standard deviation of every coordinate, in the units of the vectors.

    References
    ----------
    Blanchard, El Mhamdi, Guerraoui, Stainer, "Machine learning with adversaries",
    NeurIPS 2017, arXiv:1703.02757.
    """

    standard_deviation: Positive = 1.0

    kind: ClassVar[str] = "gaussian"
    cost: ClassVar[str] = "Q normal numbers a device"

    def __post_init__(self) -> None:
        check_parameters(self)

    def corrupt(self, coded: Array, context: AttackContext) -> Array:
        """Draw each device's noise; see :meth:`LocalAttack.corrupt`."""
        noise = np.empty(coded.shape)
        for row, device in zip(noise, context.devices, strict=True):
            context.generator(int(device)).standard_normal(out=row)
        # The server refuses a message that overflows.
        with np.errstate(all="ignore"):
            noise = (noise * self.standard_deviation).astype(coded.dtype)
        return namespace(coded).asarray(noise)
