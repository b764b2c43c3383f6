"""Lower bounds of the phases from the baseline, and what a drift of the machine voids."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from analysis.facts import assignment_of, batch_of, declared_costs, encoded_vectors
from analysis.timing import COMMUNICATION
from lad_mpi.errors import LadError, UsageError
from lad_mpi.metrics.names import DOWNLINK_BYTES, UPLINK_BYTES
from lad_mpi.models import CountedModel, GradientWork
from lad_mpi.records import compare_baselines
from lad_mpi.spec import parse_spec
from lad_mpi.types import device_ranks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analysis.scaling.load import CaseRuns, ScalingStudy
    from lad_mpi.logs import RunLog
    from lad_mpi.network import Network
    from lad_mpi.records import Baseline, Drift
    from lad_mpi.spec import Spec


#: Size of the numbers in the baseline. Arithmetic in float32 is twice as fast.
_MEASURED_BYTES = 8


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of a run on which its bounds depend.

    Parameters
    ----------
    devices : int
        N.
    hosted : int
        Devices of the rank that hosts most.
    load : float
        d, subsets per device.
    encoded : float
        Vectors that a device adds up after its gradients.
    gradient : GradientWork
        Least work of the gradients of the rank that hosts most.
    distinct : GradientWork
        Least work of one gradient over the distinct batches of this rank.
    dimension : int
        Q.
    values : int
        Numbers in a message before compression.
    item_bytes : int
        Size of a number.
    uplink_bytes, downlink_bytes : float
        Traffic of an iteration.
    gram : bool
        Whether the rule needs the inner products of all pairs of messages.
    several : bool
        Whether several device ranks work at the same time.
    share : float
        Share of the columns of the server that holds most; 1 with one server.
    network : Network or None
        The emulated network, if there was one.
    """

    devices: int
    hosted: int
    load: float
    encoded: float
    gradient: GradientWork
    distinct: GradientWork
    dimension: int
    values: int
    item_bytes: int
    uplink_bytes: float
    downlink_bytes: float
    gram: bool
    several: bool
    share: float = 1.0
    network: Network | None = None


