"""The cyclic code of DRACO as published, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lad_mpi.coding.base import Assignment, Decoded
from lad_mpi.coding.checks import Evidence, HostComplex, conclude, fourier_checks
from lad_mpi.coding.projections import project
from lad_mpi.errors import ParameterError

if TYPE_CHECKING:
    from lad_mpi.rng import Streams
    from lad_mpi.types import Array, HostInts


@dataclass(frozen=True, slots=True)
class DracoCyclic:
    r"""Each device sends a complex combination of 2f+1 subsets; the decoder leaves out f errors.

    Notes
    -----
    With ω = exp(−2πi/N), device i holds the subsets i … i+2f (mod N) and sends
    the real and imaginary parts of :math:`\sum_j W_{ij} \nabla f_j` with

    .. math:: W_{ij} = \frac{1}{N} \prod_{l:\, j \notin B_l} (1 - \omega^{i-l}),

    the closed form of the published encoding matrix, over √N so that the mean of
    all messages is ∇F. The Fourier transform of W over devices vanishes at the
    last 2f frequencies. The decoder is the published one. It computes the
    syndromes of one random projection, the coefficients of the polynomial that locates
    the errors, and its values at the N roots of unity. Then it combines the other
    messages. Two things differ: it takes the f least values, not those below an absolute
    threshold, and it checks the result.

    The weights cancel and grow. At N=100 they reach 7·10⁷ for f=5, so that the error of
    ∇F is 1e-7, and 5·10¹¹ for f=20, where the status is always FAILED because float64
    cannot hold such weights and their sum. Use ``draco_cyclic_real`` instead.

    References
    ----------
    Chen, Wang, Charles, Papailiopoulos, "DRACO: Byzantine-resilient distributed
    training via redundant gradients", ICML 2018, arXiv:1803.09877.
    """

    kind: ClassVar[str] = "draco_cyclic"
    cost: ClassVar[str] = "2f+1 gradients; decoding O(NQ) for large Q"
    needs_exact_messages: ClassVar[bool] = True
    message_parts: ClassVar[int] = 2

    @property
    def varies(self) -> bool:
        """Whether the assignment is drawn anew every iteration: never."""
        return False

    def check(self, num_devices: int, num_byzantine: int) -> None:
        """Refuse fewer devices than a device would hold subsets."""
        load = 2 * num_byzantine + 1
        if load > num_devices:
            raise ParameterError(
                "kind",
                f"draco_cyclic needs 2f+1 = {load} devices, and there are {num_devices}",
                hint="lower devices.byzantine",
            )

    def assign(
        self,
        num_devices: int,
        num_byzantine: int,
        streams: Streams,  # noqa: ARG002
        iteration: int,  # noqa: ARG002
    ) -> Assignment:
        """Give device i the subsets i … i+2f and its row of W."""
        load = 2 * num_byzantine + 1
        subsets = (np.arange(num_devices)[:, None] + np.arange(load)) % num_devices
        weights = encoding_weights(num_devices, load)
        return Assignment(subsets, np.tile(weights, (num_devices, 1)))

    def recovers_exactly(self, num_devices: int, num_byzantine: int) -> bool:  # noqa: ARG002
        """Tell that the decoder recovers ∇F, or says that it could not."""
        return True

    def decode(
        self,
        messages: Array,
        assignment: Assignment,
        num_byzantine: int,
        *,
        streams: Streams,
        iteration: int,
    ) -> Decoded:
        """Locate f rows and combine the others; see :class:`DecodingCode`."""
        num_devices = len(messages)
        rows = assignment.subsets[:, 0]
        # Conjugating C₂ turns the last 2f frequencies into 1 … 2f, with the sign reversed.
        count = 2 * num_byzantine
        checks, nodes = fourier_checks(-rows % num_devices, num_devices - count, count)
        projections = project(messages, streams, iteration, message_parts=self.message_parts)
        epsilon = float(np.finfo(messages.dtype).eps)
        evidence = Evidence(checks, nodes, projections, epsilon)
        located = _roots_of_locator(evidence, num_byzantine)
        return conclude(messages, evidence, located, assignment.weights[0], num_byzantine)


def encoding_weights(num_devices: int, load: int) -> HostComplex:
    """Return the weights that each device gives to its subsets, complex128, shape (load,)."""
    # Device i holds subset i+t; its non-holders are the devices i+t−u for u = load … N−1.
    turns = np.arange(load, num_devices) - np.arange(load)[:, None]
    factors = 1.0 - np.exp(-2j * np.pi * (turns % num_devices) / num_devices)
    weights: HostComplex = factors.prod(axis=1) / num_devices
    return weights


def _roots_of_locator(evidence: Evidence, most: int) -> HostInts:
    """Return the f rows at which the error locator polynomial is least."""
    overflowed = evidence.overflowed()
    values, scale = evidence.scaled(overflowed)
    if most == 0 or scale == 0.0:
        return overflowed[:most]
    syndromes = evidence.checks @ values[:, 0]
    # Any f+1 consecutive syndromes s_k = Σ e_r z_r^k satisfy Σ_j α_j s_{k+j} = −s_{k+f}.
    system = np.stack([syndromes[k : k + most] for k in range(most)])
    coefficients = np.linalg.lstsq(system, -syndromes[most:], rcond=None)[0]
    powers = evidence.nodes[:, None] ** np.arange(most + 1)
    locator = np.abs(powers @ np.append(coefficients, 1.0))
    locator[overflowed] = 0.0
    return np.sort(np.argsort(locator, kind="stable")[:most])
