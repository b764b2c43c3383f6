"""NaN in place of the vector."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lad_mpi.arrays import namespace

if TYPE_CHECKING:
    from lad_mpi.attacks.base import AttackContext
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class Nan:
    """Send NaN in every coordinate, in a well-formed message that the server must refuse."""

    kind: ClassVar[str] = "nan"
    cost: ClassVar[str] = "O(Q) a device"

    def corrupt(self, coded: Array, context: AttackContext) -> Array:  # noqa: ARG002
        """Return NaN; see :meth:`LocalAttack.corrupt`."""
        return namespace(coded).full_like(coded, math.nan)
