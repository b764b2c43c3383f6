"""Files of records: JSON with a format name and a version, replaced atomically."""

from __future__ import annotations

import json
import math
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from lad_mpi.errors import LogFormatError, UsageError, first_mistake, shown
from lad_mpi.files import read_bytes, whole_file
from lad_mpi.types import LARGEST_COUNT

if TYPE_CHECKING:
    from collections.abc import Mapping

_T = TypeVar("_T")
_FORMAT, _VERSION = "format", "format_version"
#: Largest file that is read. JSON takes much more memory than its file.
_MOST_BYTES = 2**23
_MOST_SHOWN = 200
_COMMANDS = {"baseline": "baseline", "scaling": "scale"}


def write_record(path: Path, kind: str, version: int, content: Mapping[str, Any]) -> None:
    """Write a record to a temporary file and rename it, so that readers see a complete file.

    Parameters
    ----------
    path : Path
        The file. Missing folders are created.
    kind : str
        Kind of record; its ``format`` is ``lad_mpi-KIND``.
    version : int
        Version of the format.
    content : mapping
        Values for JSON. NaN and infinity are refused.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    document = {_FORMAT: f"lad_mpi-{kind}", _VERSION: version, **content}
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, text=True) as stream:
            stream.write(text)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}",
            hint="choose a writable file or folder with -o",
        ) from error


def _is_inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError("the file must be in the folder of the record")
    return name


#: Types of fields that :func:`read_record_as` checks.
Line = Annotated[str, Field(max_length=4096, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
#: A file relative to the folder of the record.
FileInFolder = Annotated[Line, AfterValidator(_is_inside)]
Count = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
NotNegative = Annotated[float, Field(ge=0, le=1e30)]


def read_record_as(path: Path, kind: str, version: int, cls: TypeAdapter[_T]) -> _T:
    """Read a record of one kind as a dataclass, and check the types of its fields.

    Raises
    ------
    UsageError, LogFormatError
        As in :func:`read_record`, or a field is missing or has another type.
    """
    text = json.dumps(read_record(path, kind, version))
    try:
        return cls.validate_json(text, strict=True)
    except ValidationError as error:
        raise LogFormatError(f"{path} is damaged or incomplete: {first_mistake(error)}") from error


def read_record(path: Path, kind: str, version: int) -> dict[str, Any]:
    """Read a record of one kind.

    Raises
    ------
    UsageError
        The file cannot be read.
    LogFormatError
        The file is not a record of this kind and version.
    """
    try:
        content = read_bytes(Path(path), most_bytes=_MOST_BYTES)
        found = json.loads(
            content.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite
        )
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise LogFormatError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict) or found.get(_FORMAT) != f"lad_mpi-{kind}":
        raise LogFormatError(
            f"{path} is not a record of kind {kind}", hint=f"lad-mpi {_COMMANDS[kind]} writes one"
        )
    if found.get(_VERSION) != version:
        raise LogFormatError(
            f"{path} has version {shown(found.get(_VERSION))}; "
            f"this release reads version {version}",
            hint="read it with the lad_mpi that wrote it, or measure again",
        )
    return found


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:_MOST_SHOWN]} is too large")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed")
