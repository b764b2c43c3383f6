"""Which distributions the components of a spec come from."""

from __future__ import annotations

import dataclasses
from importlib.metadata import packages_distributions, version
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from lad_mpi.spec.components import FAMILIES
from lad_mpi.spec.offers import imported, offers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lad_mpi.spec.model import Spec

_OWN = "lad_mpi"
_UNKNOWN = "unknown"


def component_packages(spec: Spec) -> dict[str, str]:
    """Return the distributions of the components that do not come from this suite.

    Parameters
    ----------
    spec : Spec
        A checked spec.

    Returns
    -------
    dict of str to str
        Version of each distribution, as its metadata have it, sorted by name. A class
        that no entry point offers is looked up by its module. If no distribution has
        that module either, the module stands for it, and the version is ``unknown``.
    """
    return dict(sorted(_distribution(part) for part in _others(spec)))


@runtime_checkable
class _Component(Protocol):
    kind: ClassVar[str]


def _others(value: Any) -> Iterator[_Component]:
    """Yield each component of another package within a value, the value included."""
    if dataclasses.is_dataclass(value):
        # First what is quick to tell: a check against a protocol is slow.
        if _module(type(value)) != _OWN and isinstance(value, _Component):
            yield value
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _others(part)


def _distribution(component: _Component) -> tuple[str, str]:
    cls = type(component)
    for family in FAMILIES.values():
        for offer in offers(family.group):
            if offer.kind == component.kind and imported(offer) is cls:
                return offer.distribution, offer.version
    module = _module(cls)
    for name in packages_distributions().get(module, []):
        return name, version(name)
    return module, _UNKNOWN


def _module(cls: type[Any]) -> str:
    return cls.__module__.partition(".")[0]
