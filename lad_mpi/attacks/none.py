"""No attack: Byzantine devices behave as honest ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from lad_mpi.attacks.base import AttackContext
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class NoAttack:
    """Send the honest vector, as a control."""

    kind: ClassVar[str] = "none"
    cost: ClassVar[str] = "O(Q) a device"

    def corrupt(self, coded: Array, context: AttackContext) -> Array:  # noqa: ARG002
        """Return a copy of the vectors; see :meth:`LocalAttack.corrupt`."""
        return coded.copy()
