"""Keys of runs: those of their specs, and a few facts about their launches."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from analysis.facts import conditions_of, launches_of, origin_of
from analysis.text import natural_key, some_of
from lad_mpi.errors import UsageError
from lad_mpi.spec import check_key, spec_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lad_mpi.logs import RunLog
    from lad_mpi.spec import Where

#: Keys of launches. They change times only, and so do :data:`_TIMES`.
_LAUNCH = ("ranks", "hosts", "machine", "threads", "mpi")
_TIMES = ("network", "compute", "overlap", "server", "backend.gpu_transfers")
#: Keys and tables that change neither numbers nor times.
_LABELS = ("name", "logging", "safety")


def facts_of(run: RunLog) -> dict[str, Any]:
    """Return the values of a run by key.

    The keys are those of :func:`~lad_mpi.spec.spec_facts`, and ``ranks``, ``hosts``,
    ``machine``, ``threads``, ``mpi``, ``network``, ``revision``, ``data.digest`` and
    ``packages``. If the launches of a run differ in one, the first launch counts.
    """
    facts = {
        key: value for key, value in spec_facts(run.spec).items() if not key.startswith("network.")
    }
    facts["name"] = run.name
    facts["network"] = run.emulated_network or "real"
    origin = origin_of(run).facts()
    facts |= {
        "revision": origin["revision"],
        "data.digest": origin["data"],
        "packages": ", ".join(run.packages),
    }
    for launch in launches_of(run)[:1]:
        conditions = conditions_of(run, launch)
        facts |= {
            "ranks": conditions.ranks,
            "hosts": conditions.hosts,
            "machine": conditions.machine or "unknown",
            "threads": conditions.threads or "unknown",
            "mpi": conditions.mpi or "none",
        }
    return facts


def select(runs: Sequence[RunLog], where: Where | None) -> list[RunLog]:
    """Return the runs that fulfil a condition; all runs without one.

    Raises
    ------
    UsageError
        The condition names a key that no run has, or no run fulfils it.
    """
    if where is None:
        return list(runs)
    facts = [facts_of(run) for run in runs]
    where.check({key for one in facts for key in one})
    selected = [run for run, one in zip(runs, facts, strict=True) if where.matches(one)]
    if runs and not selected:
        values = {
            key: sorted({value_text(one.get(key)) for one in facts}, key=natural_key)
            for key in where.keys
        }
        raise UsageError(
            f"no run of {len(runs)} fulfils --where {where.text!r}",
            hint="; ".join(f"{key} is {some_of(found)}" for key, found in values.items()),
        )
    return selected


class KeyTable:
    """The values of runs by key, as texts for rows and columns.

    Parameters
    ----------
    runs : sequence of RunLog
        The runs.
    """

    def __init__(self, runs: Sequence[RunLog]) -> None:
        self._facts = {run.uuid: facts_of(run) for run in runs}
        self._runs = list(runs)
        self.known = {key for facts in self._facts.values() for key in facts}
        self._parameters: dict[str, dict[str, list[str]]] = {}

    def check(self, keys: Iterable[str]) -> None:
        """Refuse keys that no run has.

        Raises
        ------
        UsageError
            The message names the nearest key.
        """
        for key in keys:
            check_key(key, self.known)

    def value(self, run: RunLog, key: str) -> Any:
        """Return a value; None if the run does not have the key."""
        return self._facts[run.uuid].get(key)

    def label(self, run: RunLog, key: str) -> str:
        """Return a value as a text.

        The table of a component is named by its kind, the pre-aggregations before a rule, and
        the parameters in which the runs of that kind differ.
        """
        facts = self._facts[run.uuid]
        if f"{key}.kind" not in self.known:
            return value_text(facts.get(key))
        kind = facts.get(key)
        if kind is None:
            return value_text(None)
        pre = facts.get(f"{key}.pre", "none")
        own = [
            f"{name.rpartition('.')[2]}={value_text(facts.get(name))}"
            for name in self._differing(key).get(kind, ())
        ]
        text = kind if pre == "none" else f"{pre}+{kind}"
        return f"{text} ({', '.join(own)})" if own else text

    def differing(self, runs: Sequence[RunLog], *, with_times: bool = False) -> list[str]:
        """Return the keys in which runs differ, apart from labels.

        Parameters
        ----------
        runs : sequence of RunLog
            The runs.
        with_times : bool
            Whether to include keys that change times only.
        """
        apart = _LABELS if with_times else (*_LABELS, *_LAUNCH, *_TIMES)
        facts = [self._facts[run.uuid] for run in runs]
        keys = dict.fromkeys(key for one in facts for key in one)
        return [
            key
            for key in keys
            if key not in apart
            and key.partition(".")[0] not in _LABELS
            and f"{key}.kind" not in keys
            and any(one.get(key) != facts[0].get(key) for one in facts)
        ]

    def _differing(self, table: str) -> dict[str, list[str]]:
        """Return the parameters in which the components of each kind differ."""
        if table not in self._parameters:
            kinds: dict[str, list[RunLog]] = defaultdict(list)
            for run in self._runs:
                kinds[self._facts[run.uuid].get(table, "")].append(run)
            self._parameters[table] = {
                kind: [
                    key
                    for key in self.differing(runs)
                    if key.startswith(f"{table}.") and key != f"{table}.pre"
                ]
                for kind, runs in kinds.items()
            }
        return self._parameters[table]


def value_text(value: Any) -> str:
    """Write a value of a spec; ``not set`` if there is none."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def in_order(labels: Mapping[str, Any]) -> list[str]:
    """Sort labels by their values if all are numbers, else in natural order."""
    values = labels.values()
    if all(isinstance(value, (int, float)) for value in values):
        return sorted(labels, key=lambda label: float(labels[label]))
    return sorted(labels, key=natural_key)
