"""Names of methods from their specs: setting, rule and load."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from analysis.exact import is_lossless
from analysis.runs import natural_key
from lad_mpi.coding import DispersionCode
from lad_mpi.errors import LadError
from lad_mpi.spec import flatten, parse_component, parse_devices
from lad_mpi.theory import sampled_dispersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from analysis.runs import Collection, Method

#: Parts of a spec that are named elsewhere, or change neither data nor errors.
_APART = {
    "name", "seed", "data", "model", "devices", "coding", "compression", "attack", "aggregation",
    "logging", "safety", "network", "overlap", "server", "backend.gpu_transfers",
}  # fmt: skip
_FEW = 4
_LONG = 40


@dataclass(frozen=True, slots=True)
class MethodName:
    """The shortest name of a method that distinguishes it from other methods.

    Parameters
    ----------
    method : Method
        The method.
    data : str
        Its data and its model, in full. Only values of the same ones can be compared.
    setting : str
        Those of data, model, N, f and attack in which the methods differ; empty if they do not.
    rule : str
        Pre-aggregations, rule, codec, and other differences except the load; the code if it
        decodes.
    load : int or None
        d; None for a code without a choice of load.
    """

    method: Method
    data: str
    setting: str
    rule: str
    load: int | None

    @property
    def family(self) -> str:
        """The name that methods share if they differ only in load."""
        return joined(self.rule, self.setting)

    @property
    def variant(self) -> str:
        """The name among methods of the same setting."""
        return self.rule if self.load is None else f"{self.rule}, d = {self.load}"


@dataclass(frozen=True, slots=True)
class LoadFamily:
    """Methods that differ only in load and label.

    Parameters
    ----------
    name, rule, setting, data : str
        As in :class:`MethodName`.
    members : tuple of Method
        The methods, by ascending load.
    """

    name: str
    rule: str
    setting: str
    data: str
    members: tuple[Method, ...]

    @property
    def compressed(self) -> bool:
        """Whether the codec is lossy."""
        return not is_lossless(self.members[0])

    @property
    def counts(self) -> tuple[int, int]:
        """Number N of devices, and number H of honest ones."""
        devices = self.members[0].table("devices")
        count = int(devices["count"])
        return count, count - int(devices.get("byzantine", 0))

    def law(self) -> dict[int, float]:
        """Return the expected dispersion of messages in units of β², by load up to N − 1.

        Loads for which the code has no law are omitted. With momentum or batches, messages
        do not only depend on the gradients of the current model over all samples, so there is
        no law in units of their β².
        """
        devices = self.members[0].table("devices")
        if devices.get("momentum") or "batch_size" in devices:
            return {}
        count, honest = self.counts
        found = {}
        for load in range(1, count):
            factor = _variance_factor(self.members[0], load)
            if math.isfinite(factor):
                found[load] = sampled_dispersion(factor, 0.0, num_devices=count, num_honest=honest)
        return found


def name_methods(methods: Sequence[Method]) -> list[MethodName]:
    """Name methods so that no two have the same setting, rule and load."""
    where = _settings([method.spec for method in methods])
    rules = _rules(methods, where)
    return [
        MethodName(method, _data_and_model(method.spec), setting, rule, load_of(method))
        for method, setting, rule in zip(methods, where, rules, strict=True)
    ]


def brief_labels(methods: Sequence[Method]) -> dict[str, str]:
    """Return unique names for figures, by the labels of methods.

    They are the labels. But if runs of a study have no names of their own, their labels list
    all differences. If such a list is long, the names are rule, load and setting instead.
    """
    listed = any(
        len(method.label) > _LONG and method.label not in method.runs[0].names for method in methods
    )
    if not listed:
        return {method.label: method.label for method in methods}
    return {one.method.label: joined(one.variant, one.setting) for one in name_methods(methods)}


def load_families(collection: Collection) -> list[LoadFamily]:
    """Find all families of at least two loads, in natural order of their names."""
    groups: dict[str, list[MethodName]] = defaultdict(list)
    for found in name_methods(collection.methods):
        if found.load is not None:
            groups[found.family].append(found)
    families = []
    for name, members in groups.items():
        first, ordered = members[0], sorted(members, key=lambda member: member.load or 0)
        if len({member.load for member in members}) > 1:
            ours = tuple(member.method for member in ordered)
            families.append(LoadFamily(name, first.rule, first.setting, first.data, ours))
    return sorted(families, key=lambda family: natural_key(family.name))


def load_of(method: Method) -> int | None:
    """Return d; None for a code without a choice of load."""
    load = method.table("coding").get("load")
    return None if load is None else int(load)


def rule_and_codec(spec: Mapping[str, Any]) -> str:
    """Name a spec by its pre-aggregations, rule and codec, or by its code if that decodes."""
    return _without_parameters(_rule(spec))


def setting_of(specs: Iterable[Mapping[str, Any]]) -> str:
    """Describe N, f, attack, data and model of runs, with all values in which they differ.

    Examples
    --------
    >>> devices = [{"devices": {"count": 10, "byzantine": f}} for f in (1, 3)]
    >>> setting_of(devices)
    'N = 10 devices, f = 1 to 3 of them Byzantine; attack: unknown; data: unknown; model: unknown'
    """
    found = list(specs)
    count, faults = zip(*map(_counts, found), strict=True)
    devices = f"N = {_range(count)} devices, f = {_range(faults)} of them Byzantine"
    for key, name in (("batch_size", "batches of"), ("momentum", "momentum")):
        values = {_table(spec, "devices").get(key) or 0 for spec in found}
        if values != {0}:
            devices += f", {name} {_range(sorted(values))}"
    tables = ("attack", "data", "model")
    parts = [f"{name}: {_several([_table(spec, name) for spec in found])}" for name in tables]
    return "; ".join([devices, *parts])


def joined(*parts: str) -> str:
    """Join the parts that are not empty with commas."""
    return ", ".join(part for part in parts if part)


def _rules(methods: Sequence[Method], where: Sequence[str]) -> list[str]:
    """Name rules and codecs, with further differences between methods of the same name."""
    others = [
        {
            "rule": _rule(method.spec),
            "code": _code(method.spec),
            **_rest(method.spec),
            **method.origin.facts(),
        }
        for method in methods
    ]
    names = [rule_and_codec(method.spec) for method in methods]
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, name in enumerate(zip(names, where, strict=True)):
        places[name].append(place)
    for alike in places.values():
        keys = dict.fromkeys(key for place in alike for key in others[place])
        for key in keys:
            values = [others[place].get(key, "none") for place in alike]
            if len(set(values)) == 1:
                continue
            for place, value in zip(alike, values, strict=True):
                if key == "rule":
                    names[place] = value
                else:
                    names[place] = joined(names[place], f"{key.replace('_', ' ')} {value}")
    # Methods may differ in something outside the spec. Then add their labels.
    known: dict[tuple[str, str, int | None], int] = {}
    for place, (method, setting) in enumerate(zip(methods, where, strict=True)):
        first = known.setdefault((setting, names[place], load_of(method)), place)
        if first != place:
            names[place] = joined(names[place], method.label)
    return names


def _settings(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name those of data, model, N, f and attack in which the specs differ."""
    counts = list(zip(*map(_counts, specs), strict=True))
    parts = [
        _differing([_table(spec, "data") for spec in specs]),
        _differing([_table(spec, "model") for spec in specs]),
        [f"N = {count}" for count in counts[0]],
        [f"f = {faults}" for faults in counts[1]],
        [f"attack {text}" for text in _differing([_table(spec, "attack") for spec in specs])],
    ]
    varying = [texts for texts in parts if len(set(texts)) > 1]
    return [joined(*(texts[place] for texts in varying)) for place in range(len(specs))]


