"""What other packages offer to the families of components, by their entry points."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Offer:
    """A component that an entry point names, not imported yet.

    Parameters
    ----------
    kind : str
        Name of the entry point, by which a spec asks for it.
    target : str
        What the entry point refers to, ``"mylab:Shift"``.
    distribution, version : str
        The package that declares it, as its metadata have them.
    point : EntryPoint
        The entry point.
    """

    kind: str
    target: str
    distribution: str
    version: str
    point: EntryPoint = field(repr=False)

    def __str__(self) -> str:
        return f"{self.target} of {self.distribution} {self.version}"


@cache
def offers(group: str) -> tuple[Offer, ...]:
    """Find all entry points of a group, by name; nothing is imported."""
    points = sorted(entry_points(group=group), key=lambda point: (point.name, point.value))
    return tuple(_offer(point) for point in points)


@cache
def imported(offer: Offer) -> type[Any] | str:
    """Import what an offer names.

    Returns
    -------
    type or str
        The class; or in one line why it cannot be had, whatever importing it raised.
    """
    try:
        found = offer.point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  (of another package's code)
        lines = str(error).strip().splitlines()
        return f"cannot be imported: {': '.join([type(error).__name__, *lines[:1]])}"
    if not isinstance(found, type):
        return f"is of type {type(found).__name__}, and has to be a class"
    return found


def _offer(point: EntryPoint) -> Offer:
    name = version = None
    if point.dist is not None:
        name, version = point.dist.name, point.dist.version
    return Offer(point.name, point.value, name or _UNKNOWN, version or _UNKNOWN, point)
