"""The families of components: the suite's own members and those of other packages."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from lad_mpi.aggregation import PRE_AGGREGATIONS, RULES, PreAggregation, Rule
from lad_mpi.attacks import ATTACKS, DataAttack, LocalAttack, OmniscientAttack, WireAttack
from lad_mpi.coding import CODES, Code
from lad_mpi.compression import CODECS, Codec
from lad_mpi.data import DATA, DrawnData, StoredData
from lad_mpi.errors import UsageError
from lad_mpi.models import MODELS, Model
from lad_mpi.optimizers import OPTIMIZERS, SCHEDULES, Optimizer, Schedule
from lad_mpi.spec.contracts import complaints

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Replaces a name or a version that the metadata lack.
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Offer:
    """A component that an entry point names, not imported yet.

    Parameters
    ----------
    kind : str
        Name of the entry point, which a spec uses.
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
        The class, or in one line why it cannot be used. An import may raise any error.
    """
    try:
        found = offer.point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  (of another package's code)
        lines = str(error).strip().splitlines()
        return f"cannot be imported: {': '.join([type(error).__name__, *lines[:1]])}"
    if not isinstance(found, type):
        return f"is of type {type(found).__name__}, but must be a class"
    return found


def _offer(point: EntryPoint) -> Offer:
    name = version = None
    if point.dist is not None:
        name, version = point.dist.name, point.dist.version
    return Offer(point.name, point.value, name or UNKNOWN, version or UNKNOWN, point)


@dataclass(frozen=True)
class Family:
    """A family of exchangeable components.

    Parameters
    ----------
    noun : str
        Name of a member in messages.
    group : str
        Entry-point group through which other packages add to it.
    table : mapping of str to type
        The suite's own members by kind. Other packages cannot use these names.
    contracts : tuple of type
        A member implements exactly one of these protocols; see
        :func:`lad_mpi.spec.contracts.complaints`.
    """

    noun: str
    group: str
    table: Mapping[str, type[Any]]
    contracts: tuple[type[Any], ...]

    def kinds(self) -> set[str]:
        """Return the names of all own members and of all that other packages offer."""
        return {*self.table, *(offer.kind for offer in offers(self.group))}

    def find(self, kind: str) -> type[Any]:
        """Return the member of a kind, checked against its contract.

        Parameters
        ----------
        kind : str
            One of :meth:`kinds`.

        Raises
        ------
        UsageError
            It cannot be imported, two packages offer it, or it breaks its contract.
        """
        if kind in self.table:
            return self.table[kind]
        first, *others = found = self.offered(kind)
        if others:
            raise UsageError(
                f"more than one package offers the {self.noun} {kind!r}: "
                f"{' and '.join(map(str, found))}",
                hint="uninstall all but one of them",
            )
        offered = imported(first)
        if isinstance(offered, str):
            raise UsageError(
                f"{first} {offered}",
                hint=f"repair or uninstall {first.distribution}, or take another {self.noun}",
            )
        self._check(offered, kind, f"{first.distribution} {first.version}")
        return offered

    def offered(self, kind: str) -> list[Offer]:
        """Return what other packages offer under a name."""
        return [offer for offer in offers(self.group) if offer.kind == kind]

    def members(self) -> dict[str, type[Any]]:
        """Return all usable members, of the suite and of other packages."""
        return {kind: self.find(kind) for kind in self.kinds() - self.unusable().keys()}

    def unusable(self) -> dict[str, str]:
        """Return why kinds of other packages cannot be used, one line each."""
        reasons = {kind: self._why_not(kind) for kind in self.kinds()}
        return {kind: reason for kind, reason in reasons.items() if reason}

    def _why_not(self, kind: str) -> str:
        try:
            self.find(kind)
        except UsageError as error:
            names = " and ".join(map(str, self.offered(kind)))
            return error.message if names in error.message else f"{names}: {error.message}"
        return ""

    def complaints(self, cls: Any) -> str:
        """Return in one line why a class cannot be a member; empty if it can.

        The suite's own members are not examined: that would slow down the start of every rank,
        and its tests do it.
        """
        if cls in self.table.values():
            return ""
        found: tuple[str, ...] = complaints(cls, self.contracts)
        return f"class {cls.__module__}.{cls.__qualname__} {'; it '.join(found)}" if found else ""

    def _check(self, cls: type[Any], kind: str, source: str) -> None:
        message = self.complaints(cls)
        if not message and cls.kind != kind:
            message = (
                f"class {cls.__module__}.{cls.__qualname__} has kind = {cls.kind!r}, and its "
                f"entry point is named {kind!r}"
            )
        if message:
            hint = f"{source} offers it; docs/extending.md shows what every {self.noun} needs"
            raise UsageError(message, hint=hint)


#: The families of components, by their table in a spec.
FAMILIES: dict[str, Family] = {
    "data": Family("data set", "lad_mpi.data", DATA, (StoredData, DrawnData)),
    "model": Family("model", "lad_mpi.models", MODELS, (Model,)),
    "coding": Family("code", "lad_mpi.codes", CODES, (Code,)),
    "compression": Family("codec", "lad_mpi.codecs", CODECS, (Codec,)),
    "attack": Family(
        "attack",
        "lad_mpi.attacks",
        ATTACKS,
        (LocalAttack, OmniscientAttack, DataAttack, WireAttack),
    ),
    "aggregation": Family("rule", "lad_mpi.rules", RULES, (Rule,)),
    "pre": Family(
        "pre-aggregation", "lad_mpi.pre_aggregations", PRE_AGGREGATIONS, (PreAggregation,)
    ),
    "optimizer": Family("optimizer", "lad_mpi.optimizers", OPTIMIZERS, (Optimizer,)),
    "schedule": Family("schedule", "lad_mpi.schedules", SCHEDULES, (Schedule,)),
}
