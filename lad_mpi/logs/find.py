"""Finding and opening logs, among files of any kind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.errors import LogFormatError, UsageError
from lad_mpi.hdf5 import NotPlainError, is_hdf5, open_hdf5
from lad_mpi.logs import schema
from lad_mpi.logs.contents import DAMAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import h5py

#: Times of a log hardly shrink if somebody compresses the file, and fill most of it.
_EXPANSION = 16


def find_logs(paths: Iterable[Path]) -> list[Path]:
    """List the logs among files and folders.

    Folders are searched recursively for ``*.h5``. Files found there that are
    sound HDF5 of another kind are left out; damaged ones are listed, so that
    reading them says what is wrong. Files that are named are always listed.

    Returns
    -------
    list of Path
        Sorted, each once.

    Raises
    ------
    UsageError
        A path does not exist, or a folder cannot be searched.
    """
    found: set[Path] = set()
    for path in map(Path, paths):
        if path.is_dir():
            found.update(file for file in _files_in(path) if not _is_foreign(file))
        elif path.exists():
            found.add(path)
        else:
            raise UsageError(f"{path} does not exist")
    return sorted(found)


def open_log(path: Path) -> h5py.File:
    """Open a log for reading and check that it is one.

    Raises
    ------
    UsageError
        There is no such file, or it cannot be read.
    LogFormatError
        It is not a log of this suite, is damaged, is more than one plain file, or is of a
        newer version.
    """
    try:
        file = open_hdf5(path, expansion=_EXPANSION)
    except NotPlainError as error:
        raise LogFormatError(
            f"{path} is not a log: {error}", hint="a log is one file that holds all it shows"
        ) from error
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist") from error
    except OSError as error:
        if error.errno is not None:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        if not is_hdf5(path):
            raise LogFormatError(
                f"{path} is not an HDF5 file", hint="logs are the .h5 files that a run writes"
            ) from error
        raise LogFormatError(
            f"{path} cannot be opened: {error}",
            hint="it may be cut short, or its writer was killed while it closed the file; "
            "h5clear -s removes the mark of an open file",
        ) from error
    except DAMAGE as error:
        raise LogFormatError(f"{path} is damaged: {error}") from error
    try:
        _check_format(path, file)
    except LogFormatError:
        file.close()
        raise
    except DAMAGE as error:
        file.close()
        raise LogFormatError(f"{path} is damaged: {error}") from error
    return file


def is_log(path: Path) -> bool:
    """Tell whether a file can be opened as a log."""
    try:
        open_log(path).close()
    except (LogFormatError, UsageError):
        return False
    return True


def _files_in(folder: Path) -> Iterator[Path]:
    folders = [folder]
    while folders:
        try:
            entries = sorted(os.scandir(folders.pop()), key=lambda entry: entry.name)
        except OSError as error:
            # Passed over in silence, its logs would be missing from every table.
            raise UsageError(f"{error.filename} cannot be searched: {error.strerror}") from error
        folders += [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
        yield from (
            Path(entry.path)
            for entry in entries
            if entry.name.endswith(".h5") and not entry.is_dir()
        )


def _check_format(path: Path, file: h5py.File) -> None:
    if not _is_ours(file):
        raise LogFormatError(
            f"{path} is an HDF5 file, but not a log of lad_mpi",
            hint=f"a log has the root attribute format = {schema.FORMAT!r}",
        )
    version = file.attrs.get("format_version")
    if not isinstance(version, np.integer):
        raise LogFormatError(f"{path} has no root attribute format_version")
    if version not in schema.READABLE:
        readable = " and ".join(map(str, schema.READABLE))
        raise LogFormatError(
            f"{path} is a log of version {version}; this release reads versions {readable}",
            hint="read it with the lad_mpi that wrote it; its provenance names the version",
        )


def _is_foreign(path: Path) -> bool:
    try:
        with open_hdf5(path, expansion=None) as file:
            return not _is_ours(file)
    except DAMAGE:
        return False


def _is_ours(file: h5py.File) -> bool:
    # Other programs have attributes of other types under the same name.
    name = file.attrs.get("format")
    return isinstance(name, str) and name == schema.FORMAT
