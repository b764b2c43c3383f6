"""Mimicry: all Byzantine devices copy one honest device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from lad_mpi.arrays import namespace, to_host
from lad_mpi.attacks.base import sent_by_all
from lad_mpi.errors import ParameterError
from lad_mpi.parameters import CountOrZero, check_parameters

if TYPE_CHECKING:
    from lad_mpi.attacks.base import AttackContext
    from lad_mpi.types import Array


@dataclass(frozen=True, slots=True)
class Mimic:
    r"""Send the vector of one honest device, which gives its data too much weight.

    Parameters
    ----------
    device : int
        The device to copy if the target is fixed, counted from 0 among the honest devices.
    target : {"fixed", "variance"}
        ``"fixed"`` copies ``device``. ``"variance"`` copies the honest vector that lies
        farthest along the direction in which the honest vectors vary most.

    Notes
    -----
    ``target = "variance"`` copies the device :math:`\arg\max_i |⟨z, x_i⟩|`, the lowest
    of several, with z the first eigenvector of the covariance of the honest vectors,

    .. math:: z = \arg\max_{\lVert z \rVert = 1} \sum_i ⟨z, x_i - μ⟩^2.

    The authors approximate z by one step of Oja's rule in each iteration of a warm-up,
    and then keep copying the same device. Here z is computed exactly in each iteration,
    so the attack needs no state.

    References
    ----------
    Karimireddy, He, Jaggi, "Byzantine-robust learning on heterogeneous datasets via
    bucketing", ICLR 2022, arXiv:2006.09365.
    """

    device: CountOrZero = 0
    target: Literal["fixed", "variance"] = "fixed"

    kind: ClassVar[str] = "mimic"
    cost: ClassVar[str] = "O(fQ), of variance O(H²Q + H³)"

    def __post_init__(self) -> None:
        """Refuse parameters out of range, and a device that has no effect."""
        check_parameters(self)
        if self.device and self.target == "variance":
            raise ParameterError("device", 'has no effect with target = "variance"; leave it out')

    def craft(self, honest: Array, context: AttackContext) -> Array:
        """Return that device's vector for each; see :meth:`OmniscientAttack.craft`.

        Raises
        ------
        ParameterError
            There are fewer honest devices.
        """
        if self.device >= len(honest):
            raise ParameterError(
                "device",
                f"must be below the number of honest devices {len(honest)}, not {self.device}",
            )
        copied = self.device if self.target == "fixed" else _farthest(honest)
        return sent_by_all(honest[copied], len(context.devices), honest)


def _farthest(honest: Array) -> int:
    """Find the vector that lies farthest along the direction in which all vary most."""
    xp = namespace(honest)
    with np.errstate(all="ignore"):
        # So that no square overflows.
        scaled = honest / (float(abs(honest).max()) or 1.0)
        centred = scaled - scaled.mean(axis=0, dtype=np.float64)
        _, vectors = np.linalg.eigh(to_host(centred @ centred.T))
        direction = xp.asarray(vectors[:, -1]) @ centred
        return int(np.argmax(to_host(abs(scaled @ direction))))
