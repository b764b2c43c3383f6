"""An attack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lad_mpi.arrays import namespace
from lad_mpi.parameters import Positive, check_parameters

if TYPE_CHECKING:
    from lad_mpi.attacks import AttackContext
    from lad_mpi.types import Array


@dataclass(frozen=True)
class MedianFlip:
    """Send the negated median of the honest messages, scaled.

    Parameters
    ----------
    scale : float
        The factor.
    """

    scale: Positive = 1.0

    kind: ClassVar[str] = "median_flip"

    def __post_init__(self) -> None:
        """Check the ranges that the types of the fields state."""
        check_parameters(self)

    def craft(self, honest: Array, context: AttackContext) -> Array:
        """Return what all Byzantine devices send, shape (f, Q)."""
        xp = namespace(honest)
        sent = -honest.dtype.type(self.scale) * xp.median(honest, axis=0)
        return xp.repeat(sent[None], context.num_byzantine, axis=0)
