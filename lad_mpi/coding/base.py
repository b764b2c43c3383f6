"""What a gradient code offers: who computes what, and how it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from lad_mpi.rng import Streams
    from lad_mpi.types import Array, HostFloats, HostInts


class Assignment:
    """The subsets that each device computes in one iteration, and their weights.

    Device i sends g_i = Σ_j w_ij ∇f_{subsets[i, j]}.

    Parameters
    ----------
    subsets : ndarray of int64, shape (N, d)
        Subset numbers; -1 pads the rows of devices with fewer than d, at the end.
    weights : ndarray of float64 or complex128, shape (N, 1) or (N, d)
        Encoding weights; with one column all subsets of a device weigh the same.
        A device with complex weights sends the real parts of its coded vector and
        then the imaginary parts, 2Q real numbers.
    """

    def __init__(self, subsets: HostInts, weights: npt.NDArray[np.inexact[Any]]) -> None:
        self._subsets = subsets
        self.weights = weights

    @property
    def subsets(self) -> HostInts:
        """All subset numbers, int64, shape (N, d); a call may allocate this array."""
        return self._subsets

    @property
    def max_load(self) -> int:
        """d, the most subsets of a device."""
        return int(self._subsets.shape[1])

    def part(self, devices: slice, columns: slice) -> HostInts:
        """Return some columns of the subsets of some devices.

        Parameters
        ----------
        devices, columns : slice
            Contiguous, of ``range(N)`` and ``range(d)``.

        Returns
        -------
        ndarray of int64, shape (devices, columns)
        """
        return self._subsets[devices, columns]

    @property
    def weight_parts(self) -> tuple[HostFloats, ...]:
        """The weights of each part of a message: one real array, or real and imaginary."""
        if np.iscomplexobj(self.weights):
            return self.weights.real, self.weights.imag
        return (self.weights.real,)

    @property
    def loads(self) -> HostInts:
        """Number of subsets of each device, int64, shape (N,)."""
        loads: HostInts = np.count_nonzero(self.subsets >= 0, axis=1).astype(np.int64)
        return loads

    def mixing_matrix(self, num_subsets: int) -> npt.NDArray[np.inexact[Any]]:
        """Return W with g = W ∇f, of the weights' dtype, shape (N, num_subsets)."""
        present = self.subsets >= 0
        weights = np.broadcast_to(self.weights, self.subsets.shape)
        matrix = np.zeros((len(self.subsets), num_subsets), dtype=self.weights.dtype)
        rows = np.nonzero(present)[0]
        np.add.at(matrix, (rows, self.subsets[present]), weights[present])
        return matrix

    def encode(self, gradients: HostFloats) -> HostFloats:
        """Return what honest devices send, given all subset gradients.

        Parameters
        ----------
        gradients : ndarray, shape (N, Q)
            Row k holds ∇f_k.

        Returns
        -------
        ndarray of the gradients' dtype, shape (N, Q), or (N, 2Q) for complex weights
        """
        size = len(gradients)
        parts = [Assignment(self.subsets, part) for part in self.weight_parts]
        # One product a device: those with equal weights must agree in every bit.
        coded = [np.stack([row @ gradients for row in part.mixing_matrix(size)]) for part in parts]
        return np.concatenate(coded, axis=1).astype(gradients.dtype, copy=False)


class DecodeStatus(IntEnum):
    """The outcome of a decoder, by the numbers that a log holds."""

    NOT_USED = 0
    EXACT = 1
    FAILED = 2


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Result of a decoder.

    Parameters
    ----------
    gradient : array, shape (Q,)
        ∇F if ``status`` is EXACT, otherwise the best attempt of the decoder.
    status : DecodeStatus
        Whether the result passed the decoder's own check.
    detail : str
        Why it failed; empty if it did not.
    located : tuple of int
        Devices whose messages were left out, because they were wrong or not needed.
    """

    gradient: Array
    status: DecodeStatus
    detail: str = ""
    located: tuple[int, ...] = ()


@runtime_checkable
class Code(Protocol):
    """A gradient code: a frozen description, without state."""

    kind: ClassVar[str]

    #: Whether messages must arrive exactly as computed, which no lossy codec allows.
    needs_exact_messages: ClassVar[bool]

    #: Vectors of Q numbers in a message: 1, or 2 where weights are complex.
    message_parts: ClassVar[int]

    #: Whether the assignment is drawn anew every iteration.
    @property
    def varies(self) -> bool:
        """Whether :meth:`assign` depends on the iteration."""

    def check(self, num_devices: int, num_byzantine: int) -> None:
        """Refuse parameters that cannot work.

        Raises
        ------
        ParameterError
            A parameter does not fit the number of devices or faults.
        """

    def assign(
        self, num_devices: int, num_byzantine: int, streams: Streams, iteration: int
    ) -> Assignment:
        """Draw the assignment of one iteration; every rank draws the same one."""


@runtime_checkable
class ExactCode(Code, Protocol):
    """A code that says for which sizes it gives ∇F exactly.

    The analysis measures other methods by those that are exact.
    """

    def recovers_exactly(self, num_devices: int, num_byzantine: int) -> bool:
        """Return whether the server gets the exact ∇F in spite of f arbitrary messages.

        Either the decoder recovers ∇F from exact messages, or every honest device sends
        ∇F itself.
        """


@runtime_checkable
class DispersionCode(Code, Protocol):
    """A code whose messages scatter about ∇F by a known law.

    The law holds for codes in which every message has one part, the mean of the N coded
    vectors is ∇F, and the vectors are assigned to devices at random. The honest vectors
    are then a sample without replacement.
    """

    def variance_factor(self, num_devices: int, num_byzantine: int) -> float:
        r"""Return V/β², or NaN if no law holds for these parameters.

        :math:`V = E \lVert g_i - \nabla F \rVert^2` over the assignment, and
        :math:`β^2 = \frac1N \sum_k \lVert \nabla f_k - \nabla F \rVert^2`.
        """


@runtime_checkable
class DecodingCode(Code, Protocol):
    """A code that recovers ∇F itself, so that no aggregation rule is needed."""

    def decode(
        self,
        messages: Array,
        assignment: Assignment,
        num_byzantine: int,
        *,
        streams: Streams,
        iteration: int,
    ) -> Decoded:
        """Recover ∇F from the messages.

        If the decoder fails, the status says so. For finite messages it never raises an
        error, and never returns a value that is not finite.

        Parameters
        ----------
        messages : array, shape (N, message_parts · Q)
            Finite messages, row i from device i; not changed.
        assignment : Assignment
            The assignment that the devices used.
        num_byzantine : int
            f, how many rows may be wrong.
        streams : Streams
            The run's random streams, for projections that no device can predict.
        iteration : int
            The iteration, so that each has new projections.
        """
