"""The sizes of an iteration, from its spec, and the terms of the cost model."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.facts import assignment_of, batch_of, declared_costs, encoded_vectors
from analysis.timing import COMMUNICATION
from lad_mpi.aggregation import Cost, Term
from lad_mpi.coding import DispersionCode
from lad_mpi.spec import check_dimension, parse_spec, set_dotted, to_mapping
from lad_mpi.theory import sampled_dispersion
from lad_mpi.types import broadcast_bytes, device_ranks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lad_mpi.coding import Assignment
    from lad_mpi.network import Network
    from lad_mpi.spec import Spec


@dataclass(frozen=True, slots=True)
class Workload:
    """The sizes of an iteration on a number of ranks.

    Parameters
    ----------
    ranks : int
        P.
    devices, byzantine : int
        N and f.
    load : float
        d, subsets per device.
    dimension : int
        Q.
    samples : int
        Samples of a subset that an iteration uses; 1 if only the data say how many.
    hosted : int
        n, devices of the rank that hosts most.
    gradients : float
        Batches of which this rank computes gradients, once for each device that needs them
        or, with ``compute = "shared"``, once.
    encoded : float
        Vectors that a device adds up after its gradients.
    values : int
        Numbers in a message before compression.
    item_bytes : int
        Size of a number.
    slot_bytes : float
        Size of a message as sent.
    downlink_bytes : float
        Size of the broadcast.
    rule_work : float
        Leading term of the costs that the parts of the rule declare; N Q if none is
        declared.
    undeclared : tuple of str
        Parts of the rule that declare no cost.
    scatter : float
        Expected dispersion of honest messages before compression, in units of β²; NaN if the
        code has no law.
    groups : tuple of (str, str)
        For each term of the cost model, the kinds of components that share its coefficients.
    """

    ranks: int
    devices: int
    byzantine: int
    load: float
    dimension: int
    samples: int
    hosted: int
    gradients: float
    encoded: float
    values: int
    item_bytes: int
    slot_bytes: float
    downlink_bytes: float
    rule_work: float
    undeclared: tuple[str, ...]
    scatter: float
    groups: tuple[tuple[str, str], ...]

    @property
    def uplink_bytes(self) -> float:
        """Size of all messages."""
        return self.devices * self.slot_bytes

    @property
    def hops(self) -> int:
        """Depth of a binomial tree over the ranks."""
        return math.ceil(math.log2(self.ranks))

    def group(self, term: str) -> str:
        """Return the kinds of components that share the coefficients of a term."""
        return dict(self.groups)[term]


def workload_of(
    mapping: Mapping[str, Any], ranks: int, dimension: int, header_bytes: float
) -> Workload:
    """Work out the sizes of a spec.

    Parameters
    ----------
    mapping : mapping
        The spec, which is checked.
    ranks : int
        P.
    dimension : int
        Q.
    header_bytes : float
        Size of a message without its payload.

    Raises
    ------
    SpecError
        The spec is not valid, its codec does not fit the dimension, or a component is not
        installed.
    """
    spec = parse_spec(mapping)
    count, dtype = spec.devices.count, np.dtype(spec.backend.dtype)
    hosted = -(-count // device_ranks(ranks))
    values = dimension * spec.coding.message_parts
    check_dimension(spec, values)
    assignment = assignment_of(spec)
    load = float(assignment.loads.mean())
    shared = spec.compute == "shared"
    costs = declared_costs(spec)
    return Workload(
        ranks=ranks,
        devices=count,
        byzantine=spec.devices.byzantine,
        load=load,
        dimension=dimension,
        samples=batch_of(spec) or spec.devices.batch_size or 1,
        hosted=hosted,
        gradients=_distinct(spec, assignment, hosted) if shared else hosted * load,
        encoded=encoded_vectors(spec),
        values=values,
        item_bytes=dtype.itemsize,
        slot_bytes=header_bytes + spec.compression.payload_bytes(values, dtype),
        downlink_bytes=broadcast_bytes(dimension, dtype.itemsize),
        rule_work=_leading(costs).size(count, spec.devices.num_byzantine, values),
        undeclared=tuple(kind for kind, cost in costs if cost is None),
        scatter=_scatter(spec),
        groups=_groups(spec, ranks),
    )


def grown(mapping: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a spec with some dotted keys changed."""
    changed = copy.deepcopy(dict(mapping))
    for key, value in changes.items():
        set_dotted(changed, key, value)
    return changed


