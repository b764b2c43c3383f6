"""Read parts of a log and check their types, shapes and ranges.

A log may come from an untrusted source, so everything is checked before use. Anything invalid
raises one of the exceptions in :data:`DAMAGE`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import h5py
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lad_mpi.errors import first_mistake
from lad_mpi.logs import schema
from lad_mpi.toml import parse_toml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lad_mpi.types import HostFloats

#: Exceptions that reading data of an unexpected type or shape may raise.
DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)

_FLOATS, _NUMBERS = "f", "fiu"
# Words of specs before release 0.2.
_OLD_PROBLEM, _SYNTHETIC, _DIABETES = "linear_regression", "synthetic", "diabetes"
_OF_SYNTHETIC = ("dimension", "samples_per_subset", "heterogeneity")
_Count = Annotated[int, Field(ge=1, lt=2**63)]
_Number = Annotated[int, Field(ge=0, lt=2**63)]


class MalformedError(ValueError):
    """A required part of a log is missing, or has an invalid type, shape or range."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Component(_Record):
    kind: str = ""


class _Devices(_Record):
    count: _Count = 1
    byzantine: _Number = 0


class _Coding(_Component):
    load: _Count = 1


class _Network(_Record):
    emulate: dict[str, str | int | float] = {}


class _Spec(_Record):
    """The parts of a spec that readers use. Other parts may differ between releases."""

    seed: int
    iterations: _Number
    compute: str = ""
    devices: _Devices = _Devices()
    coding: _Coding = _Coding()
    backend: _Component = _Component()
    network: _Network = _Network()


class _Provenance(_Record):
    """The parts of a provenance that readers use."""

    first_iteration: _Number
    mpi_ranks: _Count
    server_ranks: _Count = 1
    affinity: list[Annotated[str, Field(pattern=r"^(\d{1,9}(-\d{1,9})?(,|$))*$")]] = []
    blas_threads: list[str] = []
    cpu_model: str = ""
    devices: list[str] = []
    dispersion_prediction: str = ""
    git_dirty: bool = False
    git_revision: str = ""
    gpu_transfers: str = ""
    hosts: list[str] = []
    mpi_library: str = ""
    oversubscribed: bool = False


def group(parent: h5py.Group, name: str) -> h5py.Group:
    """Return a group.

    Raises
    ------
    MalformedError
        The group is missing.
    """
    found = parent.get(name)
    if not isinstance(found, h5py.Group):
        raise MalformedError(f"group {_path(parent, name)} is missing")
    return found


class Members(dict[str, Any]):
    """The groups and datasets in a group, each opened once, which takes most of the time.

    Parameters
    ----------
    parent : h5py.Group
        The group.
    """

    def __init__(self, parent: h5py.Group) -> None:
        super().__init__(parent.items())
        self.name = str(parent.name)


def numbers(
    parent: h5py.Group | Members, name: str, dimensions: int, *, kinds: str = _NUMBERS
) -> Any:
    """Return a dataset of numbers.

    Parameters
    ----------
    parent : h5py.Group or Members
        Group of the dataset.
    name : str
        Name of the dataset.
    dimensions : int
        Expected number of dimensions.
    kinds : str
        Valid kinds of the dtype, as NumPy's letters.

    Raises
    ------
    MalformedError
        The dataset is missing, or has another shape or dtype.
    """
    found = parent.get(name)
    if not isinstance(found, h5py.Dataset):
        raise MalformedError(f"dataset {_path(parent, name)} is missing")
    shape, dtype = found.shape, found.dtype
    if shape is None or len(shape) != dimensions or dtype.kind not in kinds:
        raise MalformedError(
            f"{found.name} has shape {shape} and dtype {dtype}; expected numbers "
            f"with {dimensions} dimensions"
        )
    return found


def integers(parent: h5py.Group | Members, name: str, dimensions: int) -> Any:
    """Return a dataset of integers; see :func:`numbers`."""
    return numbers(parent, name, dimensions, kinds="iu")


def floats(parent: h5py.Group | Members, name: str, dimensions: int) -> Any:
    """Return a dataset of floating-point numbers; see :func:`numbers`."""
    return numbers(parent, name, dimensions, kinds=_FLOATS)


def words(parent: h5py.Group | Members, name: str) -> tuple[str, ...]:
    """Read a one-dimensional dataset of distinct texts.

    Raises
    ------
    MalformedError
        The dataset is missing, not such a list, or has duplicates.
    """
    found = parent.get(name)
    path = _path(parent, name)
    if not isinstance(found, h5py.Dataset):
        raise MalformedError(f"dataset {path} is missing")
    if found.ndim != 1 or h5py.check_string_dtype(found.dtype) is None:
        raise MalformedError(f"{path} is not a list of text")
    try:
        read = tuple(map(str, found.asstr()[:]))
    except UnicodeDecodeError as error:
        raise MalformedError(f"{path} is not UTF-8: {error}") from error
    if len(set(read)) < len(read):
        raise MalformedError(f"{path} has duplicates")
    return read


def text(item: h5py.Group | h5py.Dataset, name: str) -> str:
    """Read a text attribute.

    Raises
    ------
    MalformedError
        The attribute is missing or not text.
    """
    found = item.attrs.get(name)
    if not isinstance(found, str):
        raise MalformedError(f"attribute {name} of {item.name} is missing or not text")
    return str(found)


