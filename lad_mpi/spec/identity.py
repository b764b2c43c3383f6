"""The identity of a run: what it computes, on which data, with which packages."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
from dataclasses import dataclass, field
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from lad_mpi._version import __version__
from lad_mpi.errors import DataError
from lad_mpi.models import ImportingModel
from lad_mpi.spec.document import to_mapping
from lad_mpi.spec.families import FAMILIES, UNKNOWN, imported, offers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lad_mpi.spec.model import Spec

_ID_CHARACTERS = 10
_MOST_SHOWN = 200
#: Keys that change neither numbers nor times: labels, files and safeguards.
_NO_PART = (
    "name",
    "safety",
    "server",
    "logging.flush_every",
    "logging.swmr",
    "logging.host_details",
)
#: Keys that change what times mean, but no other numbers.
_OF_TIMES = (
    "network",
    "backend.gpu_transfers",
    "logging.warmup_iterations",
)
#: Keys that say where the data are and how they are read. The digest identifies the data.
_OF_DATA = (
    "data.kind",
    "data.path",
    "data.test_path",
    "data.target",
    "data.header",
    "data.index",
)
#: The digest of data that cannot be read.
UNREADABLE_DATA = "unreadable"
_SUITE = "lad_mpi"


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything that decides the numbers of a run, and what its times mean.

    Labels, flush intervals and safeguards are not part of it. The number of ranks is not
    part of it either: the numbers do not depend on it, and a run can be resumed on another
    number of ranks.

    Parameters
    ----------
    numbers : mapping
        Dotted keys of the resolved spec that decide numbers, with their values.
    times : mapping
        Keys that only change what times mean.
    data_digest : str
        Digest of the data that are read; empty if no data are read, and None if a log
        does not hold it.
    packages : tuple of str
        ``"name version"`` of every package that provides a component, sorted.
    data_keys : mapping
        Keys that the digest replaces: where the data are, and how they were read.
    """

    numbers: Mapping[str, Any] = field(hash=False)
    times: Mapping[str, Any] = field(hash=False)
    data_digest: str | None
    packages: tuple[str, ...]
    data_keys: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the whole, in hexadecimal digits."""
        whole = [self.numbers, self.times, self.data_digest, self.packages]
        canonical = json.dumps(whole, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def run_id(self) -> str:
        """The short form of :attr:`digest` that file names carry."""
        return self.digest[:_ID_CHARACTERS]

    @property
    def spec_key(self) -> str:
        """A key that is equal for runs whose specs differ only in labels, with any data."""
        return json.dumps([self.numbers, self.times], sort_keys=True, default=str)

    def numbers_key(self, *without: str) -> str:
        """Return a key that is equal for runs with the same numbers, apart from the named keys."""
        kept = {key: value for key, value in self.numbers.items() if key not in without}
        return json.dumps([kept, self.data_digest, self.packages], sort_keys=True, default=str)

    def differences(self, earlier: Identity) -> list[str]:
        """Return what differs from an earlier run: key, old value and new value."""
        old, new = {**earlier.numbers, **earlier.times}, {**self.numbers, **self.times}
        is_other_data = self.data_digest != earlier.data_digest
        if is_other_data:
            old, new = {**old, **earlier.data_keys}, {**new, **self.data_keys}
        found = [
            f"{key} was {_shown(old, key)} and is {_shown(new, key)}"
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        ]
        if is_other_data:
            key = "data.path" if "data.path" in new else "data"
            found.append(
                f"{key}: the digest of the data was {_named(earlier.data_digest)} and is "
                f"{_named(self.data_digest)}"
            )
        if self.packages != earlier.packages:
            found.append(
                f"the packages were {', '.join(earlier.packages) or 'unknown'} and "
                f"are {', '.join(self.packages)}"
            )
        return found


def identify(spec: Spec) -> Identity:
    """Return the identity of a run of a spec. This reads the data, if there are any.

    Data that cannot be read have the digest :data:`UNREADABLE_DATA`, so that a study can be
    planned without them.
    """
    try:
        digest = spec.data.digest()
    except DataError:
        digest = UNREADABLE_DATA
    packages = {_SUITE: __version__, **component_packages(spec)}
    named = tuple(sorted(f"{name} {version}" for name, version in packages.items()))
    return identity_of(to_mapping(spec), digest, named)


def identity_of(
    mapping: Mapping[str, Any], data_digest: str | None, packages: tuple[str, ...]
) -> Identity:
    """Return the identity of a run from its resolved spec, as a log holds it.

    Parameters
    ----------
    mapping : mapping
        The resolved spec, as :func:`~lad_mpi.spec.to_mapping` gives it.
    data_digest, packages
        As for :class:`Identity`.
    """
    numbers: dict[str, Any] = {}
    times: dict[str, Any] = {}
    data_keys: dict[str, Any] = {}
    is_known = data_digest and data_digest != UNREADABLE_DATA
    for key, value in flatten(mapping).items():
        if is_known and _is_under(key, _OF_DATA):
            data_keys[key] = value
        elif not _is_under(key, _NO_PART):
            (times if _is_under(key, _OF_TIMES) else numbers)[key] = value
    return Identity(numbers, times, data_digest, packages, data_keys)


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested table with dotted keys.

    Examples
    --------
    >>> flatten({"coding": {"load": 2}})
    {'coding.load': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _is_under(key: str, tables: tuple[str, ...]) -> bool:
    return any(key == table or key.startswith(f"{table}.") for table in tables)


def _shown(values: Mapping[str, Any], key: str) -> str:
    # As TOML has it.
    if key not in values:
        return "not set"
    text = json.dumps(values[key], ensure_ascii=False)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def _named(digest: str | None) -> str:
    return "unknown" if digest is None else digest or "none"


def component_packages(spec: Spec) -> dict[str, str]:
    """Return the distributions of components, and of models' modules, of other packages.

    Parameters
    ----------
    spec : Spec
        A checked spec.

    Returns
    -------
    dict of str to str
        Version of each distribution, from its metadata, sorted by name. A class without an
        entry point is looked up by its module. If no distribution has the module, the name
        is that of the module, and the version is ``unknown``.
    """
    found = dict(_distribution(part) for part in _others(spec))
    if isinstance(spec.model, ImportingModel):
        for module in spec.model.modules:
            name, number = _distribution_of(module)
            found[name] = f"{number} {_source_digest(module)}".rstrip()
    return dict(sorted(found.items()))


@runtime_checkable
class _Component(Protocol):
    kind: ClassVar[str]


def _others(value: Any) -> Iterator[_Component]:
    """Yield each component of another package within a value, the value included."""
    if dataclasses.is_dataclass(value):
        # The quick check comes first: a check against a protocol is slow.
        if _module(type(value)) != _SUITE and isinstance(value, _Component):
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
    return _distribution_of(_module(cls))


def _distribution_of(module: str) -> tuple[str, str]:
    for name in packages_distributions().get(module, []):
        return name, version(name)
    return module, UNKNOWN


def _source_digest(module: str) -> str:
    """Return a digest of the Python files of a module that is developed, else an empty text.

    A package that pip has copied into its folder changes with its version. Other files may change
    between two runs.
    """
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return ""
    if spec is None or spec.origin is None or not spec.has_location:
        return ""
    if {"site-packages", "dist-packages"} & {*Path(spec.origin).parts}:
        return ""
    folders = spec.submodule_search_locations
    files = sorted(Path(folders[0]).rglob("*.py")) if folders else [Path(spec.origin)]
    sha = hashlib.sha256()
    for file in files:
        sha.update(file.read_bytes())
    return f"sha256:{sha.hexdigest()[:_ID_CHARACTERS]}"


def _module(cls: type[Any]) -> str:
    return cls.__module__.partition(".")[0]
