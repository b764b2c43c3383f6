"""Label flipping: honest work on wrong targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class LabelFlip:
    """Train on reversed labels, and otherwise follow the protocol.

    Notes
    -----
    For C classes, y becomes C − 1 − y. For an odd C the middle class keeps its label. For
    regression, y becomes its mirror image about the mean of all training targets.

    References
    ----------
    Allen-Zhu, Ebrahimianghazani, Li, Alistarh, "Byzantine-resilient non-convex stochastic
    gradient descent", ICLR 2021, arXiv:2012.14368.

    Karimireddy, He, Jaggi, "Learning from history for Byzantine robust optimization",
    ICML 2021, arXiv:2012.10333.
    """

    kind: ClassVar[str] = "label_flip"
    cost: ClassVar[str] = "nothing during training"

    def corrupt_targets(self, targets: npt.NDArray[Any], num_classes: int) -> npt.NDArray[Any]:
        """Reverse the targets; see :meth:`DataAttack.corrupt_targets`."""
        if num_classes:
            return np.asarray(num_classes - 1 - targets)
        return np.asarray(2.0 * targets.mean() - targets)
