"""Real data: the bundled set and the readers of files.

A :class:`~lad_mpi.errors.DataError` says what is wrong with a file, where, and what to do.
"""

from __future__ import annotations

import importlib
import math
import os
import stat
import tokenize
import zipfile
import zlib
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from lad_mpi.errors import DataError
from lad_mpi.files import open_regular
from lad_mpi.data import libsvm
from lad_mpi.data.columns import TableKeys
from lad_mpi.data.samples import Samples, check_dtype, check_samples, make_samples
from lad_mpi.data.table import read_table
from lad_mpi.data.text import HDF5, LOOKED_AT, ZIP, beginning, open_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lad_mpi.types import HostFloats

#: Names of data sets that need no file.
BUNDLED = ("diabetes",)
#: Endings of text files, which may be followed by ``.gz``.
_TEXT = (".csv", ".tsv", ".txt", *libsvm.LIBSVM_SUFFIXES)
#: Endings of the files that can be read.
SUFFIXES = (".npz", ".h5", *_TEXT)

#: What libraries raise for files that they cannot read.
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    RuntimeError,
    OverflowError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)
#: What reading text raises for a file that is damaged or too large.
_UNREADABLE_TEXT = (OSError, EOFError, UnicodeError, MemoryError, zlib.error)

#: Names of what is not a regular file, by the type in its status.
_NODES = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "pipe",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFSOCK: "socket",
}
#: Arrays may take this many times the size of their file, and _ROOM_BYTES.
_EXPANSION = 200
_ROOM_BYTES = 2**26
_MAGIC_BYTES = 8
_NUMBER_BYTES = 8
_LEFT_TO_THE_FILE = TableKeys()

#: Digests of files, by their state.
_digests: dict[tuple[object, ...], str] = {}
#: At most one data set, which :func:`digest` has read for the next call of :func:`read`.
_waiting: dict[tuple[object, ...], Samples] = {}


def suffix_of(source: str) -> str:
    """Return the ending of a name in lower case, without ``.gz`` behind that of a text."""
    path = Path(source.lower())
    inner = Path(path.stem).suffix
    return inner if path.suffix == ".gz" and inner in _TEXT else path.suffix


def digest(source: str, keys: TableKeys = _LEFT_TO_THE_FILE) -> str:
    """Identify a data set by its values, see :class:`~lad_mpi.data.samples.Samples`.

    The file is read once for this call and the next call of :func:`read`. It is only
    read again if it has changed.

    Parameters
    ----------
    source, keys
        As for :func:`read`.

    Raises
    ------
    DataError
        As for :func:`read`.
    """
    state = _state(source, keys)
    if state not in _digests:
        state, samples = _read(source, keys)
        _digests[state] = samples.digest
        _waiting.clear()
        _waiting[state] = samples
    return _digests[state]


def read(source: str, keys: TableKeys = _LEFT_TO_THE_FILE) -> Samples:
    """Read a data set.

    Parameters
    ----------
    source : str
        ``"diabetes"`` (bundled with scikit-learn), or the path of a file:
        ``.npz`` or ``.h5`` with arrays ``X`` (n × p) and ``y`` (n); a table of
        numbers as ``.csv``, ``.tsv`` or ``.txt``, see
        :func:`lad_mpi.data.table.read_table`; or LIBSVM's text format as
        ``.libsvm``, ``.svm`` or ``.txt``. Texts may be compressed by gzip. The
        content of a file decides its format, more than its name.
    keys : TableKeys
        The layout of a table, as far as the file does not decide it.

    Raises
    ------
    DataError
        The data are missing, malformed, of the wrong shape, not finite or ambiguous, or
        scikit-learn is needed and not installed.

    Notes
    -----
    Nothing is ever unpickled.
    """
    # Another data set that waits is not needed any more.
    waiting = _waiting.pop(_state(source, keys), None)
    _waiting.clear()
    return waiting or _read(source, keys)[1]


