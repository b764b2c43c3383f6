"""Methods that differ in their load alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.runs import natural_key

if TYPE_CHECKING:
    from analysis.runs import Collection, Method


@dataclass(frozen=True, slots=True)
class Family:
    """Methods with cyclic coding that differ in nothing but load, and name.

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
        return _codec(self.members[0]) != "none"

    @property
    def counts(self) -> tuple[int, int]:
        """N devices, and H of them honest."""
        devices = self.members[0].table("devices")
        count = int(devices["count"])
        return count, count - int(devices.get("byzantine", 0))

    @property
    def random(self) -> bool:
        """Whether the assignment is drawn anew every iteration."""
        return self.members[0].table("coding").get("assignment") == "random"


def load_families(collection: Collection) -> list[Family]:
    """Find all families of at least two loads, in natural order of their names."""
    groups: dict[str, list[Method]] = defaultdict(list)
    for method in collection.methods:
        if method.table("coding").get("kind") == "cyclic":
            groups[_shared(method)].append(method)
    found = [
        Family(rule_and_codec(members[0]), tuple(sorted(members, key=load_of)))
        for members in groups.values()
        if len({load_of(method) for method in members}) > 1
    ]
    return sorted(found, key=lambda family: natural_key(family.name))


def load_of(method: Method) -> int:
    """Return d of a method with cyclic coding."""
    return int(method.table("coding")["load"])


def rule_and_codec(method: Method) -> str:
    """Name a method by its pre-aggregations, rule and codec; by its code where that decodes."""
    rule = method.table("aggregation")
    steps = [step["kind"] if isinstance(step, dict) else step for step in rule.get("pre", [])]
    name = " + ".join([*steps, str(rule.get("kind", method.table("coding").get("kind")))])
    codec = _codec(method)
    return (name if codec == "none" else f"{name}, {codec}").replace("_", " ")


def _shared(method: Method) -> str:
    return method.numbers_key("coding.load")


def _codec(method: Method) -> str:
    return str(method.table("compression").get("kind", "none"))
