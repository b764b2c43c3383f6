"""Runs, grouped into methods: errors by what decides them, times by what they mean."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from analysis.facts import CHANGED, Conditions, Origin, conditions_of, launches_of, origin_of
from analysis.text import differences, natural_key, some_of, tell_apart
from lad_mpi.metrics.names import LOSS
from lad_mpi.spec import Identity, identity_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lad_mpi.logs import Launch, RunLog

#: Final losses of one seed differ by no more than this, in relation to themselves.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class TimedLaunches:
    """Launches of a method whose times mean the same.

    Parameters
    ----------
    label : str
        That of the method; with what sets it apart if the method has several timings.
    conditions : Conditions
        What they have in common.
    launches : tuple of (RunLog, Launch)
        Each with the run that it is a part of, ordered by seed.
    """

    label: str
    conditions: Conditions
    launches: tuple[tuple[RunLog, Launch], ...]

    @property
    def whole_runs(self) -> list[RunLog]:
        """Runs that were made under these conditions from the first iteration to the last."""
        counts = Counter(run.uuid for run, _ in self.launches)
        runs = {run.uuid: run for run, _ in self.launches}
        return [run for run in runs.values() if counts[run.uuid] == len(launches_of(run))]


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """Complete runs with the same numbers, whatever their seed and whatever their times mean.

    Parameters
    ----------
    label : str
        Their name; with what sets it apart if several methods share it.
    spec : mapping
        The spec without its seed. Keys that change no numbers, such as ``compute``, are
        those of the first run.
    runs : tuple of RunLog
        Ordered by seed; several of a seed if it was run several times.
    origin : Origin
        What the runs were made of, besides their spec.
    timings : tuple of TimedLaunches
        Their launches, by what the times mean.
    """

    label: str
    spec: Mapping[str, Any]
    runs: tuple[RunLog, ...]
    origin: Origin = field(default_factory=Origin)
    timings: tuple[TimedLaunches, ...] = ()

    @property
    def by_seed(self) -> dict[int, RunLog]:
        """One run a seed, in their order: all runs of a seed have the same errors."""
        found: dict[int, RunLog] = {}
        for run in self.runs:
            found.setdefault(_seed(run), run)
        return found

    @property
    def oversubscribed(self) -> bool:
        """Whether some launch had more threads than processors."""
        return any(timing.conditions.oversubscribed for timing in self.timings)

    @property
    def shared_compute(self) -> bool:
        """Whether some run computed redundant gradients once a rank."""
        return any(timing.conditions.shared_compute for timing in self.timings)

    @property
    def overlap(self) -> bool:
        """Whether some run gathered messages while the server worked."""
        return any(timing.conditions.overlap for timing in self.timings)

    @property
    def emulated_network(self) -> str:
        """The networks that were emulated; empty if none was."""
        found = dict.fromkeys(timing.conditions.emulated_network for timing in self.timings)
        return "; ".join(network for network in found if network)

    def table(self, name: str) -> Mapping[str, Any]:
        """Return a table of the spec; empty where there is none."""
        found = self.spec.get(name, {})
        return found if isinstance(found, dict) else {}

    def numbers_key(self, *without: str) -> str:
        """Return what methods share if their numbers follow from the same, but for some keys."""
        return _identity(self.runs[0]).numbers_key("seed", *without) + repr(self.origin)


@dataclass(frozen=True, slots=True, eq=False)
class _Draft:
    """A row to be: a name, and the runs that are shown under it."""

    name: str
    group: list[RunLog]
    carriers: list[RunLog]
    facts: dict[str, Any]


def group_runs(runs: Iterable[RunLog]) -> tuple[list[Method], list[str]]:
    """Group complete runs into methods.

    Runs are of one method if their numbers follow from the same spec, data, packages
    and revision; seeds, names and what times mean may differ. A name that all seeds
    have gets a method of its own, with the same errors. Other names are joined.

    Parameters
    ----------
    runs : iterable of RunLog
        Each with iterations and a final state; no two of one uuid.

    Returns
    -------
    methods : list of Method
        In natural order of their labels, which are unique.
    notes : list of str
        What a person should know of the grouping.
    """
    groups: dict[tuple[str, Origin], list[RunLog]] = defaultdict(list)
    for run in runs:
        groups[_identity(run).numbers_key("seed"), origin_of(run)].append(run)
    drafts = [draft for group in groups.values() for draft in _drafts(group)]
    labels = tell_apart([draft.name for draft in drafts], [draft.facts for draft in drafts])
    methods = [_method(draft, label) for draft, label in zip(drafts, labels, strict=True)]
    methods.sort(key=lambda method: natural_key(method.label))
    notes = [*_namesakes(drafts), *_aliases(methods), *_unsure(methods)]
    return methods, notes


def _drafts(group: list[RunLog]) -> list[_Draft]:
    carriers: dict[str, list[RunLog]] = defaultdict(list)
    for run in group:
        for name in dict.fromkeys(run.names):
            carriers[name].append(run)
    seeds = {_seed(run) for run in group}
    if any({_seed(run) for run in named} != seeds for named in carriers.values()):
        carriers = defaultdict(list, {_joined(group): group})
    numbers = _identity(group[0]).numbers
    facts = {key: numbers[key] for key in sorted(numbers) if key != "seed"}
    facts |= origin_of(group[0]).facts()
    return [_Draft(name, group, named, facts) for name, named in carriers.items()]


def _method(draft: _Draft, label: str) -> Method:
    # Of a seed, runs that carry the name come first: theirs are the times to show.
    carry = {run.uuid for run in draft.carriers}
    runs = sorted(draft.group, key=lambda run: (_seed(run), run.uuid not in carry))
    return Method(
        label=label,
        spec={key: value for key, value in runs[0].spec.items() if key != "seed"},
        runs=tuple(runs),
        origin=origin_of(runs[0]),
        timings=tuple(_timings([run for run in runs if run.uuid in carry], label)),
    )


def _timings(runs: Sequence[RunLog], label: str) -> list[TimedLaunches]:
    groups: dict[Conditions, list[tuple[RunLog, Launch]]] = defaultdict(list)
    for run in runs:
        for launch in launches_of(run):
            groups[conditions_of(run, launch)].append((run, launch))
    # Times of oversubscribed launches have a mark.
    facts = [conditions.facts() for conditions in groups]
    labels = tell_apart([label] * len(groups), facts, last_resort="oversubscribed")
    timings = [
        TimedLaunches(unique, conditions, tuple(group))
        for unique, (conditions, group) in zip(labels, groups.items(), strict=True)
    ]
    return sorted(timings, key=lambda timing: (timing.conditions.ranks, natural_key(timing.label)))


def _namesakes(drafts: Sequence[_Draft]) -> list[str]:
    """Say why a name has several rows."""
    facts: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for draft in drafts:
        facts[draft.name].append(draft.facts)
    return [
        f"{name}: {len(found)} rows, which share no number because their runs differ in "
        f"{some_of(differences(found))}."
        for name, found in facts.items()
        if len(found) > 1
    ]


def _aliases(methods: Sequence[Method]) -> list[str]:
    """Say which names have the same errors."""
    labels: dict[str, list[str]] = defaultdict(list)
    for method in methods:
        if len({name for run in method.runs for name in run.names}) > 1:
            labels[method.numbers_key()].append(method.label)
    same = [" and ".join(found) for found in labels.values()]
    said = "the same errors, because nothing that changes numbers differs"
    return [f"{said}: {some_of(same)}."] if same else []


def _unsure(methods: Sequence[Method]) -> list[str]:
    """Say what the logs do not tell, or tell differently."""
    notes = []
    old = [method.label for method in methods if method.origin.data_digest is None]
    if old:
        notes.append(
            f"which data were read is unknown, as logs of format 2 do not tell: {some_of(old)}."
        )
    changed = [
        method.label
        for method in methods
        if any(revision.endswith(CHANGED) for revision in method.origin.revisions)
    ]
    if changed:
        whom = "all rows" if len(changed) == len(methods) else some_of(changed)
        notes.append(f"run from a working tree with changes that were not committed: {whom}.")
    for method in methods:
        by_seed = method.by_seed
        for run in method.runs:
            first = by_seed[_seed(run)]
            if not math.isclose(loss_of(run), loss_of(first), rel_tol=_ROUNDING):
                notes.append(
                    f"{method.label}, seed {_seed(run)}: {first.path.name} ends at the loss "
                    f"{loss_of(first):.6g}, {run.path.name} at {loss_of(run):.6g}; they should "
                    "agree, and the first counts."
                )
    return notes


def loss_of(run: RunLog) -> float:
    """Return the loss of the final model; NaN if there is none."""
    return float("nan") if run.final is None else run.final.metrics[LOSS]


def _identity(run: RunLog) -> Identity:
    return identity_of(run.spec, run.data_digest, run.packages)


def _joined(runs: Iterable[RunLog]) -> str:
    return " / ".join(sorted({name for run in runs for name in run.names}, key=natural_key))


def _seed(run: RunLog) -> int:
    return int(run.spec.get("seed", 0))
