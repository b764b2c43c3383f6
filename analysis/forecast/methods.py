"""Runs by method: rule, codec, and all other keys that do not change the size of a run."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from analysis.families import rule_and_codec
from analysis.labels import natural_key, tell_apart
from lad_mpi.spec import flatten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lad_mpi.logs import RunLog

#: Parts of a spec that a forecast varies, or that change no number of an iteration.
_SIZES = {
    "coding": ("load",),
    "problem": ("dimension", "samples_per_subset"),
    "devices": ("count", "byzantine", "assumed_byzantine"),
}
_IDLE = ("name", "seed", "iterations", "logging", "safety")


def find_methods(runs: Sequence[RunLog]) -> dict[str, tuple[RunLog, ...]]:
    """Group runs by method, in natural order of the methods' names."""
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
