"""Measured cases: the times of a method on a number of ranks and a network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from analysis.keys import select
from analysis.methods import find_doubts, group_runs
from analysis.runs import load_collection
from analysis.scaling import load_scaling, summarise_scaling
from analysis.timing import (
    DEVICE_PHASES,
    SERVER_PHASES,
    counted_iterations,
    iteration_seconds,
    phase_seconds,
)
from lad_mpi.errors import LadError, ParameterError, UsageError
from lad_mpi.metrics.names import DOWNLINK_BYTES, UPLINK_BYTES
from lad_mpi.network import Network, build_network
from lad_mpi.records.scaling import SCALING_FILE
from lad_mpi.spec import parse_spec
from lad_mpi.types import device_ranks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from analysis.methods import Method
    from lad_mpi.logs import Launch, RunLog
    from lad_mpi.spec import Where

#: The rest of an iteration: MPI and waiting, beyond the time of an emulated network.
OVERHEAD = "overhead"


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredCase:
    """The launches of a method on a number of ranks and a network.

    Parameters
    ----------
    method : str
        Label of the method.
    ranks, devices : int
        P and N.
    network : Network or None
        The emulated network; None for the real one.
    uplink_bytes, downlink_bytes : float
        Bytes of all messages of an iteration, and of a broadcast.
    kinds : dict of str
        The components that do the work of each phase of a device, as text.
    shared_compute, oversubscribed : bool
        As in :class:`~analysis.facts.Conditions`.
    servers, share : int, float
        Number of server ranks, which stays the same in a forecast, and the share of the
        columns of the server that holds most.
    launches : tuple of dict of float
        Seconds of an iteration by phase and ``OVERHEAD`` for each launch. They add up to the
        median time of an iteration without the time of the emulated network.
    """

    method: str
    ranks: int
    devices: int
    network: Network | None
    uplink_bytes: float
    downlink_bytes: float
    kinds: Mapping[str, str]
    shared_compute: bool
    oversubscribed: bool
    launches: tuple[Mapping[str, float], ...]
    servers: int = 1
    share: float = 1.0

    @property
    def hosted(self) -> int:
        """Number of devices on the rank that hosts most."""
        return hosted_devices(self.devices, self.ranks, self.servers)

    @property
    def totals_s(self) -> list[float]:
        """Training time of an iteration in seconds, for each launch."""
        sent = 0.0 if self.network is None else self.network_s(self.network)
        return [sent + sum(launch.values()) for launch in self.launches]

    def network_s(self, network: Network) -> float:
        """Return the seconds of a broadcast and a gather on a network."""
        sent = network.broadcast_s(self.downlink_bytes, self.devices)
        return sent + network.gather_s(self.uplink_bytes * self.share)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The measurements in some folders.

    Parameters
    ----------
    cases : tuple of MeasuredCase
        The cases.
    methods : dict of Method
        All methods by label, with their runs.
    void : tuple of str
        Why the times are void; empty if they are valid.
    excluded, notes : tuple of str
        What was left out and why, and remarks on the methods.
    """

    cases: tuple[MeasuredCase, ...]
    methods: dict[str, Method]
    void: tuple[str, ...]
    excluded: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def machines(self) -> list[str]:
        """Processors and GPUs of the machines."""
        timings = [timing for method in self.methods.values() for timing in method.timings]
        return sorted({timing.conditions.machine for timing in timings})


