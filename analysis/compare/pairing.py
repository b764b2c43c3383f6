"""Find the methods that two collections have in common, and what else differs."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from analysis.facts import launches_of, origin_of
from analysis.text import NOTHING, natural_key, some_of
from lad_mpi.spec import Identity, identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from analysis.methods import Method
    from analysis.runs import Collection

#: Provenance that differs between any two launches, or that other keys repeat.
_OF_ONE_LAUNCH = ("command", "first_iteration", "processes", "remarks", "git_revision", "git_dirty")


def pair_methods(
    before: Sequence[Method], after: Sequence[Method]
) -> tuple[list[tuple[Method, Method]], list[str]]:
    """Pair the methods of two sides that compute the same.

    Revisions and versions may differ, because their effect is in question. The data should
    be the same, but a method that is otherwise unique is paired with itself on other data.

    Returns
    -------
    pairs : list of (Method, Method)
        In the order of ``before``.
    notes : list of str
        Why the other methods have no partner.
    """
    pairs: list[tuple[Method, Method]] = []
    ours, theirs = list(before), list(after)
    for key in _KEYS:
        found = [
            (same[0], others[0])
            for group, same in _grouped(ours, key).items()
            if len(same) == len(others := _grouped(theirs, key).get(group, [])) == 1
        ]
        pairs += found
        ours = [one for one in ours if all(one is not pair[0] for pair in found)]
        theirs = [one for one in theirs if all(one is not pair[1] for pair in found)]
    pairs.sort(key=lambda pair: natural_key(pair[0].label))
    return pairs, [*_explain("BEFORE", ours, theirs), *_explain("AFTER", theirs, ours)]


def _grouped(
    methods: Sequence[Method], key: Callable[[Method], Hashable]
) -> dict[Hashable, list[Method]]:
    groups: dict[Hashable, list[Method]] = defaultdict(list)
    for method in methods:
        groups[key(method)].append(method)
    return groups


def _identity(method: Method) -> Identity:
    return identity_of(method.spec, method.origin.data_digest, ())


def _numbers(method: Method) -> str:
    return _identity(method).numbers_key()


def _spec(method: Method) -> str:
    """Return a key of the spec, with the names of data files instead of their digest."""
    return identity_of(method.spec, None, ()).numbers_key()


#: From the strictest to the loosest. A key pairs methods if one method of each side has it.
_KEYS: tuple[Callable[[Method], Hashable], ...] = (
    lambda method: (_numbers(method), method.label),
    _numbers,
    lambda method: (_spec(method), method.label),
    _spec,
)


def _explain(side: str, methods: Sequence[Method], others: Sequence[Method]) -> list[str]:
    """Say why methods have no partner among those that are left of the other side."""
    notes, lone = [], []
    for method in methods:
        namesakes = [other for other in others if other.label == method.label]
        if any(_spec(other) == _spec(method) for other in others):
            notes.append(
                f"{method.label} of {side}: not compared, because a side has several versions of "
                "it. Put one version into each folder."
            )
        elif not namesakes:
            lone.append(method.label)
        elif side == "BEFORE":
            found = _identity(namesakes[0]).differences(_identity(method))
            notes.append(f"{method.label}: not compared, because {some_of(found)}.")
    return [*notes, *([f"only in {side}: {some_of(lone)}."] if lone else [])]


def provenance_differences(before: Collection, after: Collection) -> dict[str, tuple[str, str]]:
    """Return what differs in how two sides were made: values before and after, by name."""
    ours, theirs = _provenance(before), _provenance(after)
    return {
        name: (_listed(ours.get(name)), _listed(theirs.get(name)))
        for name in dict.fromkeys((*ours, *theirs))
        if ours.get(name) != theirs.get(name)
    }


def _provenance(collection: Collection) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for run in collection.runs:
        for name, text in origin_of(run).facts().items():
            found[name].add(text)
        for launch in launches_of(run):
            found["ranks"].add(str(launch.ranks))
            for name, value in launch.provenance.items():
                if name not in _OF_ONE_LAUNCH:
                    found[name].add(_text(value))
    return found


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _listed(values: set[str] | None) -> str:
    return some_of(sorted(values)) if values else NOTHING
