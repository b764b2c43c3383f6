"""Find the methods that two collections have in common, and what else differs."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from analysis.facts import launches_of, origin_of
from analysis.text import NOTHING, some_of
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
    left = [list(before), list(after)]
    for key in _KEYS:
        groups: dict[Hashable, tuple[list[Method], list[Method]]] = defaultdict(lambda: ([], []))
        for side in (0, 1):
            for method in left[side]:
                groups[key(method)][side].append(method)
        found = [(ours[0], theirs[0]) for ours, theirs in groups.values() if _alone(ours, theirs)]
        pairs += found
        for side in (0, 1):
            taken = {id(pair[side]) for pair in found}
            left[side] = [method for method in left[side] if id(method) not in taken]
    places = {id(method): place for place, method in enumerate(before)}
    return sorted(pairs, key=lambda pair: places[id(pair[0])]), _explain(left[0], left[1])


def _alone(ours: list[Method], theirs: list[Method]) -> bool:
    return len(ours) == len(theirs) == 1


def _identity(method: Method) -> Identity:
    return identity_of(method.spec, method.origin.data_digest, ())


def _same_numbers(method: Method) -> str:
    return _identity(method).numbers_key()


def _same_spec(method: Method) -> str:
    """Return a key of the spec, with the names of data files but not their digest."""
    return identity_of(method.spec, None, ()).numbers_key()


def _other_data(method: Method) -> str:
    """Return a key of the spec without the data."""
    return identity_of(method.spec, "any", ()).numbers_key()


#: From the strictest to the loosest. A key pairs methods if one method of each side has it.
_KEYS: tuple[Callable[[Method], Hashable], ...] = (
    lambda method: (_same_numbers(method), method.label),
    _same_numbers,
    lambda method: (_same_spec(method), method.label),
    _same_spec,
    lambda method: (_other_data(method), method.label),
)


def _explain(before: Sequence[Method], after: Sequence[Method]) -> list[str]:
    notes = []
    lone: dict[str, list[str]] = {"BEFORE": [], "AFTER": []}
    for side, methods, others in (("BEFORE", before, after), ("AFTER", after, before)):
        for method in methods:
            same_spec = [one for one in others if _other_data(one) == _other_data(method)]
            same_name = [one for one in others if one.label == method.label]
            if same_spec:
                notes.append(
                    f"{method.label} of {side}: not compared, because a side has several versions "
                    "of it. Put one version into each folder."
                )
            elif same_name and side == "BEFORE":
                found = _identity(same_name[0]).differences(_identity(method))
                notes.append(f"{method.label}: not compared, because {some_of(found)}.")
            elif not same_name:
                lone[side].append(method.label)
    return [
        *notes,
        *(f"only in {side}: {some_of(labels)}." for side, labels in lone.items() if labels),
    ]


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
