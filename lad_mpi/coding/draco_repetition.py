"""The repetition code of DRACO: groups that compute the same, decoded by majority."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np

from lad_mpi.arrays import namespace, to_host
from lad_mpi.coding.base import Assignment, Decoded, DecodeStatus
from lad_mpi.columns import agreed
from lad_mpi.errors import ParameterError
from lad_mpi.parameters import Count, Example, check_parameters

if TYPE_CHECKING:
    from lad_mpi.rng import Streams
    from lad_mpi.types import Array, HostBools, HostInts


@dataclass(frozen=True, slots=True)
class DracoRepetition:
    r"""The devices of a group compute the same subsets; the server takes the group's majority.

    Parameters
    ----------
    load : int, optional
        Least number of devices in a group, 2f+1 ≤ load ≤ N; 2f+1 if left out. There are
        ``N // load`` groups, as even as possible, so ``load`` need not divide N: N=100
        with f=20 makes two groups of 50 devices with 50 subsets each.

    Notes
    -----
    Devices and subsets are split alike into G groups of sizes n_g. All devices of
    group g send the mean of their n_g subset gradients, computed in the same order
    and so with the same bits, and :math:`\nabla F = \sum_g (n_g/N) m_g` with m_g the
    message that a majority of the group agrees on, bit for bit.

    References
    ----------
    Chen, Wang, Charles, Papailiopoulos, "DRACO: Byzantine-resilient distributed
    training via redundant gradients", ICML 2018, arXiv:1803.09877.
    Boyer, Moore, "MJRTY: a fast majority vote algorithm", 1991.
    """

    load: Annotated[Count | None, Example(41)] = None

    kind: ClassVar[str] = "draco_repetition"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[str] = "N/⌊N/d⌋ gradients; decoding O(NQ)"
    needs_exact_messages: ClassVar[bool] = True
    message_parts: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_parameters(self)

    @property
    def varies(self) -> bool:
        """Whether the assignment is drawn anew every iteration: never."""
        return False

    def check(self, num_devices: int, num_byzantine: int) -> None:
        """Refuse groups in which the faulty could be the majority, or an empty group."""
        least = 2 * num_byzantine + 1
        load = self._group_size(num_byzantine)
        if not least <= load <= num_devices:
            raise ParameterError(
                "load",
                f"must be between 2f+1 = {least} and the number of devices {num_devices}, "
                f"not {load}",
                hint=f"leave coding.load out for {least}, or lower devices.byzantine",
            )

    def group_bounds(self, num_devices: int, num_byzantine: int) -> HostInts:
        """Return the first device of each group, and N at the end, int64, shape (G+1,)."""
        groups = num_devices // self._group_size(num_byzantine)
        bounds: HostInts = np.arange(groups + 1, dtype=np.int64) * num_devices // groups
        return bounds

    def assign(
        self,
        num_devices: int,
        num_byzantine: int,
        streams: Streams,  # noqa: ARG002
        iteration: int,  # noqa: ARG002
    ) -> Assignment:
        """Give every device all the subsets of its group, in the same order."""
        bounds = self.group_bounds(num_devices, num_byzantine)
        sizes = np.diff(bounds)
        subsets = np.full((num_devices, int(sizes.max())), -1, dtype=np.int64)
        for first, size in zip(bounds[:-1], sizes, strict=True):
            subsets[first : first + size, :size] = np.arange(first, first + size)
        return Assignment(subsets, 1.0 / np.repeat(sizes, sizes)[:, None])

    def recovers_exactly(self, num_devices: int, num_byzantine: int) -> bool:  # noqa: ARG002
        """Tell that the decoder recovers ∇F, or says that it could not."""
        return True

    def decode(
        self,
        messages: Array,
        assignment: Assignment,  # noqa: ARG002
        num_byzantine: int,
        *,
        streams: Streams,  # noqa: ARG002
        iteration: int,  # noqa: ARG002
    ) -> Decoded:
        """Take each group's majority by exact equality of bits.

        The status is FAILED if a group's candidate has fewer than n_g − f votes. This
        takes more than f faults.
        """
        xp = namespace(messages)
        num_devices = len(messages)
        bounds = self.group_bounds(num_devices, num_byzantine)
        gradient = xp.zeros(messages.shape[1], dtype=messages.dtype)
        missing, located = [], []
        for group, (first, last) in enumerate(pairwise(bounds)):
            members = messages[first:last]
            candidate = majority_candidate(members)
            agrees = _equal(members, members[candidate])
            votes = int(np.count_nonzero(agrees))
            located += (int(first) + np.flatnonzero(~agrees)).tolist()
            gradient += messages.dtype.type((last - first) / num_devices) * members[candidate]
            if votes < len(members) - num_byzantine:
                missing.append(f"group {group}: {votes} of {len(members)} devices agree")
        status = DecodeStatus.FAILED if missing else DecodeStatus.EXACT
        return Decoded(gradient, status, "; ".join(missing), tuple(located))

    def _group_size(self, num_byzantine: int) -> int:
        return 2 * num_byzantine + 1 if self.load is None else self.load


def _equal(rows: Array, one: Array) -> HostBools:
    """Return which rows equal another one on all servers, bit for bit."""
    differs = to_host((rows != one).any(axis=1))
    equal: HostBools = agreed(differs.astype(np.float64)) == 0
    return equal


def majority_candidate(members: Array) -> int:
    """Return the row that holds a majority of all rows, if any row does.

    One streaming pass (Boyer and Moore) that compares each row with one
    candidate only. The caller counts whether the candidate has a majority.

    Parameters
    ----------
    members : array, shape (n, Q)
        Rows to be compared bit for bit; n ≥ 1.

    Returns
    -------
    int
        Row number of the candidate.
    """
    candidate, lead = 0, 0
    for row in range(len(members)):
        if lead == 0:
            candidate, lead = row, 1
        elif _equal(members[row : row + 1], members[candidate])[0]:
            lead += 1
        else:
            lead -= 1
    return candidate