def _state(source: str, keys: TableKeys) -> tuple[object, ...]:
    """Return what distinguishes a data set from others and from its earlier content."""
    if source in BUNDLED:
        return (source, repr(keys))
    path = _file(source)
    found = path.stat()
    return (
        str(path.resolve()),
        # As text, because True and 1 are equal and mean different things.
        repr(keys),
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def _file(source: str) -> Path:
    try:
        path = Path(source).expanduser()
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise DataError(f"data file {source!r} does not exist", hint=_start_of_paths()) from error
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"data file {source!r}: {error}", hint=_start_of_paths()) from error
    if not stat.S_ISREG(mode):
        raise DataError(
            f"data file {source!r} is a {_NODES.get(stat.S_IFMT(mode), 'special file')}",
            hint="data are read from regular files only",
        )
    return path


def _start_of_paths() -> str:
    try:
        return f"relative paths start from the working directory, {str(Path.cwd())!r}"
    except OSError:
        return "the working directory no longer exists: start from another one"


def _read(source: str, keys: TableKeys) -> tuple[tuple[object, ...], Samples]:
    """Return the samples and the state of the file that they were read from."""
    state = _state(source, keys)
    if source in BUNDLED:
        _refuse_keys(source, keys, "bundled data")
        X, y = _sklearn_datasets(source).load_diabetes(return_X_y=True)
        return state, make_samples(X, y, ["bundled with scikit-learn"])
    path, suffix = _file(source), suffix_of(source)
    if suffix not in SUFFIXES:
        raise DataError(
            f"data file {source!r}: the name does not show the format",
            hint=f"name it with one of the endings {', '.join(SUFFIXES)}",
        )
    try:
        head = beginning(path)
        if head.startswith(HDF5) or suffix == ".h5":
            X, y, notes = _read_binary(path, source, keys, is_hdf5=True)
        elif head.startswith(ZIP) or suffix == ".npz":
            X, y, notes = _read_binary(path, source, keys, is_hdf5=False)
        else:
            X, y, notes = _read_text(path, source, keys, suffix)
    except _UNREADABLE_TEXT as error:
        raise _unreadable(source, suffix, error) from error
    samples = make_samples(*check_samples(X, y, source), notes)
    if _state(source, keys) != state:
        raise DataError(
            f"data file {source!r} changed while it was read",
            hint="start again when nothing writes to it",
        )
    return state, samples


def _unreadable(source: str, form: str, error: BaseException) -> DataError:
    return DataError(
        f"data file {source!r} cannot be read as {form}: {str(error) or type(error).__name__}",
        hint="see that the file is whole, may be read and has the format of its ending",
    )


def _read_binary(
    path: Path, source: str, keys: TableKeys, *, is_hdf5: bool
) -> tuple[Any, Any, list[str]]:
    form = "HDF5" if is_hdf5 else "NPZ"
    _refuse_keys(source, keys, form)
    try:
        X, y = _read_hdf5(path, source) if is_hdf5 else _read_npz(path, source)
    except _UNREADABLE as error:
        raise _unreadable(source, form, error) from error
    return X, y, [form]


def _read_npz(path: Path, source: str) -> tuple[Any, ...]:
    with open_regular(path) as stream:
        # NumPy treats anything that is not an archive as a pickle, and advises to trust it.
        if not zipfile.is_zipfile(stream):
            raise DataError(
                f"data file {source!r} is not an .npz archive",
                hint="write it with numpy.savez(path, X=features, y=targets); save a sheet as CSV",
            )
        _check_sizes(stream, source)
        stream.seek(0)
        archive = np.load(stream, allow_pickle=False)
        try:
            return tuple(_named(archive, name, source, "NPZ") for name in "Xy")
        except ValueError as error:
            raise DataError(
                f"data file {source!r}: {error}",
                hint="store X and y as float64; Python objects are never unpickled",
            ) from error


