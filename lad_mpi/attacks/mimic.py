"""Mimicry: all Byzantine devices copy one honest device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lad_mpi.attacks.collusion import sent_by_all
from lad_mpi.errors import ParameterError

if TYPE_CHECKING:
    from lad_mpi.attacks.base import AttackContext
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class Mimic:
    """Send what one honest device sends, which over-represents its data.

    Parameters
    ----------
    device : int
        Which one, counted from 0 among the honest devices.

    References
    ----------
    Karimireddy, He, Jaggi, "Byzantine-robust learning on heterogeneous datasets via
    bucketing", ICLR 2022, arXiv:2006.09365.
    """

    device: int = 0

    kind: ClassVar[str] = "mimic"
    cost: ClassVar[str] = "O(fQ)"

    def __post_init__(self) -> None:
        """Refuse a negative number."""
        if self.device < 0:
            raise ParameterError("device", f"must be at least 0, not {self.device}")

    def craft(self, honest: Array, context: AttackContext) -> Array:
        """Return that device's vector for each; see :meth:`OmniscientAttack.craft`.

        Raises
        ------
        ParameterError
            There are not so many honest devices.
        """
        if self.device >= len(honest):
            raise ParameterError(
                "device",
                f"must be below the number of honest devices {len(honest)}, not {self.device}",
            )
        return sent_by_all(honest[self.device], len(context.devices), honest)
