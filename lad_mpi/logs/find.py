"""Find logs among files of any kind, and open them."""

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

#: Times fill most of a log and hardly compress, so even a compressed log stays below this ratio.
_EXPANSION = 16


def find_logs(paths: Iterable[Path]) -> list[Path]:
    """List the logs among files and folders.

    Folders are searched recursively for ``*.h5``. Valid HDF5 files of another kind are
    skipped. Damaged files are listed, so that reading them reports the damage. Files in
    ``paths`` are always listed.

    Returns
    -------
    list of Path
        Sorted, without duplicates.

    Raises
    ------
    UsageError
        A path does not exist, or a folder cannot be searched.
    """
    found = list_files(paths)
    return [path for path, is_named in found.items() if is_named or not is_foreign(path)]


def list_files(paths: Iterable[Path]) -> dict[Path, bool]:
    """List the files that may be logs, without opening them.

    Returns
    -------
    dict of Path to bool
        Sorted. Whether a file was named itself, and not found in a folder.

    Raises
    ------
    UsageError
        A path does not exist, or a folder cannot be searched.
    """
    found: dict[Path, bool] = {}
    for path in map(Path, paths):
        if path.is_dir():
            found = dict.fromkeys(_files_in(path), False) | found
        elif path.exists():
            found[path] = True
        else:
            raise UsageError(f"{path} does not exist")
    return dict(sorted(found.items()))


def open_log(path: Path) -> h5py.File:
    """Open a log for reading and check that it is one.

    Raises
    ------
    UsageError
        The file does not exist or cannot be read.
    LogFormatError
        The file is not a log of this suite, is damaged, refers to other files, or has a
        version that this release cannot read.
    """
    try:
        file = open_hdf5(path, expansion=_EXPANSION)
    except NotPlainError as error:
        raise LogFormatError(
            f"{path} is not a log: {error}", hint="a log must not refer to other files or places"
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
            hint="the file may be truncated, or its writer was killed while it closed the file; "
            "h5clear -s clears the flag of an open file",
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
    """Return whether a file can be opened as a log."""
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
            # Skipping the folder would silently drop its logs from every table.
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
            f"{path} has log version {version}; this release reads versions {readable}",
            hint="read it with the release that wrote it; its provenance has the version",
        )


def is_foreign(path: Path) -> bool:
    """Return whether a file is a valid HDF5 file of another kind."""
    try:
        with open_hdf5(path, expansion=None) as file:
            return not _is_ours(file)
    except DAMAGE:
        return False


def _is_ours(file: h5py.File) -> bool:
    # Files of other programs may have an attribute with this name and another type.
    name = file.attrs.get("format")
    return isinstance(name, str) and name == schema.FORMAT
