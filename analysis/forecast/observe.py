"""Measured cases: the times of launches of the same work, by term."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.families import rule_and_codec
from analysis.forecast.workload import TERMS, Workload, payload_bytes, workload_of
from analysis.runs import load_collection
from analysis.scaling import load_scaling, summarise_scaling
from analysis.text import natural_key, tell_apart
from analysis.timing import COMMUNICATION, after_warmup, iteration_seconds, phase_seconds
from lad_mpi.errors import LadError, UsageError
from lad_mpi.metrics.names import UPLINK_BYTES
from lad_mpi.records.scaling import SCALING_FILE
from lad_mpi.spec import flatten

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from lad_mpi.logs import RunLog


#: Three cases for the fit, and one to be predicted from them.
LEAST_CASES = 4


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredCase:
    """Launches of the same work.

    Parameters
    ----------
    method : str
        Rule, codec and other differences between methods, without load and sizes.
    workload : Workload
        The sizes.
    seconds : tuple of dict of float
        Seconds by term for each launch, medians over iterations.
    runs : tuple of RunLog
        Logs of the launches.
    """

    method: str
    workload: Workload
    seconds: tuple[Mapping[str, float], ...]
    runs: tuple[RunLog, ...]

    @property
    def name(self) -> str:
        """The method and the sizes."""
        w = self.workload
        return f"{self.method}: P={w.ranks}, N={w.devices}, d={round(w.load)}, Q={w.dimension}"

    @property
    def total_s(self) -> float:
        """Training time of an iteration in seconds, median over launches."""
        return float(np.median([sum(launch.values()) for launch in self.seconds]))

    @property
    def work_s(self) -> float:
        """The same without communication."""
        work = [sum(launch.values()) - launch[COMMUNICATION] for launch in self.seconds]
        return float(np.median(work))

    @property
    def oversubscribed(self) -> bool:
        """Whether any launch had more threads than processors."""
        return any(run.provenance.get("oversubscribed", False) for run in self.runs)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The measurements that a forecast starts from.

    Parameters
    ----------
    cases : tuple of MeasuredCase
        Cases that the model is fitted to.
    runs : dict of tuple of RunLog
        All runs by method, including oversubscribed ones, whose errors are valid.
    void : tuple of str
        Why the times are void; empty if they are valid.
    excluded : tuple of str
        What was left out, and why.
    """

    cases: tuple[MeasuredCase, ...]
    runs: dict[str, tuple[RunLog, ...]]
    void: tuple[str, ...]
    excluded: tuple[str, ...]

    @property
    def largest(self) -> MeasuredCase:
        """The largest case that the others cover: by ranks, then load, then dimension."""
        for case in sorted(self.cases, key=_size, reverse=True):
            others = [other.workload for other in self.cases if other is not case]
            known = {group for workload in others for group in workload.groups}
            if known.issuperset(case.workload.groups):
                return case
        raise UsageError(
            "no two cases have the same rule, codec and code, so none can be predicted from the "
            "others",
            hint="measure each method at several loads: lad-mpi scale … --over load=1,5,10,20",
        )


def observe(paths: Sequence[Path]) -> Measured:
    """Read the times of the runs in scaling studies and folders of logs.

    Raises
    ------
    UsageError, LogFormatError
        There are no runs or too few cases, or the runs come from different machines.
    """
    runs, void, excluded = _read(paths)
    machines = sorted({str(run.provenance.get("cpu_model", "")) for run in runs})
    if len(machines) > 1:
        raise UsageError(
            f"the runs come from different machines: {', '.join(machines)}",
            hint="name only studies of one machine",
        )
    methods = find_methods(runs)
    cases = [
        case for method, members in methods.items() for case in _cases_of(method, members, excluded)
    ]
    chosen, crowded = _choose(cases, excluded)
    return Measured(tuple(chosen), methods, (*void, *crowded), tuple(excluded))


def term_seconds(run: RunLog) -> dict[str, float]:
    """Split the training time of an iteration into the terms of the cost model.

    Time that belongs to no other term, including collectives with one rank, is communication.
    """
    work = phase_seconds(run)
    total = float(np.median(after_warmup(run, iteration_seconds(run))))
    seconds = {term: work.get(term, 0.0) for term in TERMS if term != COMMUNICATION}
    return {**seconds, COMMUNICATION: max(0.0, total - sum(seconds.values()))}