def texts(item: h5py.Group | h5py.Dataset, name: str) -> tuple[str, ...]:
    """Read an attribute that is a non-empty list of texts.

    Raises
    ------
    MalformedError
        The attribute is missing, empty or not a list of texts.
    """
    found = item.attrs.get(name)
    listed = list(found) if isinstance(found, np.ndarray) and found.ndim == 1 else []
    if not listed or not all(isinstance(one, str) for one in listed):
        raise MalformedError(f"attribute {name} of {item.name} is missing or not a list of text")
    return tuple(listed)


def integer(item: h5py.Group | h5py.Dataset, name: str, least: int) -> int:
    """Read an integer attribute of at least ``least``.

    Raises
    ------
    MalformedError
        The attribute is missing, not an integer, or too small.
    """
    found = item.attrs.get(name)
    if not isinstance(found, np.integer) or found < least:
        raise MalformedError(
            f"attribute {name} of {item.name} is missing or not an integer of at least {least}"
        )
    return int(found)


def parse_spec(written: str) -> dict[str, Any]:
    """Parse a spec, and check the types of the values that readers use.

    A spec of an earlier release is translated; see :func:`upgrade_spec`.

    Raises
    ------
    MalformedError
        The spec is not TOML, or a value that readers use is invalid.
    """
    try:
        parsed = parse_toml(written)
    except ValueError as error:
        raise MalformedError(f"root attribute spec is not TOML: {error}") from error
    _check_tree(parsed)
    try:
        _Spec.model_validate(parsed)
    except ValidationError as error:
        raise MalformedError(f"spec: {first_mistake(error)}") from error
    return upgrade_spec(parsed)


def upgrade_spec(mapping: dict[str, Any]) -> dict[str, Any]:
    """Translate the table ``[problem]`` of releases before 0.2 to ``[data]`` and ``[model]``.

    Keys that had no effect on synthetic data are left out.

    Examples
    --------
    >>> upgrade_spec({"problem": {"kind": "linear_regression", "data": "a.csv"}})
    {'data': {'kind': 'file', 'path': 'a.csv'}, 'model': {'kind': 'linear_regression'}}
    """
    problem = mapping.get("problem")
    if not isinstance(problem, dict) or not mapping.keys().isdisjoint({"data", "model"}):
        return mapping
    model = problem.get("kind", _OLD_PROBLEM)
    data = {key: value for key, value in problem.items() if key not in {"kind", "data"}}
    source = problem.get("data", _SYNTHETIC)
    if model != _OLD_PROBLEM:
        # A problem of another package described its data and its model in one table.
        data = {**problem}
    elif source == _SYNTHETIC:
        data = {"kind": source} | {key: data[key] for key in _OF_SYNTHETIC if key in data}
    elif source == _DIABETES:
        data = {"kind": source, **data}
    else:
        data = {"kind": "file", "path": source, **data}
    tables = {"data": data, "model": {"kind": model}}
    translated: dict[str, Any] = {}
    for key, value in mapping.items():
        translated |= tables if key == "problem" else {key: value}
    return translated


def provenance(item: h5py.Group) -> dict[str, Any]:
    """Read the provenance of a launch: texts, numbers and lists of texts.

    Raises
    ------
    MalformedError
        A value that readers use is invalid.
    """
    read = {key: _plain(item, key, value) for key, value in item.attrs.items()}
    try:
        _Provenance.model_validate(read)
    except ValidationError as error:
        raise MalformedError(f"{item.name}: {first_mistake(error)}") from error
    return read


def launch_groups(file: h5py.File) -> list[h5py.Group]:
    """Return the groups of all launches in order.

    ``/provenance`` is the last launch. Its subgroups ``launch_0``, ``launch_1``, … are the
    earlier ones.

    Raises
    ------
    MalformedError
        The subgroups have other names.
    """
    last = group(file, "provenance")
    names = [f"launch_{number}" for number in range(len(last))]
    return [*(group(last, name) for name in names), last]


def model(file: h5py.File) -> HostFloats:
    """Read the final model.

    Raises
    ------
    MalformedError
        The model is missing.
    """
    found: HostFloats = floats(group(file, "state"), schema.MODEL.name, 1)[:]
    return found


def _check_tree(tree: Mapping[str, Any]) -> None:
    """Refuse values that specs do not have, such as dates."""
    todo: list[tuple[str, Any]] = [("spec", tree)]
    while todo:
        name, value = todo.pop()
        if isinstance(value, dict):
            todo += [(str(key), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            todo += [(name, inner) for inner in value]
        elif not isinstance(value, (str, int, float)):
            raise MalformedError(f"spec: {name} is a {type(value).__name__}")


def _plain(item: h5py.Group, key: str, value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return [str(one) for one in value]
    if isinstance(value, (np.bool_, np.integer, np.floating)):
        return value.item()
    raise MalformedError(f"attribute {key} of {item.name} is neither text, a number nor a list")


def _path(parent: h5py.Group | Members, name: str) -> str:
    return f"{parent.name.rstrip('/')}/{name}"
