"""Files of records: JSON with a format and a version, replaced in one step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lad_mpi.errors import LogFormatError, UsageError
from lad_mpi.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMAT, _VERSION = "format", "format_version"
_COMMANDS = {"baseline": "baseline", "scaling": "scale"}


def write_record(path: Path, kind: str, version: int, content: Mapping[str, Any]) -> None:
    """Write a record beside its place and rename it: whoever reads finds a whole one.

    Parameters
    ----------
    path : Path
        The file; folders above it are made.
    kind : str
        What the record is of, its ``format`` becomes ``lad_mpi-KIND``.
    version : int
        Of that format.
    content : mapping
        Plain values; NaN and infinity are refused, which JSON has no words for.

    Raises
    ------
    UsageError
        It cannot be written.
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
            hint="give a file or folder of yours with -o",
        ) from error


def read_record(path: Path, kind: str, version: int) -> dict[str, Any]:
    """Read a record of one kind.

    Raises
    ------
    UsageError
        There is no such file, or it cannot be read.
    LogFormatError
        It is not a record of this kind and version.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
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
            f"{path} is of version {found.get(_VERSION)}; this release reads version {version}",
            hint="read it with the lad_mpi that wrote it, or measure anew",
        )
    return found
