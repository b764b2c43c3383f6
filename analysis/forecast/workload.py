"""What an iteration has to do, read off a spec: the sizes that a cost model counts with."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.work import gradients_per_iteration
from lad_mpi.spec import parse_spec, set_dotted, to_mapping
from lad_mpi.types import COMMAND_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        d, subset gradients a device.
    dimension : int
        Q.
    samples : int
        Samples a subset.
    hosted : int
        n, devices of the rank that hosts most.
    gradients : float
        Subset gradients that this rank computes.
    values : int
        Numbers in a message before compression.
    item_bytes : int
        Of a number.
    slot_bytes : float
        Of a message as sent.
    downlink_bytes : float
        Of the broadcast.
    pairs : bool
        Whether the rule takes the products of all pairs of messages.
    sorts : bool
        Whether it sorts the messages by coordinate.
    groups : tuple of (str, str)
        For each term of the cost model the kinds of components that its coefficients
        belong to.
    """

    ranks: int
    devices: int
    byzantine: int
    load: float
    dimension: int
    samples: int
    hosted: int
    gradients: float
    values: int
    item_bytes: int
    slot_bytes: float
    downlink_bytes: float
    pairs: bool
    sorts: bool
    groups: tuple[tuple[str, str], ...]

    @property
    def uplink_bytes(self) -> float:
        """Bytes of all messages."""
        return self.devices * self.slot_bytes

    @property
    def hops(self) -> int:
        """Depth of a binomial tree over the ranks."""
        return math.ceil(math.log2(self.ranks))

    def group(self, term: str) -> str:
        """Return whose coefficients a term takes."""
        return dict(self.groups)[term]


def workload_of(
    mapping: Mapping[str, Any], ranks: int, dimension: int, header_bytes: float
) -> Workload:
    """Work out the sizes of a spec.

    Parameters
    ----------
    mapping : mapping
        The spec; it is checked.
    ranks : int
        P.
    dimension : int
        Q.
    header_bytes : float
        What a message has beside its payload.

    Raises
    ------
    SpecError
        It cannot be run, or its components are not installed.
    """
    spec = parse_spec(mapping)
    count, dtype = spec.devices.count, np.dtype(spec.backend.dtype)
    hosted = -(-count // max(1, ranks - 1))
    values = dimension * spec.coding.message_parts
    load = _load_of(spec, mapping)
    costs = _costs(spec)
    return Workload(
        ranks=ranks,
        devices=count,
        byzantine=spec.devices.byzantine,
        load=load,
        dimension=dimension,
        samples=getattr(spec.problem, "samples_per_subset", None) or 1,
        hosted=hosted,
        gradients=_distinct(spec, hosted, load) if spec.compute == "shared" else hosted * load,
        values=values,
        item_bytes=dtype.itemsize,
        slot_bytes=header_bytes + spec.compression.payload_bytes(values, dtype),
        downlink_bytes=COMMAND_BYTES + dimension * dtype.itemsize,
        pairs="n²Q" in costs,
        sorts="log² n" in costs,
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


def _load_of(spec: Spec, mapping: Mapping[str, Any]) -> float:
    load = getattr(spec.coding, "load", None)
    if isinstance(load, int):
        return float(load)
    return (gradients_per_iteration(mapping) or 0) / spec.devices.count


def _distinct(spec: Spec, hosted: int, load: float) -> float:
    """Return how many subsets are needed on a rank, on average over random assignments.

    Of N rows of the cyclic code d hold a subset; n of them, drawn without replacement,
    all miss it with probability C(N−d, n) / C(N, n). Fixed rows follow one another.
    """
    count = spec.devices.count
    if getattr(spec.coding, "assignment", "random") == "fixed":
        return min(count, hosted + load - 1)
    missed = math.comb(count - round(load), hosted) / math.comb(count, hosted)
    return count * (1 - missed)


def _costs(spec: Spec) -> str:
    pipeline = spec.aggregation or spec.fallback
    if pipeline is None:
        return ""
    return " ".join(str(getattr(part, "cost", "")) for part in (*pipeline.pre, pipeline.rule))


def _groups(spec: Spec, ranks: int) -> tuple[tuple[str, str], ...]:
    plain = to_mapping(spec)
    where = f"{spec.backend.kind} {spec.backend.dtype}"
    codec, code = spec.compression.kind, spec.coding.kind
    rule = plain.get("aggregation")
    # Where a network was emulated, times of collectives are those of that network.
    wire = "".join(f", {key} {value}" for key, value in plain.get("network", {}).items())
    steps = code if rule is None else " ".join([*(s["kind"] for s in rule["pre"]), rule["kind"]])
    return (
        ("compute", f"{spec.problem.kind}, {where}"),
        ("encode", f"{code}, {where}"),
        ("pack", f"{codec}, {where}"),
        ("communication", ("between ranks" if ranks > 1 else "within one rank") + wire),
        ("unpack", f"{codec}, {where}"),
        ("aggregate", f"{steps}, {where}"),
        ("update", where),
    )
