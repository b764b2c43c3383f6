"""Collect the replicates of each quantity: seeds for numbers, launches for times."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.compare.significance import LEVEL
from analysis.quantities import parse_quantity
from analysis.statistics import least_count
from analysis.text import differences
from analysis.timing import counted_iterations, iteration_seconds, phase_seconds

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from analysis.facts import Conditions
    from analysis.methods import Method, TimedLaunches
    from analysis.quantities import Quantity
    from lad_mpi.logs import Launch, RunLog
    from lad_mpi.types import HostFloats

#: A phase that takes a smaller share of an iteration on both sides is left out.
LEAST_SHARE = 0.01
_ITERATION = "iteration_s"


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Quantities that were measured on the same replicates.

    Parameters
    ----------
    label : str
        The method, with conditions if it was timed under several.
    quantities : tuple of Quantity
        k quantities.
    before, after : ndarray of float64, shapes (k, n) and (k, m)
        Their values; NaN if a replicate does not have one.
    paired : bool
        Whether replicates with the same number have the same seeds.
    unit : str
        What a replicate is: ``"seeds"`` or ``"launches"``.
    conditions : Conditions or None
        Conditions of times before the change; None for numbers.
    """

    label: str
    quantities: tuple[Quantity, ...]
    before: HostFloats
    after: HostFloats
    paired: bool
    unit: str
    conditions: Conditions | None = None


def by_seed(before: Method, after: Method, quantities: Sequence[Quantity]) -> Block:
    """Collect quantities that a seed determines.

    The seeds of both sides are pairs. If they have none in common, seeds are independent
    replicates.
    """
    ours, theirs = before.by_seed, after.by_seed
    common = sorted(ours.keys() & theirs.keys())

    def table(runs: dict[int, RunLog]) -> HostFloats:
        seeds = common or sorted(runs)
        return np.array([[one.measure(runs[seed]) for seed in seeds] for one in quantities])

    return Block(before.label, tuple(quantities), table(ours), table(theirs), bool(common), "seeds")


def by_launch(before: Method, after: Method) -> tuple[list[Block], list[str]]:
    """Collect the times of launches under comparable conditions.

    A replicate is a launch of MPI: the median over its runs of the median over iterations.
    The runs that a study does one after another in one launch share its processes, the
    layout of their memory and the load of the machine at that time.

    Returns
    -------
    blocks : list of Block
        One for each set of conditions that both sides have.
    reasons : list of str
        Why other times are not compared.
    """
    ours, theirs = ({_comparable(one): one for one in side.timings} for side in (before, after))
    if not ours or not theirs:
        return [], ["a side has no times"]
    blocks, reasons = [], []
    for key, timing in ours.items():
        if key not in theirs:
            continue
        if not timing.conditions.machine:
            reasons.append("the logs do not name the processor")
            continue
        launched = [_by_seeds(timing), _by_seeds(theirs[key])]
        if not all(launched):
            reasons.append("a side has no iterations after warm-up")
            continue
        blocks.append(_times(timing, launched[0], launched[1], (before, after)))
    lone = [timing for key, timing in ours.items() if key not in theirs]
    if not blocks and not reasons:
        reasons.append(_differing(before.timings[0], after.timings[0]))
    elif lone:
        reasons += [f"{timing.label}: AFTER has no such launches" for timing in lone]
    return blocks, reasons


def _differing(before: TimedLaunches, after: TimedLaunches) -> str:
    told = [{**one.conditions.facts(), "mpi": None} for one in (before, after)]
    pairs = {name: [one.get(name) or "unknown" for one in told] for name in differences(told)}
    return "; ".join(f"{name} was {old} and is {new}" for name, (old, new) in pairs.items())


def _comparable(timing: TimedLaunches) -> Hashable:
    # The version of the MPI library is provenance: its effect may be in question.
    return dataclasses.replace(timing.conditions, mpi="")


def _by_seeds(timing: TimedLaunches) -> dict[Hashable, list[dict[str, float]]]:
    """Return the times of each launch, grouped by the seeds that it ran."""
    launches: dict[Hashable, list[tuple[RunLog, Launch]]] = defaultdict(list)
    for run, launch in timing.launches:
        if run.is_warm()[launch.first : launch.stop].any():
            launches[_launch_of(run, launch)].append((run, launch))
    groups: dict[Hashable, list[dict[str, float]]] = defaultdict(list)
    for parts in launches.values():
        seeds = tuple(sorted({int(run.spec.get("seed", 0)) for run, _ in parts}))
        groups[seeds].append(_median([_seconds(*part) for part in parts]))
    return groups


def _launch_of(run: RunLog, launch: Launch) -> Hashable:
    """Return a key that is equal for the runs of one launch of MPI."""
    made = launch.provenance
    if not made.get("processes"):
        return run.uuid, launch.first
    facts = [str(made.get(name)) for name in ("processes", "hosts", "command")]
    return (run.path.parent, *facts)


def _seconds(run: RunLog, launch: Launch) -> dict[str, float]:
    whole = iteration_seconds(run)[counted_iterations(run, launch)]
    phases = {f"{name}_s": value for name, value in phase_seconds(run, launch).items()}
    return {_ITERATION: float(np.median(whole)), **phases}


def _median(times: Sequence[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for one in times for name in one)
    return {name: float(np.median([one.get(name, np.nan) for one in times])) for name in names}


def _times(
    timing: TimedLaunches,
    before: dict[Hashable, list[dict[str, float]]],
    after: dict[Hashable, list[dict[str, float]]],
    methods: tuple[Method, Method],
) -> Block:
    common = [seeds for seeds in before if seeds in after]
    paired = len(common) >= least_count(1 - LEVEL)

    def replicates(groups: dict[Hashable, list[dict[str, float]]]) -> list[dict[str, float]]:
        if common and not paired:
            return [one for seeds in common for one in groups[seeds]]
        return [_median(groups[seeds]) for seeds in (common or groups)]

    sides = replicates(before), replicates(after)
    names = [name for name in _median([*sides[0], *sides[1]]) if _is_notable(name, sides)]
    runs = [run for method in methods for run in method.runs]
    tables = [
        np.array([[one.get(name, np.nan) for one in side] for name in names]) for side in sides
    ]
    return Block(
        timing.label,
        tuple(parse_quantity(name, runs) for name in names),
        tables[0],
        tables[1],
        paired,
        "launches",
        timing.conditions,
    )


def _is_notable(name: str, sides: Sequence[Sequence[dict[str, float]]]) -> bool:
    """Return whether a phase takes a notable share of an iteration on a side."""
    medians = [_median(side) for side in sides]
    # NaN, if only some launches have the phase, counts as notable.
    return any(not one.get(name, 0.0) < LEAST_SHARE * one[_ITERATION] for one in medians)