def payload_bytes(mapping: Mapping[str, Any], dimension: int) -> int:
    """Return the bytes of a message without its header."""
    spec = parse_spec(mapping)
    values = dimension * spec.coding.message_parts
    return int(spec.compression.payload_bytes(values, np.dtype(spec.backend.dtype)))


def _leading(costs: list[tuple[str, Cost | None]]) -> Term:
    every_message_once = Term(n=1, Q=1)
    terms = [term for _, cost in costs if cost is not None for term in cost.terms]
    return Cost(every_message_once, *terms).leading


def _scatter(spec: Spec) -> float:
    code, devices = spec.coding, spec.devices
    if not isinstance(code, DispersionCode):
        return math.nan
    return sampled_dispersion(
        code.variance_factor(devices.count, devices.num_byzantine),
        0.0,
        num_devices=devices.count,
        num_honest=devices.count - devices.byzantine,
    )


def _distinct(spec: Spec, assignment: Assignment, hosted: int) -> float:
    """Return how many distinct subsets the fullest rank needs, on average over assignments.

    A code that varies assigns its N rows at random. If h rows contain a subset, n random
    rows miss all of them with probability C(N−h, n) / C(N, n). Other codes always assign the
    same rows, and the first rank hosts the first of them.
    """
    count = spec.devices.count
    if not spec.coding.varies:
        part = assignment.part(slice(0, hosted), slice(None))
        return float(len(np.unique(part[part >= 0])))
    subsets = assignment.subsets
    holders = np.bincount(subsets[subsets >= 0], minlength=count)
    ways = math.comb(count, hosted)
    return sum(
        int(number) * (1 - math.comb(count - int(held), hosted) / ways)
        for held, number in zip(*np.unique(holders, return_counts=True), strict=True)
    )


def _groups(spec: Spec, ranks: int) -> tuple[tuple[str, str], ...]:
    plain = to_mapping(spec)
    where = f"{spec.backend.kind} {spec.backend.dtype}"
    devices = f"{where}, shared" if spec.compute == "shared" else where
    codec, code = spec.compression.kind, spec.coding.kind
    rule = plain.get("aggregation")
    # An emulated network has coefficients of its own.
    wire = "".join(f", {key} {value}" for key, value in plain.get("network", {}).items())
    steps = code if rule is None else " ".join([*(s["kind"] for s in rule["pre"]), rule["kind"]])
    return (
        ("compute", f"{spec.model.kind}, {devices}"),
        ("encode", f"{code}, {devices}"),
        ("pack", f"{codec}, {where}"),
        ("communication", ("between ranks" if ranks > 1 else "within one rank") + wire),
        ("unpack", f"{codec}, {where}"),
        ("aggregate", f"{steps}, {where}"),
        ("update", where),
    )


def _vector_and_message_bytes(w: Workload) -> float:
    return w.values * w.item_bytes + w.slot_bytes


#: The sizes in which each term is linear, by name, in addition to a constant. The last one
#: grows fastest with the machine.
TERMS: dict[str, dict[str, Callable[[Workload], float]]] = {
    "compute": {"samples a rank × Q": lambda w: w.gradients * w.samples * w.dimension},
    "encode": {"vectors added by a rank × Q": lambda w: w.hosted * w.encoded * w.values},
    "pack": {"bytes packed by a rank": lambda w: w.hosted * _vector_and_message_bytes(w)},
    COMMUNICATION: {
        "log₂ P": lambda w: float(w.hops),
        "log₂ P × downlink + uplink bytes": lambda w: w.hops * w.downlink_bytes + w.uplink_bytes,
    },
    "unpack": {"bytes unpacked": lambda w: w.devices * _vector_and_message_bytes(w)},
    "aggregate": {"work of the rule": lambda w: w.rule_work},
    "update": {"Q": lambda w: float(w.dimension)},
}


def features(term: str, workload: Workload) -> list[float]:
    """Return the columns of a term at a workload: 1, then those of :data:`TERMS`."""
    return [1.0, *(column(workload) for column in TERMS[term].values())]


def network_seconds(workload: Workload, network: Network) -> float:
    """Return the seconds of both collectives on a network.

    Notes
    -----
    Every rank is a machine. The broadcast is a binomial tree over P ranks, and all messages
    share the link of the server, as in :class:`~lad_mpi.network.Network`. A single rank
    sends nothing.
    """
    if workload.ranks == 1:
        return 0.0
    sent = network.broadcast_s(int(workload.downlink_bytes), workload.ranks - 1)
    return sent + network.gather_s(int(workload.uplink_bytes))
