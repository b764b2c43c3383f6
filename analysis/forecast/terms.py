"""The terms of the cost model: what each grows with, and what a network would make of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from analysis.forecast.workload import Workload
    from lad_mpi.network import Network

COMMUNICATION = "communication"


def _vector_and_message_bytes(w: Workload) -> float:
    return w.values * w.item_bytes + w.slot_bytes


#: Beside a constant, what the seconds of a term are proportional to, by name. Where
#: there are several, the one that grows fastest with the machine is the last.
TERMS: dict[str, dict[str, Callable[[Workload], float]]] = {
    "compute": {"gradients a rank × samples × Q": lambda w: w.gradients * w.samples * w.dimension},
    "encode": {"devices a rank × d × Q": lambda w: w.hosted * w.load * w.values},
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
    """Return a term's columns at a workload: 1, then those of :data:`TERMS`."""
    return [1.0, *(column(workload) for column in TERMS[term].values())]


def network_seconds(workload: Workload, network: Network) -> float:
    """Return the time of both collectives on a network, without the work of any rank.

    Notes
    -----
    Every rank is a machine: the broadcast is a binomial tree over P ranks, and all
    messages share the one link of the server, as :class:`~lad_mpi.network.Network`
    has it. One rank sends nothing.
    """
    if workload.ranks == 1:
        return 0.0
    sent = network.broadcast_s(int(workload.downlink_bytes), workload.ranks - 1)
    return sent + network.gather_s(int(workload.uplink_bytes))