def sizes_of(run: RunLog) -> Sizes | None:
    """Return the sizes in a log on which its bounds depend; None if there are no bounds.

    There are bounds on the host, for models that declare the work of a gradient, on data that
    are drawn.
    """
    try:
        spec = parse_spec(run.spec)
        form = spec.data.form(spec.model.task)
    except LadError:
        return None
    batch = batch_of(spec)
    if spec.backend.kind != "numpy" or not isinstance(spec.model, CountedModel):
        return None
    if form is None or batch is None:
        return None
    hosts, count = device_ranks(run.ranks, run.servers), spec.devices.count
    hosted = -(-count // hosts)
    load = float(assignment_of(spec).loads.mean())
    dimension = spec.model.dimension_of(form)
    distinct = min(count, hosted * load)
    # A rank that computes each gradient once has at least those of one device.
    gradients = load if spec.compute == "shared" else hosted * load
    return Sizes(
        devices=count,
        hosted=hosted,
        load=load,
        encoded=encoded_vectors(spec),
        gradient=spec.model.gradient_work(form, round(gradients * batch)),
        distinct=spec.model.gradient_work(form, round(distinct * batch)),
        dimension=dimension,
        values=dimension * spec.coding.message_parts,
        item_bytes=np.dtype(spec.backend.dtype).itemsize,
        uplink_bytes=float(np.median(run.traffic[UPLINK_BYTES])),
        downlink_bytes=float(np.median(run.traffic[DOWNLINK_BYTES])),
        gram=_takes_pairs(spec),
        several=hosts > 1,
        share=spec.largest_share(
            dimension * spec.coding.message_parts, int(run.provenance.get("server_ranks", 1))
        ),
        network=spec.network.emulate,
    )


def phase_bounds(sizes: Sizes, baseline: Baseline, ranks: int) -> dict[str, float]:
    """Return lower bounds of the phases, in seconds. Phases without a bound are omitted.

    Parameters
    ----------
    sizes : Sizes
        Sizes of the run.
    baseline : Baseline
        Baseline at the same P.
    ranks : int
        P.

    Notes
    -----
    With n devices on the rank that hosts most:

    =============  =====================================================================
    phase          bound
    =============  =====================================================================
    compute        the larger of reading the batches of min(N, n d) subsets and the model
                   once, and of the operations of n gradients over d batches at the cached
                   rate of the product that the model declares
    encode         with compute = "shared" reading n d vectors from a cache, and writing n;
                   with momentum alone reading and writing n; otherwise no bound
    pack           reading n vectors and writing n messages
    unpack         reading N messages and writing N vectors
    aggregate      reading N vectors; for rules on the Gram matrix at least N (N + 1) Q
                   operations at the rate of GEMM
    update         reading or writing three vectors
    communication  plain Bcast of the model and plain Gather of the messages; on an emulated
                   network, its time for both
    =============  =====================================================================

    S servers share the work on messages, and each receives a part of them.

    Bytes are divided by the bandwidth of copy with a working set of as many bytes. If several
    device ranks work, it is the bandwidth while all ranks copy, otherwise that of one rank.
    """
    machine = _Rates(baseline, sizes.item_bytes, together=sizes.several)
    alone = _Rates(baseline, sizes.item_bytes, together=False)
    n, item = sizes.hosted, sizes.item_bytes
    vectors, own = sizes.devices * sizes.values * item, n * sizes.values * item
    messages = sizes.uplink_bytes / sizes.devices * n
    pairs = sizes.devices * (sizes.devices + 1) * sizes.values if sizes.gram else 0
    bounds = {
        "compute": max(
            machine.moving(sizes.distinct.numbers * item),
            machine.computing(sizes.gradient.product, sizes.gradient.operations),
        ),
        "pack": machine.moving(own + messages),
        "unpack": alone.moving((sizes.uplink_bytes + vectors) * sizes.share),
        "aggregate": max(
            alone.moving(vectors * sizes.share), alone.computing("gemm", pairs * sizes.share)
        ),
        "update": alone.moving(3 * sizes.dimension * item * sizes.share),
    }
    if sizes.encoded:
        bounds["encode"] = machine.cached(sizes.encoded * own) + machine.moving(own)
    bounds |= _communication(sizes, baseline, ranks)
    return {phase: bound for phase, bound in bounds.items() if math.isfinite(bound)}


def _communication(sizes: Sizes, baseline: Baseline, ranks: int) -> dict[str, float]:
    network = sizes.network
    if network is not None:
        sent = network.broadcast_s(sizes.downlink_bytes, sizes.devices)
        received = network.gather_s(sizes.uplink_bytes * sizes.share)
        # With one rank there is no waiting, and the collectives are phases of their own.
        apart = {"broadcast": sent, "gather": received}
        if ranks > 1:
            return {COMMUNICATION: sent + received, "gather": received}
        return apart
    # The links of the servers are not known, so bytes are not divided by their number.
    bare = [baseline.at("bcast", sizes.downlink_bytes), baseline.at("gather", sizes.uplink_bytes)]
    if sizes.share < 1:
        return {}
    measured = [seconds for seconds in bare if seconds is not None]
    return {COMMUNICATION: sum(measured)} if ranks > 1 and len(measured) == len(bare) else {}


class _Rates:
    """Bandwidth and arithmetic rate of one rank."""

    def __init__(self, baseline: Baseline, item_bytes: int, *, together: bool) -> None:
        self._baseline = baseline
        self._kind = "each" if together else "alone"
        self._faster = _MEASURED_BYTES / item_bytes

    def moving(self, size_bytes: float) -> float:
        """Return the seconds to move bytes from the memory or cache in which they fit."""
        return self._over(size_bytes, self._baseline.at(f"copy_{self._kind}", size_bytes))

    def cached(self, size_bytes: float) -> float:
        """Return the seconds to move bytes within the nearest cache."""
        return self._over(size_bytes, self._baseline.at(f"copy_{self._kind}", 0))

    def computing(self, product: str, operations: float) -> float:
        """Return the seconds of operations at the cached rate of a product."""
        rate = self._baseline.at(f"{product}_{self._kind}", 0)
        return self._over(operations, None if rate is None else rate * self._faster)

    @staticmethod
    def _over(work: float, rate: float | None) -> float:
        return math.nan if rate is None else work / rate


def _takes_pairs(spec: Spec) -> bool:
    return any(cost is not None and cost.takes_pairs for _, cost in declared_costs(spec))


#: Quantities that no bound uses, because no phase does such work.
_NO_PHASE = ("hdf5_append", "ping_pong", "triad_alone", "triad_each")
_TOGETHER = "_together"
_GPU = ("gpu_copy", "gpu_gemm", "host_to_device", "device_to_host")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The bounds of a case, and what a drift at its P voids.

    Parameters
    ----------
    bounds : dict of float
        Valid lower bounds in seconds, by phase.
    lost : dict of str
        Why other bounds are void, by phase.
    drift : str
        Why comparisons of the case are void; empty if they are not.
    """

    bounds: dict[str, float] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    drift: str = ""


def judge_drift(case: CaseRuns, study: ScalingStudy, seconds: Mapping[str, float]) -> Verdict:
    """Bound the phases of a case, and decide what the drift of the machine voids.

    Parameters
    ----------
    case : CaseRuns
        A case with valid launches.
    study : ScalingStudy
        Its study.
    seconds : mapping of float
        Measured seconds of an iteration, by phase.

    Notes
    -----
    The bounds are computed again with the later values of the quantities that drifted. A
    bound is void if it changes by more than the threshold of the study. Comparisons of the
    case are void if the time of an iteration would change by more than the threshold,
    supposing that each phase changes in proportion to its bound. A quantity that no phase
    depends on therefore voids nothing. If there are no bounds, any quantity that an
    iteration could depend on voids comparisons.
    """
    ranks = case.case.ranks
    baseline, sizes = study.baselines.get(ranks), sizes_of(case.runs[0])
    # An oversubscribed baseline gives no bounds.
    if baseline is None or baseline.oversubscribed:
        return Verdict()
    drifts = _drifts(baseline, study.later_baselines.get(ranks), study.record.drift)
    if sizes is None:
        known = [drift for drift in drifts if _may_count(drift, case)]
        return Verdict(drift=_words(ranks, known) if known else "")
    bounds = phase_bounds(sizes, baseline, ranks)

    def bounds_after(some: Sequence[Drift]) -> dict[str, float]:
        return phase_bounds(sizes, _with(baseline, some), ranks)

    drifts = [drift for drift in drifts if bounds_after([drift]) != bounds]
    later = bounds_after(drifts)
    changes = {phase: abs(later[phase] / bound - 1) for phase, bound in bounds.items() if bound}
    limit = study.record.drift
    lost = [phase for phase, change in changes.items() if change > limit]
    whole = sum(change * seconds.get(phase, 0.0) for phase, change in changes.items())
    words = _words(ranks, drifts) if drifts else ""
    return Verdict(
        bounds={phase: bound for phase, bound in bounds.items() if phase not in lost},
        lost=dict.fromkeys(lost, words),
        drift=words if whole > limit * sum(seconds.values()) else "",
    )


def _drifts(before: Baseline, after: Baseline | None, threshold: float) -> list[Drift]:
    if after is None:
        return []
    try:
        return compare_baselines(before, after, threshold=threshold)
    except UsageError:
        # The machines differ. That voids the study, and its record says so.
        return []


def _with(baseline: Baseline, drifts: Sequence[Drift]) -> Baseline:
    """Return a baseline in which some quantities have their later medians."""
    later = {drift.key: drift.after for drift in drifts}
    quantities = [
        dataclasses.replace(one, samples=(later[one.key],)) if one.key in later else one
        for one in baseline.quantities
    ]
    return dataclasses.replace(baseline, quantities=tuple(quantities))


def _may_count(drift: Drift, case: CaseRuns) -> bool:
    backend = case.runs[0].spec.get("backend", {}).get("kind", "numpy")
    if drift.name in _NO_PHASE or drift.name.endswith(_TOGETHER):
        return False
    return drift.name not in _GPU or backend == "cupy"


def _words(ranks: int, drifts: Sequence[Drift]) -> str:
    most = max(drifts, key=lambda drift: abs(drift.change))
    others = f", and {len(drifts) - 1} more" if len(drifts) > 1 else ""
    return f"the machine drifted at P = {ranks}: {most}{others}"