def hosted_devices(devices: int, ranks: int, servers: int = 1) -> int:
    """Return the number of devices on the rank that hosts most.

    Examples
    --------
    >>> hosted_devices(100, 4), hosted_devices(100, 1)
    (34, 100)
    """
    return -(-devices // device_ranks(ranks, servers))


def observe(paths: Sequence[Path], where: Where | None = None) -> Measured:
    """Read the measurements that a forecast starts from.

    Parameters
    ----------
    paths : sequence of Path
        Folders of scaling studies, or logs and folders of logs.
    where : Where, optional
        Use only the runs that fulfil this condition.

    Raises
    ------
    UsageError, LogFormatError
        There are no runs with times, or they come from different machines.
    """
    runs, void, excluded = _read(paths)
    found = _measured(select(runs, where), void, excluded)
    if len(found.machines) > 1:
        raise UsageError(
            f"the runs come from different machines: {'; '.join(found.machines)}",
            hint="name only runs of one machine, and use --check for those of another",
        )
    clean = tuple(case for case in found.cases if not case.oversubscribed)
    if not clean:
        reason = "all runs were oversubscribed: more threads than processors"
        return replace(found, void=(*found.void, reason))
    crowded = [
        f"{case.method}, P = {case.ranks}: oversubscribed, more threads than processors"
        for case in found.cases
        if case.oversubscribed
    ]
    return replace(found, cases=clean, excluded=(*found.excluded, *crowded))


def observe_others(paths: Sequence[Path], known: Measured) -> Measured:
    """Read later measurements, to check a forecast. Leave out the runs that it starts from.

    Raises
    ------
    UsageError, LogFormatError
        There are no other runs with times.
    """
    runs, void, excluded = _read(paths)
    used = {run.uuid for method in known.methods.values() for run in method.runs}
    others = [run for run in runs if run.uuid not in used]
    if not others:
        raise UsageError("--check: the forecast starts from all of these runs, so name others")
    return _measured(others, void, excluded)


def _measured(runs: Sequence[RunLog], void: Sequence[str], excluded: list[str]) -> Measured:
    methods, notes = group_runs({run.uuid: run for run in runs}.values())
    by_method = [(method, case) for method in methods for case in _cases_of(method, excluded)]
    cases = [case for _, case in by_method]
    if not cases:
        raise UsageError("no run has times that can be used\n  " + "\n  ".join(excluded))
    labels = {case.method: method for method, case in by_method}
    return Measured(
        tuple(cases), labels, tuple(void), tuple(excluded), (*notes, *find_doubts(methods))
    )


def _read(paths: Iterable[Path]) -> tuple[list[RunLog], list[str], list[str]]:
    runs: list[RunLog] = []
    void: list[str] = []
    excluded: list[str] = []
    for path in paths:
        if path.name == SCALING_FILE or (path / SCALING_FILE).exists():
            study = load_scaling(path)
            runs += [run for case in study.cases for run in case.runs]
            drifts = [reason for row in summarise_scaling(study) for reason in row.drift]
            void += dict.fromkeys([*study.void, *drifts])
            excluded += [line for case in study.cases for line in case.void]
        else:
            collection = load_collection([path])
            runs += collection.runs
            excluded += collection.describe_excluded()
    return runs, void, excluded


def _cases_of(method: Method, excluded: list[str]) -> list[MeasuredCase]:
    groups: dict[tuple[int, int, str], list[tuple[RunLog, Launch]]] = {}
    for timing in method.timings:
        made = timing.conditions
        key = (made.ranks, made.servers, made.emulated_network)
        groups.setdefault(key, []).extend(timing.launches)
    found = [_case(method, launches) for launches in groups.values()]
    excluded += [case for case in found if isinstance(case, str)]
    return [case for case in found if not isinstance(case, str)]


def _case(method: Method, launches: Sequence[tuple[RunLog, Launch]]) -> MeasuredCase | str:
    """Return the case of some launches, or why there is none."""
    run, launch = launches[0]
    servers = int(launch.provenance.get("server_ranks", 1))
    emulated = run.spec.get("network", {}).get("emulate")
    try:
        network = build_network(emulated) if emulated else None
    except ParameterError as error:
        return f"{run.path}: network.emulate: {error.message}"
    sizes = MeasuredCase(
        method=method.label if servers == 1 else f"{method.label}, {servers} servers",
        ranks=launch.ranks,
        devices=int(method.table("devices").get("count", 1)),
        network=network,
        uplink_bytes=float(np.median(run.traffic[UPLINK_BYTES])),
        downlink_bytes=float(np.median(run.traffic[DOWNLINK_BYTES])),
        kinds=_kinds(method),
        shared_compute=run.spec.get("compute") == "shared",
        oversubscribed=any(one.provenance.get("oversubscribed", False) for _, one in launches),
        servers=servers,
        share=_largest_share(run, servers),
        launches=(),
    )
    sent = 0.0 if network is None else sizes.network_s(network)
    return replace(sizes, launches=tuple(_seconds(*one, sent) for one in launches))


def _largest_share(run: RunLog, servers: int) -> float:
    if servers == 1 or run.final is None:
        return 1.0
    try:
        spec = parse_spec(run.spec)
    except LadError:
        return 1.0 / servers
    return spec.largest_share(len(run.final.model) * spec.coding.message_parts, servers)


def _kinds(method: Method) -> dict[str, str]:
    backend = method.table("backend")
    common = f"{backend.get('kind')} {backend.get('dtype')}"
    tables = zip(DEVICE_PHASES, ("model", "coding", "compression"), strict=True)
    return {phase: f"{method.table(name).get('kind')}, {common}" for phase, name in tables}


def _seconds(run: RunLog, launch: Launch, sent_s: float) -> dict[str, float]:
    """Split an iteration of a launch, except the time of an emulated network."""
    medians = phase_seconds(run, launch)
    seconds = {phase: medians.get(phase, 0.0) for phase in (*DEVICE_PHASES, *SERVER_PHASES)}
    total = float(np.median(iteration_seconds(run)[counted_iterations(run, launch)]))
    return {**seconds, OVERHEAD: total - sum(seconds.values()) - sent_s}
