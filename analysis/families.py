"""Methods that differ in their load alone, and what the law of their code says of them."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.exact import is_lossless
from analysis.runs import natural_key
from lad_mpi.coding import DispersionCode
from lad_mpi.errors import LadError
from lad_mpi.spec import parse_component, parse_devices
from lad_mpi.theory import sampled_dispersion

if TYPE_CHECKING:
    from analysis.runs import Collection, Method


@dataclass(frozen=True, slots=True)
class Family:
    """Methods that differ in nothing but load, and name, with a code whose V has a law.

    Parameters
    ----------
    name : str
        Their rule and codec.
    members : tuple of Method
        In the order of their loads.
    """

    name: str
    members: tuple[Method, ...]

    @property
    def compressed(self) -> bool:
        """Whether messages pass through a lossy codec."""
        return not is_lossless(self.members[0])

    @property
    def counts(self) -> tuple[int, int]:
        """N devices, and H of them honest."""
        devices = self.members[0].table("devices")
        count = int(devices["count"])
        return count, count - int(devices.get("byzantine", 0))

    def law(self) -> dict[int, float]:
        """Return the expected dispersion of messages in units of β², by load up to N − 1.

        Loads for which the code has no law are left out.
        """
        count, honest = self.counts
        found = {}
        for load in range(1, count):
            factor = _variance_factor(self.members[0], load)
            if math.isfinite(factor):
                found[load] = sampled_dispersion(factor, 0.0, num_devices=count, num_honest=honest)
        return found


def load_families(collection: Collection) -> list[Family]:
    """Find all families of at least two loads, in natural order of their names."""
    groups: dict[str, list[Method]] = defaultdict(list)
    for method in collection.methods:
        if "load" in method.table("coding") and _has_law(method):
            groups[_shared(method)].append(method)
    found = [
        Family(rule_and_codec(members[0]), tuple(sorted(members, key=load_of)))
        for members in groups.values()
        if len({load_of(method) for method in members}) > 1
    ]
    return sorted(found, key=lambda family: natural_key(family.name))


def load_of(method: Method) -> int:
    """Return d of a method of a family."""
    return int(method.table("coding")["load"])


def rule_and_codec(method: Method) -> str:
    """Name a method by its pre-aggregations, rule and codec; by its code where that decodes."""
    rule = method.table("aggregation")
    steps = [step["kind"] if isinstance(step, dict) else step for step in rule.get("pre", [])]
    name = " + ".join([*steps, str(rule.get("kind", method.table("coding").get("kind")))])
    codec = _codec(method)
    return (name if codec == "none" else f"{name}, {codec}").replace("_", " ")


def _has_law(method: Method) -> bool:
    try:
        return isinstance(parse_component(method.spec, "coding"), DispersionCode)
    except LadError:
        return False


def _variance_factor(method: Method, load: int) -> float:
    """Return V/β² of a method's code at another load; NaN where it has none."""
    changed = {**method.spec, "coding": {**method.table("coding"), "load": load}}
    try:
        devices = parse_devices(changed)
        code = parse_component(changed, "coding")
    except LadError:
        return math.nan
    if not isinstance(code, DispersionCode):
        return math.nan
    return code.variance_factor(devices.count, devices.num_byzantine)


def _shared(method: Method) -> str:
    return method.numbers_key("coding.load")


def _codec(method: Method) -> str:
    return str(method.table("compression").get("kind", "none"))
