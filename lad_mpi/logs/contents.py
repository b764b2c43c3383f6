"""What a log holds, with the types that readers rely on.

Anybody may have made the file. So nothing of it is used before its type, shape and range are
known; what is wrong raises :data:`DAMAGE`.
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

#: What reading something of another type or shape than expected may raise.
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
_Count = Annotated[int, Field(ge=1, lt=2**63)]
_Number = Annotated[int, Field(ge=0, lt=2**63)]


class MalformedError(ValueError):
    """Something that a log must have, and that is missing or of another type, shape or range."""


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
    """What readers use of a spec; the rest is for the suite of its time to understand."""

    seed: int
    iterations: _Number
    compute: str = ""
    overlap: bool = False
    devices: _Devices = _Devices()
    coding: _Coding = _Coding()
    backend: _Component = _Component()
    network: _Network = _Network()


class _Provenance(_Record):
    """What readers use of a provenance."""

    first_iteration: _Number
    mpi_ranks: _Count
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
        There is none of this name.
    """
    found = parent.get(name)
    if not isinstance(found, h5py.Group):
        raise MalformedError(f"group {_path(parent, name)} is missing")
    return found


def numbers(parent: h5py.Group, name: str, dimensions: int, *, kinds: str = _NUMBERS) -> Any:
    """Return a dataset of numbers.

    Parameters
    ----------
    parent : h5py.Group
        Holds it.
    name : str
        Its name.
    dimensions : int
        How many it must have.
    kinds : str
        NumPy's letters of the kinds of numbers that it may hold.

    Raises
    ------
    MalformedError
        There is no such dataset.
    """
    found = parent.get(name)
    if not isinstance(found, h5py.Dataset):
        raise MalformedError(f"dataset {_path(parent, name)} is missing")
    if found.shape is None or found.ndim != dimensions or found.dtype.kind not in kinds:
        raise MalformedError(
            f"{found.name} has shape {found.shape} and dtype {found.dtype}; expected numbers on "
            f"{dimensions} axes"
        )
    return found


def integers(parent: h5py.Group, name: str, dimensions: int) -> Any:
    """Return a dataset of integers; see :func:`numbers`."""
    return numbers(parent, name, dimensions, kinds="iu")


def floats(parent: h5py.Group, name: str, dimensions: int) -> Any:
    """Return a dataset of real numbers; see :func:`numbers`."""
    return numbers(parent, name, dimensions, kinds=_FLOATS)


def words(parent: h5py.Group, name: str) -> tuple[str, ...]:
    """Read a dataset of different texts on one axis.

    Raises
    ------
    MalformedError
        There is no such dataset.
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
        raise MalformedError(f"{path} names something twice")
    return read


def text(item: h5py.Group | h5py.Dataset, name: str) -> str:
    """Read an attribute that is text.

    Raises
    ------
    MalformedError
        There is none of this name.
    """
    found = item.attrs.get(name)
    if not isinstance(found, str):
        raise MalformedError(f"attribute {name} of {item.name} is missing or not text")
    return str(found)


def texts(item: h5py.Group | h5py.Dataset, name: str) -> tuple[str, ...]:
    """Read an attribute that is a list of text, and not empty.

    Raises
    ------
    MalformedError
        There is none of this name.
    """
    found = item.attrs.get(name)
    listed = list(found) if isinstance(found, np.ndarray) and found.ndim == 1 else []
    if not listed or not all(isinstance(one, str) for one in listed):
        raise MalformedError(f"attribute {name} of {item.name} is missing or not a list of text")
    return tuple(listed)


def integer(item: h5py.Group | h5py.Dataset, name: str, least: int) -> int:
    """Read an attribute that is an integer of at least ``least``.

    Raises
    ------
    MalformedError
        There is none of this name.
    """
    found = item.attrs.get(name)
    if not isinstance(found, np.integer) or found < least:
        raise MalformedError(f"attribute {name} of {item.name} is missing or not {least} or more")
    return int(found)


def parse_spec(written: str) -> dict[str, Any]:
    """Return a spec as tables, with the types that readers rely on.

    Raises
    ------
    MalformedError
        It is not TOML, or a value that readers use has another type.
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
    return parsed


def provenance(item: h5py.Group) -> dict[str, Any]:
    """Read how a launch was made: text, numbers and lists of text.

    Raises
    ------
    MalformedError
        A value that readers use has another type.
    """
    read = {key: _plain(item, key, value) for key, value in item.attrs.items()}
    try:
        _Provenance.model_validate(read)
    except ValidationError as error:
        raise MalformedError(f"{item.name}: {first_mistake(error)}") from error
    return read


def launch_groups(file: h5py.File) -> list[h5py.Group]:
    """Return the groups of all launches, the first one first.

    Raises
    ------
    MalformedError
        They are not ``launch_0``, ``launch_1``, ….
    """
    last = group(file, "provenance")
    names = [f"launch_{number}" for number in range(len(last))]
    return [*(group(last, name) for name in names), last]


def model(file: h5py.File) -> HostFloats:
    """Read the final model.

    Raises
    ------
    MalformedError
        There is none.
    """
    found: HostFloats = floats(group(file, "state"), schema.MODEL.name, 1)[:]
    return found


def _check_tree(tree: Mapping[str, Any]) -> None:
    """Refuse dates, which specs do not have."""
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
    raise MalformedError(f"attribute {key} of {item.name} is neither text, a number, nor a list")


def _path(parent: h5py.Group, name: str) -> str:
    return f"{parent.name.rstrip('/')}/{name}"
