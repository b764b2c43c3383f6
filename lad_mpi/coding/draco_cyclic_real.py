"""The cyclic code of DRACO with its passband centred: real, positive, well conditioned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np

from lad_mpi.coding.base import Assignment, Decoded
from lad_mpi.coding.checks import Evidence, conclude, fourier_checks
from lad_mpi.coding.locate import locate_errors
from lad_mpi.coding.projections import project
from lad_mpi.errors import ParameterError
from lad_mpi.parameters import Count, Example, check_parameters
from lad_mpi.rng import Purpose

if TYPE_CHECKING:
    from lad_mpi.rng import Streams
    from lad_mpi.types import Array, HostFloats


@dataclass(frozen=True, slots=True)
class DracoCyclicReal:
    r"""Each device sends a positive weighted mean of ``load`` subsets; wrong messages are located.

    Parameters
    ----------
    load : int, optional
        d, the number of subsets a device computes: 2f+1 ≤ d ≤ N, odd if N is odd and even
        if N is even. If left out, the least such number. A larger d locates errors better.

    Notes
    -----
    In every iteration a new permutation τ gives device i the row r = τ(i). The device
    sends

    .. math:: m_i = \sum_{t=0}^{d-1} w_t \nabla f_{(r+t) \bmod N}, \qquad
              w_t \propto \prod_{l=d}^{N-1} \left|\sin\frac{\pi (t-l)}{N}\right|, \quad
              \sum_t w_t = 1.

    The Fourier transform of w over N points vanishes at the d−1 frequencies around N/2.
    The mean of all messages is therefore ∇F, and at these frequencies the transform of
    the received messages is the transform of the errors alone. A few random projections
    of it locate the wrong rows, and a combination of the others gives ∇F. This takes two
    passes over the messages.

    The permutation is part of the code. Adjacent rows are hard to distinguish: with
    N=100 and f=20, twenty adjacent wrong rows defeat the decoder in float64.

    EXACT promises an error below 5·10⁻⁷ of a subset gradient in float64 and below 2·10⁻³
    in float32. In float32 it is rarer: with N=100, f=20 and all f messages wrong, the
    status is FAILED in a tenth of the iterations or more. A larger load helps.

    References
    ----------
    After Chen, Wang, Charles, Papailiopoulos, "DRACO: Byzantine-resilient distributed
    training via redundant gradients", ICML 2018, arXiv:1803.09877.
    """

    load: Annotated[Count | None, Example(41)] = None

    kind: ClassVar[str] = "draco_cyclic_real"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[str] = "d gradients; decoding O(NQ) for large Q"
    needs_exact_messages: ClassVar[bool] = True
    message_parts: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_parameters(self)

    @property
    def varies(self) -> bool:
        """Whether the assignment is drawn anew every iteration: always."""
        return True

    def check(self, num_devices: int, num_byzantine: int) -> None:
        """Refuse windows that cannot tell f errors or whose stopband is not centred."""
        least = 2 * num_byzantine + 1
        load = self._window(num_devices, num_byzantine)
        if not least <= load <= num_devices or (num_devices - load) % 2:
            parity = "even" if num_devices % 2 == 0 else "odd"
            raise ParameterError(
                "load",
                f"must be {parity} and between 2f+1 = {least} and the number of devices "
                f"{num_devices}, not {load}",
                hint="leave coding.load out, or lower devices.byzantine",
            )

    def assign(
        self, num_devices: int, num_byzantine: int, streams: Streams, iteration: int
    ) -> Assignment:
        """Draw τ and lay out the windows."""
        load = self._window(num_devices, num_byzantine)
        rows = streams.permutation(Purpose.DEVICE_ROWS, iteration, num_devices)
        subsets = (rows[:, None] + np.arange(load)) % num_devices
        weights = window_weights(num_devices, load)
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
        """Locate the wrong rows and combine the others; see :class:`DecodingCode`."""
        num_devices, load = assignment.subsets.shape
        # A device's first subset is the row that it took.
        checks, nodes = fourier_checks(
            assignment.subsets[:, 0], (num_devices - load + 2) // 2, load - 1
        )
        projections = project(messages, streams, iteration)
        epsilon = float(np.finfo(messages.dtype).eps)
        evidence = Evidence(checks, nodes, projections, epsilon)
        located = locate_errors(evidence, num_byzantine)
        return conclude(messages, evidence, located, assignment.weights[0], num_byzantine)

    def _window(self, num_devices: int, num_byzantine: int) -> int:
        if self.load is not None:
            return self.load
        return 2 * num_byzantine + 1 + (num_devices + 1) % 2


def window_weights(num_devices: int, load: int) -> HostFloats:
    """Return the encoding weights w, positive and of sum one, float64, shape (load,)."""
    outside = np.arange(load, num_devices)
    # Products of up to N sines underflow, so they are formed as sums of logarithms.
    sines = np.abs(np.sin(np.pi * (np.arange(load)[:, None] - outside) / num_devices))
    logarithms = np.log(sines).sum(axis=1)
    weights: HostFloats = np.exp(logarithms - logarithms.max())
    weights /= weights.sum()
    return weights