def measured_workload(run: RunLog) -> Workload:
    """Return the sizes of the run in a log.

    Raises
    ------
    SpecError
        A component is not installed.
    """
    dimension = dimension_of(run)
    return workload_of(run.spec, run.ranks, dimension, header_bytes(run))


def dimension_of(run: RunLog) -> int:
    """Return Q. The spec does not contain it if the data come from a file."""
    if run.final is None:
        raise UsageError(
            f"{run.path} has no final model", hint="complete the run, or leave this log out"
        )
    return int(run.final.model.size)


def header_bytes(run: RunLog) -> float:
    """Return the bytes of a message without its payload."""
    slot = float(np.median(run.traffic[UPLINK_BYTES])) / int(run.spec["devices"]["count"])
    return slot - payload_bytes(run.spec, dimension_of(run))


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


def _cases_of(method: str, runs: Sequence[RunLog], excluded: list[str]) -> list[MeasuredCase]:
    groups: dict[Workload, list[RunLog]] = {}
    for run in runs:
        found = _workload_or_reason(run)
        if isinstance(found, str):
            excluded.append(f"{run.path.name}: {found}")
        else:
            groups.setdefault(found, []).append(run)
    return [
        MeasuredCase(
            method, workload, tuple(term_seconds(run) for run in launches), tuple(launches)
        )
        for workload, launches in groups.items()
    ]


def _workload_or_reason(run: RunLog) -> Workload | str:
    if len({launch.ranks for launch in run.launches if launch.first < launch.stop}) > 1:
        return "it was resumed with another number of ranks"
    try:
        return measured_workload(run)
    except LadError as error:
        return error.message


def _choose(
    cases: Sequence[MeasuredCase], excluded: list[str]
) -> tuple[Sequence[MeasuredCase], list[str]]:
    """Drop oversubscribed cases if there are enough others. If not, the forecast is void."""
    if len(cases) < LEAST_CASES:
        raise UsageError(
            f"{len(cases)} cases were measured; a forecast needs {LEAST_CASES}: three for the "
            "fit, and the largest to be predicted from them",
            hint="measure more: lad-mpi scale strong SPEC.toml --ranks 2,3 --over load=1,5,10,20",
        )
    clean = [case for case in cases if not case.oversubscribed]
    if len(clean) == len(cases):
        return cases, []
    if len(clean) >= LEAST_CASES:
        excluded += [f"{case.name}: oversubscribed" for case in cases if case.oversubscribed]
        return clean, []
    return cases, ["runs were oversubscribed: more threads than processors"]


def _size(case: MeasuredCase) -> tuple[Any, ...]:
    w = case.workload
    return w.ranks, w.load, w.dimension, w.devices, case.method


#: Parts of a spec that a forecast varies, and parts that do not change an iteration.
_SIZES = {
    "coding": ("load",),
    "data": ("dimension", "samples_per_subset"),
    "devices": ("count", "byzantine", "assumed_byzantine", "batch_size"),
}
_IDLE = ("name", "seed", "iterations", "logging", "safety")


def find_methods(runs: Sequence[RunLog]) -> dict[str, tuple[RunLog, ...]]:
    """Group runs by method, in natural order of the names."""
    groups: dict[str, list[RunLog]] = defaultdict(list)
    for run in runs:
        groups[json.dumps(_without_sizes(run.spec), sort_keys=True, default=str)].append(run)
    specs = [_without_sizes(members[0].spec) for members in groups.values()]
    names = [rule_and_codec(members[0].spec) for members in groups.values()]
    labels = tell_apart(names, [flatten(spec) for spec in specs])
    named = {label: tuple(runs) for label, runs in zip(labels, groups.values(), strict=True)}
    return {label: named[label] for label in sorted(named, key=natural_key)}


def _without_sizes(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: {name: item for name, item in value.items() if name not in _SIZES.get(key, ())}
        if isinstance(value, dict)
        else value
        for key, value in spec.items()
        if key not in _IDLE
    }
