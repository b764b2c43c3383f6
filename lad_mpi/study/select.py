"""Choose runs of a study by name, id, condition or share."""

from __future__ import annotations

import dataclasses
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from lad_mpi.errors import UsageError, shown
from lad_mpi.spec import parse_where, spec_facts, suggestion, to_mapping

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lad_mpi.study.plan import Run, Study

#: Names or values that a message lists.
_MOST_LISTED = 8


def select_runs(
    study: Study, only: Iterable[str] = (), where: Iterable[str] = (), share: str = ""
) -> Study:
    """Return a study with only some of the runs, in the order of the study.

    Parameters
    ----------
    study : Study
        All runs.
    only : iterable of str
        Names, patterns of names such as ``"LAD*"``, or ids; also several with commas between
        them. All runs if there are none.
    where : iterable of str
        Conditions on the keys of the spec, which must all hold; see
        :func:`~lad_mpi.spec.parse_where`.
    share : str
        ``"K/M"`` keeps every M-th of the selected runs, starting with number K from 0.

    Raises
    ------
    UsageError
        No run has a name or an id, no run is left, a condition is invalid, or the share has
        another form.
    """
    if wanted := list(only):
        chosen = {run.run_id for text in wanted for run in _named(study, text)}
        study = _keep(study, chosen)
    if conditions := list(where):
        study = _fulfilling(study, conditions)
    if share:
        found = re.fullmatch(r"(\d+)/(\d+)", share)
        if not found or int(found[1]) >= int(found[2]):
            raise UsageError(f"expected a share K/M with K below M, such as 0/4, found {share!r}")
        study = dataclasses.replace(study, runs=study.runs[int(found[1]) :: int(found[2])])
    return study


def _keep(study: Study, run_ids: set[str]) -> Study:
    runs = tuple(run for run in study.runs if run.run_id in run_ids)
    return dataclasses.replace(study, runs=runs)


def _named(study: Study, text: str) -> list[Run]:
    """Return the runs of one value of ``--only``, which may be a list or a name with commas."""
    words = [text] if _matching(study, text) else [word for word in text.split(",") if word]
    if not words:
        raise UsageError("--only is empty", hint="name runs, or leave the option out")
    chosen = []
    for word in words:
        if not (found := _matching(study, word)):
            names = list(dict.fromkeys(name for run in study.runs for name in run.names))
            known = [*names, *(run.run_id for run in study.runs)]
            raise UsageError(
                f"the study {study.name} has no run {word}{suggestion(word, known)}",
                hint=f"its runs are {_some([shown(name) for name in names])}; `lad-mpi study plan "
                "--json` lists all, with their ids; a name with commas needs an --only of its own",
            )
        chosen += found
    return chosen


def _matching(study: Study, word: str) -> list[Run]:
    # A name may contain the characters of patterns, so equal names come first.
    return [run for run in study.runs if word == run.run_id or word in run.names] or [
        run for run in study.runs if any(fnmatchcase(name, word) for name in run.names)
    ]


def _fulfilling(study: Study, conditions: Sequence[str]) -> Study:
    facts = {run.run_id: spec_facts(to_mapping(run.spec)) for run in study.runs}
    known = {key for values in facts.values() for key in values}
    wheres = [parse_where(text) for text in conditions]
    for where in wheres:
        where.check(known)
    chosen = {
        run_id for run_id, values in facts.items() if all(where.matches(values) for where in wheres)
    }
    if not chosen:
        keys = dict.fromkeys(key for where in wheres for key in where.keys)
        raise UsageError(
            f"none of {len(facts)} runs of the study {study.name} fulfils "
            f"--where {' and '.join(map(shown, conditions))}",
            hint="the runs have "
            + "; ".join(f"{key} = {_some(_values(facts.values(), key))}" for key in keys),
        )
    return _keep(study, chosen)


def _values(facts: Iterable[dict[str, object]], key: str) -> list[str]:
    return [str(value) for value in dict.fromkeys(values[key] for values in facts if key in values)]


def _some(words: Sequence[str]) -> str:
    more = len(words) - _MOST_LISTED
    return ", ".join([*words[:_MOST_LISTED], *([f"{more} more"] if more > 0 else [])])