def _check_sizes(stream: IO[bytes], source: str) -> None:
    """Refuse arrays that are larger than the archive can hold, before memory is allocated.

    At most the size that the archive states is unpacked.
    """
    most = _room_bytes(os.fstat(stream.fileno()))
    with zipfile.ZipFile(stream) as archive:
        members = [info for info in archive.infolist() if Path(info.filename).stem in ("X", "y")]
        for info in members:
            with archive.open(info) as member:
                count, size_bytes = _claims(member)
            room = min(most, info.file_size)
            _check_room(info.filename, max(info.file_size, count * _NUMBER_BYTES), most, source)
            _check_room(info.filename, size_bytes, room, source)


def _room_bytes(found: os.stat_result) -> int:
    """Return how many bytes the arrays of a file may take."""
    # Not the apparent size: a sparse file can claim any.
    return _ROOM_BYTES + _EXPANSION * found.st_blocks * 512


def _check_room(name: str, size_bytes: int, most: int, source: str) -> None:
    if size_bytes > most:
        raise DataError(
            f"data file {source!r}: {name} claims {size_bytes} bytes, more than the file can hold",
            hint="see that the file is whole; store arrays uncompressed if they are",
        )


def _claims(member: IO[bytes]) -> tuple[int, int]:
    """Return the numbers and bytes that the header of an array claims; 0 if it is no array."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if not (beginning := member.read(_MAGIC_BYTES)).startswith(np.lib.format.MAGIC_PREFIX):
        return 0, 0
    version = (beginning[-2], beginning[-1])
    if version not in readers:
        raise ValueError(f"its arrays are of version {version}, and 1.0 and 2.0 are read")
    try:
        shape, _, dtype = readers[version](member)
    except (SyntaxError, tokenize.TokenError) as error:  # NumPy reads it as Python.
        raise ValueError(f"an array has no sound header: {error}") from error
    return math.prod(shape), math.prod(shape) * dtype.itemsize


def _read_hdf5(path: Path, source: str) -> tuple[Any, ...]:
    # Specs of synthetic problems need no HDF5, and every rank reads the spec.
    from lad_mpi.hdf5 import datasets_of, open_hdf5  # noqa: PLC0415

    most = _room_bytes(path.stat())
    with open_hdf5(path, expansion=_EXPANSION) as file:
        datasets = datasets_of(file)
        found = [_named(datasets, name, source, "HDF5") for name in "Xy"]
        for name, item in zip("Xy", found, strict=True):
            check_dtype(name, item, source)
            _check_room(name, item.size * _NUMBER_BYTES, most, source)
        return tuple(item[()] for item in found)


def _named(arrays: Mapping[str, Any], name: str, source: str, form: str) -> Any:
    if name not in arrays:
        found = ", ".join(map(repr, arrays)) or "none"
        raise DataError(
            f"data file {source!r}, read as {form}, has no array {name!r}; its arrays: {found}",
            hint="it must hold the features as X (n × p) and the targets as y (n)",
        )
    return arrays[name]


def _read_text(
    path: Path, source: str, keys: TableKeys, suffix: str
) -> tuple[HostFloats, HostFloats, list[str]]:
    with open_lines(path, source) as (stream, notes):
        head = list(islice(stream, LOOKED_AT))
        lines = chain(head, stream)
        if suffix in libsvm.LIBSVM_SUFFIXES or any(map(libsvm.is_line, head)):
            _refuse_keys(source, keys, "LIBSVM text")
            load = _sklearn_datasets(source).load_svmlight_file
            X, y, found = libsvm.read_libsvm(lines, source, load)
        else:
            X, y, found = read_table(lines, source, keys)
        return X, y, [*found, *notes]


def _refuse_keys(source: str, keys: TableKeys, form: str) -> None:
    if keys:
        raise DataError(
            f"data {source!r}: target, header and index are for tables, and this is {form}",
            hint="leave them out of [problem]",
        )


def _sklearn_datasets(source: str) -> Any:
    try:
        return importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise DataError(
            f"data {source!r} needs scikit-learn, which cannot be imported ({error})",
            hint="pip install 'lad_mpi[data]'",
        ) from error