def _differing(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name components by kind, with the values in which those of one kind differ."""
    kinds = {str(table.get("kind", "unknown")): _values(table) for table in tables}
    differing = {
        kind: [
            key
            for key in values
            if len({_values(t).get(key) for t in tables if t.get("kind") == kind}) > 1
        ]
        for kind, values in kinds.items()
    }
    texts = []
    for table in tables:
        kind, values = str(table.get("kind", "unknown")), _values(table)
        own = ", ".join(values[key] for key in differing[kind] if key in values)
        name = kind.replace("_", " ")
        texts.append(own if own and len(kinds) == 1 else f"{name} ({own})" if own else name)
    return texts


def _variance_factor(method: Method, load: int) -> float:
    """Return V/β² of the code of a method at another load; NaN if it has no law."""
    changed = {**method.spec, "coding": {**method.table("coding"), "load": load}}
    try:
        devices = parse_devices(changed)
        code = parse_component(changed, "coding")
    except LadError:
        return math.nan
    if not isinstance(code, DispersionCode):
        return math.nan
    return code.variance_factor(devices.count, devices.num_byzantine)


def _without_parameters(text: str) -> str:
    return re.sub(r" \([^()]*\)", "", text)


def _component(table: Mapping[str, Any], default: str = "unknown") -> str:
    """Name a component with its numbers and texts, without its boolean switches."""
    name = str(table.get("kind", default)).replace("_", " ")
    told = [text for key, text in _values(table).items() if not isinstance(table[key], bool)]
    return f"{name} ({', '.join(told)})" if told else name


def _values(table: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of a component as texts, by key."""
    return {
        key: _value(value) if key == "path" else f"{key.replace('_', ' ')} {_value(value)}"
        for key, value in table.items()
        if key not in {"kind", "pre"} and not isinstance(value, dict)
    }


def _value(value: object) -> str:
    # Show only the name of a file, without its folder.
    if isinstance(value, str):
        return PurePath(value).name
    if isinstance(value, list):
        return "-".join(map(_value, value)) or "none"
    return f"{value:g}".replace("-", "−") if isinstance(value, float) else str(value)


def _table(spec: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = spec.get(name, {})
    return found if isinstance(found, dict) else {}


def _data_and_model(spec: Mapping[str, Any]) -> str:
    return joined(*(_component(_table(spec, name)) for name in ("data", "model")))


def _code(spec: Mapping[str, Any]) -> str:
    coding = {key: value for key, value in _table(spec, "coding").items() if key != "load"}
    return _component(coding)


def _rule(spec: Mapping[str, Any]) -> str:
    rule = _table(spec, "aggregation")
    steps = [step if isinstance(step, dict) else {"kind": step} for step in rule.get("pre", [])]
    # A code without a choice of load is part of the name. If it decodes, it is all of it.
    code = [] if rule and "load" in _table(spec, "coding") else [_code(spec)]
    last = [_component(rule)] if rule else []
    name = " + ".join([*code, *map(_component, steps), *last])
    codec = _component(_table(spec, "compression"), "none")
    return name if codec == "none" else f"{name}, {codec}"


def _rest(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return all other values of a spec, by the last part of their keys."""
    devices = _table(spec, "devices")
    names = {"assumed_byzantine": "assumed f", "batch_size": "batches of", "momentum": "momentum"}
    told = {name: _value(devices[key]) for key, name in names.items() if key in devices}
    tables = {key: value for key, value in spec.items() if key not in _APART}
    flat = {key: value for key, value in flatten(tables).items() if key not in _APART}
    for key, value in flat.items():
        table, _, name = key.rpartition(".")
        # The kind of a component is named by its table.
        told[table.rpartition(".")[2] if name == "kind" else name] = _value(value)
    return told


def _counts(spec: Mapping[str, Any]) -> tuple[int, int]:
    """Return N and f."""
    devices = _table(spec, "devices")
    return int(devices.get("count", 0)), int(devices.get("byzantine", 0))


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _several(tables: Sequence[Mapping[str, Any]]) -> str:
    full = sorted({_component(table) for table in tables})
    if len(full) == 1:
        return full[0]
    brief = sorted(set(_differing(tables)), key=natural_key)
    return " or ".join(brief) if len(brief) <= _FEW else f"{len(brief)}, as named"
