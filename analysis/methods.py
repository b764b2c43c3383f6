"""Group runs into methods: errors by what determines them, times by their conditions."""

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

#: Largest relative difference between final losses of one seed.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class TimedLaunches:
    """Launches of a method that were timed under the same conditions.

    Parameters
    ----------
    label : str
        Label of the method, with the conditions if it was timed under several.
    conditions : Conditions
        The conditions.
    launches : tuple of (RunLog, Launch)
        The launches with their runs, ordered by seed.
    """

    label: str
    conditions: Conditions
    launches: tuple[tuple[RunLog, Launch], ...]

    @property
    def whole_runs(self) -> list[RunLog]:
        """Runs that had these conditions from the first iteration to the last."""
        counts = Counter(run.uuid for run, _ in self.launches)
        runs = {run.uuid: run for run, _ in self.launches}
        return [run for run in runs.values() if counts[run.uuid] == len(launches_of(run))]


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """Complete runs whose errors differ only by their seeds.

    Parameters
    ----------
    label : str
        Name of the runs, with differences if several methods share it.
    spec : mapping
        The spec without its seed. Keys that do not change errors, such as ``compute``, have
        the values of the first run.
    runs : tuple of RunLog
        The runs, ordered by seed. A seed may have several runs.
    origin : Origin
        Data, packages and revisions of the runs.
    timings : tuple of TimedLaunches
        The launches, by conditions.
    """

    label: str
    spec: Mapping[str, Any]
    runs: tuple[RunLog, ...]
    origin: Origin = field(default_factory=Origin)
    timings: tuple[TimedLaunches, ...] = ()

    @property
    def by_seed(self) -> dict[int, RunLog]:
        """One run for each seed, in order. All runs of a seed have the same errors."""
        found: dict[int, RunLog] = {}
        for run in self.runs:
            found.setdefault(_seed(run), run)
        return found

    @property
    def oversubscribed(self) -> bool:
        """Whether any launch had more threads than processors."""
        return any(timing.conditions.oversubscribed for timing in self.timings)

    @property
    def shared_compute(self) -> bool:
        """Whether any run computed redundant gradients only once on each rank."""
        return any(timing.conditions.shared_compute for timing in self.timings)

    @property
    def emulated_network(self) -> str:
        """The emulated networks; empty if there was none."""
        found = dict.fromkeys(timing.conditions.emulated_network for timing in self.timings)
        return "; ".join(network for network in found if network)

    def table(self, name: str) -> Mapping[str, Any]:
        """Return a table of the spec; empty if there is none."""
        found = self.spec.get(name, {})
        return found if isinstance(found, dict) else {}

    def numbers_key(self, *without: str) -> str:
        """Return a key that methods share if they have the same errors, except for some keys."""
        return _identity(self.runs[0]).numbers_key("seed", *without) + repr(self.origin)


@dataclass(frozen=True, slots=True, eq=False)
class _Draft:
    """A name, the runs that it stands for, and the runs that have it."""

    name: str
    group: list[RunLog]
    carriers: list[RunLog]
    facts: dict[str, Any]


def group_runs(runs: Iterable[RunLog]) -> tuple[list[Method], list[str]]:
    """Group complete runs into methods.

    The runs of a method have the same spec, data, packages and revision. Their seeds, names
    and conditions of timing may differ. A name that all seeds have becomes a method of its
    own, with the same errors. Other names are joined.

    Parameters
    ----------
    runs : iterable of RunLog
        Runs with iterations and a final state, and with different uuids.

    Returns
    -------
    methods : list of Method
        Methods with unique labels, in natural order.
    notes : list of str
        Remarks on the grouping for the user.
    """
    groups: dict[tuple[str, Origin], list[RunLog]] = defaultdict(list)
    for run in runs:
        groups[_identity(run).numbers_key("seed"), origin_of(run)].append(run)
    drafts = [draft for group in groups.values() for draft in _drafts(group)]
    labels = tell_apart([draft.name for draft in drafts], [draft.facts for draft in drafts])
    methods = [_method(draft, label) for draft, label in zip(drafts, labels, strict=True)]
    methods.sort(key=lambda method: natural_key(method.label))
    return methods, [*_namesakes(drafts), *_aliases(methods)]


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
    # Among the runs of a seed, those with this name come first: their times are shown.
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
    # Oversubscribed launches have a mark, so name that difference only if there is no other.
    facts = [conditions.facts() for conditions in groups]
    labels = tell_apart([label] * len(groups), facts, last_resort="oversubscribed")
    timings = [
        TimedLaunches(unique, conditions, tuple(group))
        for unique, (conditions, group) in zip(labels, groups.items(), strict=True)
    ]
    return sorted(timings, key=lambda timing: (timing.conditions.ranks, natural_key(timing.label)))


def _namesakes(drafts: Sequence[_Draft]) -> list[str]:
    """Explain why a name has several rows."""
    facts: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for draft in drafts:
        facts[draft.name].append(draft.facts)
    return [
        f"{name}: {len(found)} rows, because the runs differ in {some_of(differences(found))}."
        for name, found in facts.items()
        if len(found) > 1
    ]


def _aliases(methods: Sequence[Method]) -> list[str]:
    """Name the labels that have the same errors."""
    labels: dict[str, list[str]] = defaultdict(list)
    for method in methods:
        if len({name for run in method.runs for name in run.names}) > 1:
            labels[method.numbers_key()].append(method.label)
    same = [" and ".join(found) for found in labels.values()]
    said = "the same errors, because nothing that changes numbers differs"
    return [f"{said}: {some_of(same)}."] if same else []


def find_doubts(methods: Sequence[Method]) -> list[str]:
    """Name what the logs do not say, or contradict each other in."""
    notes = []
    old = [method.label for method in methods if method.origin.data_digest is None]
    if old:
        notes.append(
            f"the data are unknown, because logs of format 2 do not record them: {some_of(old)}."
        )
    changed = [
        method.label
        for method in methods
        if any(revision.endswith(CHANGED) for revision in method.origin.revisions)
    ]
    if changed:
        whom = "all rows" if len(changed) == len(methods) else some_of(changed)
        notes.append(f"run from a working tree with uncommitted changes: {whom}.")
    for method in methods:
        by_seed = method.by_seed
        for run in method.runs:
            first = by_seed[_seed(run)]
            if run is not first and not math.isclose(
                final_loss(run), final_loss(first), rel_tol=_ROUNDING
            ):
                notes.append(
                    f"{method.label}, seed {_seed(run)}: {first.path.name} ends at the loss "
                    f"{final_loss(first):.6g}, {run.path.name} at {final_loss(run):.6g}; they "
                    "should agree. The first is used."
                )
    return notes


def final_loss(run: RunLog) -> float:
    """Return the loss of the final model; NaN if there is no final model."""
    return float("nan") if run.final is None else run.final.metrics[LOSS]


def _identity(run: RunLog) -> Identity:
    return identity_of(run.spec, run.data_digest, run.packages)


def _joined(runs: Iterable[RunLog]) -> str:
    return " / ".join(sorted({name for run in runs for name in run.names}, key=natural_key))


def _seed(run: RunLog) -> int:
    return int(run.spec.get("seed", 0))
