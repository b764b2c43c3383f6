"""The least time that a phase could take on the machine as the baseline measured it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.timing import COMMUNICATION
from analysis.work import assignment_of, declared_costs
from lad_mpi.errors import LadError
from lad_mpi.problems import CountedProblem, GradientWork
from lad_mpi.spec import parse_spec

if TYPE_CHECKING:
    from lad_mpi.logs import RunLog
    from lad_mpi.network import Network
    from lad_mpi.records import Baseline
    from lad_mpi.spec import Spec

#: Rates are measured in float64; float32 is twice as fast in the same registers.
_MEASURED_BYTES = 8


@dataclass(frozen=True, slots=True)
class Sizes:
    """What counts of a run for its bounds.

    Parameters
    ----------
    devices : int
        N.
    hosted : int
        Devices of the rank that hosts most.
    load : float
        d, subset gradients a device.
    gradient : GradientWork
        The least that the gradient of a subset takes.
    dimension : int
        Q.
    values : int
        Numbers in a message before compression.
    item_bytes : int
        Of a number.
    uplink_bytes, downlink_bytes : float
        Traffic of an iteration.
    gram : bool
        Whether the rule needs the products of all pairs of messages.
    several : bool
        Whether several device ranks work at once.
    network : Network or None
        The network that was emulated, if any was.
    """

    devices: int
    hosted: int
    load: float
    gradient: GradientWork
    dimension: int
    values: int
    item_bytes: int
    uplink_bytes: float
    downlink_bytes: float
    gram: bool
    several: bool
    network: Network | None = None


def sizes_of(run: RunLog) -> Sizes | None:
    """Read off a log what its bounds depend on; None where its spec says too little.

    Bounds are known on the host, for problems that say how much work a gradient is.
    """
    try:
        spec = parse_spec(run.spec)
    except LadError:
        return None
    if spec.backend.kind != "numpy" or not isinstance(spec.problem, CountedProblem):
        return None
    dimension, gradient = spec.problem.declared_dimension, spec.problem.gradient_work
    if dimension is None or gradient is None:
        return None
    hosts = max(1, run.ranks - 1)
    return Sizes(
        devices=spec.devices.count,
        hosted=-(-spec.devices.count // hosts),
        load=float(assignment_of(spec).loads.mean()),
        gradient=gradient,
        dimension=dimension,
        values=dimension * spec.coding.message_parts,
        item_bytes=np.dtype(spec.backend.dtype).itemsize,
        uplink_bytes=float(np.median(run.traffic["uplink_bytes"])),
        downlink_bytes=float(np.median(run.traffic["downlink_bytes"])),
        gram=_takes_pairs(spec),
        several=hosts > 1,
        network=spec.network.emulate,
    )


def phase_bounds(sizes: Sizes, baseline: Baseline, ranks: int) -> dict[str, float]:
    """Return the least time of each phase, in seconds; phases without a bound are left out.

    Parameters
    ----------
    sizes : Sizes
        Of the run.
    baseline : Baseline
        Of the same ranks.
    ranks : int
        P.

    Notes
    -----
    With n devices on the fullest rank, work counts once what has to be done:

    =============  =====================================================================
    phase          bound
    =============  =====================================================================
    compute        the greater of reading min(N, n d) subsets once, and of n d gradients at
                   the rate in a cache of the product that the problem names
    encode         reading n d vectors from a cache, and writing n
    pack           reading n vectors and writing n messages
    unpack         reading N messages and writing N vectors
    aggregate      reading N vectors; for rules on the Gram matrix no less than N (N + 1) Q
                   operations at the rate of GEMM
    update         three vectors read or written
    communication  bare Bcast of the model and bare Gather of the messages; on an emulated
                   network, what it takes for both
    =============  =====================================================================

    Bytes are divided by the bandwidth of copy at a working set of as many bytes,
    of all ranks at once where several device ranks work, of one alone otherwise.
    """
    machine = _Rates(baseline, sizes.item_bytes, together=sizes.several)
    alone = _Rates(baseline, sizes.item_bytes, together=False)
    n, d, item = sizes.hosted, sizes.load, sizes.item_bytes
    vectors, own = sizes.devices * sizes.values * item, n * sizes.values * item
    subsets = min(sizes.devices, n * d) * sizes.gradient.numbers * item
    messages = sizes.uplink_bytes / sizes.devices * n
    pairs = sizes.devices * (sizes.devices + 1) * sizes.values if sizes.gram else 0
    bounds = {
        "compute": max(
            machine.moving(subsets),
            machine.computing(sizes.gradient.product, n * d * sizes.gradient.operations),
        ),
        "encode": machine.cached(d * own) + machine.moving(own),
        "pack": machine.moving(own + messages),
        "unpack": alone.moving(sizes.uplink_bytes + vectors),
        "aggregate": max(alone.moving(vectors), alone.computing("gemm", pairs)),
        "update": alone.moving(3 * sizes.dimension * item),
    }
    bounds |= _communication(sizes, baseline, ranks)
    return {phase: bound for phase, bound in bounds.items() if math.isfinite(bound)}


def _communication(sizes: Sizes, baseline: Baseline, ranks: int) -> dict[str, float]:
    network = sizes.network
    if network is not None:
        sent = network.broadcast_s(sizes.downlink_bytes, sizes.devices)
        received = network.gather_s(sizes.uplink_bytes)
        # One rank waits for nobody, and its collectives count as phases of their own.
        apart = {"broadcast": sent, "gather": received}
        return {COMMUNICATION: sent + received} if ranks > 1 else apart
    bare = [baseline.at("bcast", sizes.downlink_bytes), baseline.at("gather", sizes.uplink_bytes)]
    measured = [seconds for seconds in bare if seconds is not None]
    return {COMMUNICATION: sum(measured)} if ranks > 1 and len(measured) == len(bare) else {}


class _Rates:
    """Bandwidth and rate of arithmetic of one rank."""

    def __init__(self, baseline: Baseline, item_bytes: int, *, together: bool) -> None:
        self._baseline = baseline
        self._kind = "each" if together else "alone"
        self._faster = _MEASURED_BYTES / item_bytes

    def moving(self, size_bytes: float) -> float:
        """Return the seconds to move so many bytes, which are not in a nearer cache."""
        return self._over(size_bytes, self._baseline.at(f"copy_{self._kind}", size_bytes))

    def cached(self, size_bytes: float) -> float:
        """Return the seconds to move so many bytes within the nearest cache."""
        return self._over(size_bytes, self._baseline.at(f"copy_{self._kind}", 0))

    def computing(self, product: str, operations: float) -> float:
        """Return the seconds of so many operations, at the rate of a product in the caches."""
        rate = self._baseline.at(f"{product}_{self._kind}", 0)
        return self._over(operations, None if rate is None else rate * self._faster)

    @staticmethod
    def _over(work: float, rate: float | None) -> float:
        return math.nan if rate is None else work / rate


def _takes_pairs(spec: Spec) -> bool:
    return any(cost is not None and cost.takes_pairs for _, cost in declared_costs(spec))
