"""Cyclic gradient coding with random or fixed assignment (LAD, CRA-DL)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from lad_mpi.coding.base import Assignment
from lad_mpi.errors import ParameterError
from lad_mpi.parameters import Count, check_parameters
from lad_mpi.rng import Purpose

if TYPE_CHECKING:
    from lad_mpi.rng import Streams
    from lad_mpi.types import HostInts


class CyclicAssignment(Assignment):
    """Subsets in a circle; every device takes d neighbours.

    Device i computes order[(rows[i] + j) mod N] for j = 0 … d−1. Only these two
    permutations are stored, so the memory does not grow with the load.

    Parameters
    ----------
    order : ndarray of int64, shape (N,)
        π, the order of the subsets in the circle.
    rows : ndarray of int64, shape (N,)
        τ, the position in the circle at which each device starts.
    load : int
        d.
    """

    def __init__(self, order: HostInts, rows: HostInts, load: int) -> None:
        self._rows = rows
        self._load = load
        # One turn and the beginning of the next, so that no device wraps around.
        self._circle = np.concatenate([order, order[: load - 1]])
        self.weights = np.full((len(rows), 1), 1.0 / load)

    @property
    def subsets(self) -> HostInts:
        """All subset numbers, int64, shape (N, d), made at every call."""
        return self.part(slice(None), slice(None))

    @property
    def max_load(self) -> int:
        """d, the load of every device."""
        return self._load

    @property
    def loads(self) -> HostInts:
        """D for each device, int64, shape (N,)."""
        return np.full(len(self._rows), self._load, dtype=np.int64)

    def part(self, devices: slice, columns: slice) -> HostInts:
        """Return some columns of the subsets of some devices."""
        steps = np.arange(self._load)[columns]
        part: HostInts = self._circle[self._rows[devices, None] + steps]
        return part


@dataclass(frozen=True, slots=True)
class Cyclic:
    r"""Every device computes ``load`` cyclically consecutive subsets and sends their mean.

    Parameters
    ----------
    load : int
        d, the number of subsets a device computes, 1 ≤ d ≤ N. ``load = 1`` is plain
        robust aggregation. With ``load = N`` every honest device sends the exact ∇F.
    assignment : {"random", "fixed"}
        ``"random"`` draws the order of the subsets and the row of each device in every
        iteration, so every device needs all data. ``"fixed"`` keeps both, so a device
        needs only its own d subsets.

    Notes
    -----
    With permutations π (subsets) and τ (devices), device i computes the subsets
    π((τ(i) + j) mod N), j = 0…d−1, and sends

    .. math:: g_i = \frac{1}{d} \sum_{j=0}^{d-1} \nabla f_{\\pi((\\tau(i)+j) \bmod N)}.

    References
    ----------
    Li, Allouah, Guerraoui, Skoglund, Xiao, "Byzantine-robust and
    communication-efficient distributed training: compressive and cyclic gradient
    coding", arXiv:2603.28780 (random assignment).
    Li, Xiao, Skoglund, "Coded robust aggregation for distributed learning under
    Byzantine attacks", arXiv:2506.01989 (fixed assignment, CRA-DL).
    """

    load: Count = 1
    assignment: Literal["random", "fixed"] = "random"

    kind: ClassVar[str] = "cyclic"
    cost: ClassVar[str] = "d gradients"
    needs_exact_messages: ClassVar[bool] = False
    message_parts: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_parameters(self)

    @property
    def varies(self) -> bool:
        """Whether the assignment is drawn anew every iteration."""
        return self.assignment == "random"

    def check(self, num_devices: int, num_byzantine: int) -> None:  # noqa: ARG002
        """Refuse a load above the number of subsets."""
        if self.load > num_devices:
            raise ParameterError(
                "load",
                f"must be between 1 and the number of devices {num_devices}, not {self.load}",
            )

    def assign(
        self,
        num_devices: int,
        num_byzantine: int,  # noqa: ARG002
        streams: Streams,
        iteration: int,
    ) -> Assignment:
        """Draw π and τ and lay out the subsets of every device."""
        order = rows = np.arange(num_devices)
        if self.varies:
            order = streams.permutation(Purpose.SUBSET_ORDER, iteration, num_devices)
            rows = streams.permutation(Purpose.DEVICE_ROWS, iteration, num_devices)
        return CyclicAssignment(order, rows, self.load)

    def recovers_exactly(self, num_devices: int, num_byzantine: int) -> bool:  # noqa: ARG002
        """Tell whether every device computes all subsets."""
        return self.load == num_devices

    def variance_factor(self, num_devices: int, num_byzantine: int) -> float:  # noqa: ARG002
        r"""Return :math:`(N - d) / (d (N - 1))` for a random assignment, NaN for a fixed one.

        That is :func:`lad_mpi.theory.coded_variance` in units of β².
        """
        if not self.varies:
            return math.nan
        return (num_devices - self.load) / (self.load * max(1, num_devices - 1))
