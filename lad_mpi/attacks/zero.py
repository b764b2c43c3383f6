"""Zeros in place of the vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lad_mpi.arrays import namespace

if TYPE_CHECKING:
    from lad_mpi.attacks.base import AttackContext
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class Zero:
    """Send zeros, as a device that does not contribute."""

    kind: ClassVar[str] = "zero"
    cost: ClassVar[str] = "O(Q) a device"

    def corrupt(self, coded: Array, context: AttackContext) -> Array:  # noqa: ARG002
        """Return zeros; see :meth:`LocalAttack.corrupt`."""
        return namespace(coded).zeros_like(coded)
