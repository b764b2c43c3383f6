"""What other packages offer to the families of components, by their entry points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any


@dataclass(frozen=True, slots=True)
class Offer:
    """A component that an entry point names.

    Parameters
    ----------
    kind : str
        Name of the entry point, by which a spec asks for it.
    target : str
        What the entry point refers to, ``"mylab:Shift"``.
    distribution, version : str
        The package that declares it, as its metadata have them.
    cls : type or None
        The class; None if it cannot be had.
    reason : str
        Why it cannot be used; empty if it can.
    """

    kind: str
    target: str
    distribution: str
    version: str
    cls: type[Any] | None
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.target} of {self.distribution} {self.version}"


@cache
def offers(group: str) -> tuple[Offer, ...]:
    """Import what all entry points of a group name; one that cannot be imported ends nothing."""
    points = sorted(entry_points(group=group), key=lambda point: (point.name, point.value))
    return tuple(_offer(point) for point in points)


def _offer(point: EntryPoint) -> Offer:
    cls, reason = _load(point)
    distribution, version = "unknown", "unknown"
    if point.dist is not None:
        # A folder may hold metadata of which only the name of the folder is known.
        distribution = point.dist.name or distribution
        version = point.dist.version or version
    return Offer(point.name, point.value, distribution, version, cls, reason)


def _load(point: EntryPoint) -> tuple[type[Any] | None, str]:
    try:
        found = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  (whatever importing it raises is its own)
        lines = str(error).strip().splitlines()
        return None, ": ".join(["cannot be imported", type(error).__name__, *lines[:1]])
    if not isinstance(found, type):
        return None, f"is not a class but of type {type(found).__name__}"
    return found, ""
