"""Read data files of any format.

A :class:`~lad_mpi.errors.DataError` says what is wrong with a file, where, and what to do.
"""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from lad_mpi.data import libsvm
from lad_mpi.data.binary import is_idx, read_hdf5, read_idx, read_npz, room_bytes, unpacked
from lad_mpi.data.bundled import sklearn_datasets
from lad_mpi.data.columns import TableKeys
from lad_mpi.data.samples import check_samples, make_samples
from lad_mpi.data.table import read_table
from lad_mpi.data.text import HDF5, LOOKED_AT, ZIP, beginning, open_lines
from lad_mpi.errors import DataError

if TYPE_CHECKING:
    from lad_mpi.data.base import Samples

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
#: Names of IDX files with images, as MNIST and others are distributed.
_IDX_IMAGES = re.compile(r"images([-.])idx\d")
_IDX_LABELS = r"labels\1idx1"
_LEFT_TO_THE_FILE = TableKeys()

#: Features, targets, and notes on how they were read.
_Found: TypeAlias = "tuple[Any, Any, list[str]]"


def read_samples(source: str, keys: TableKeys = _LEFT_TO_THE_FILE) -> Samples:
    """Read a data file.

    Parameters
    ----------
    source : str
        The path of a file. A NumPy archive or an HDF5 file has arrays ``X`` (n × p) and ``y``
        (n). An IDX file has images, and its labels are in a file beside it. Other files
        are tables, see :func:`lad_mpi.data.table.read_table`, or LIBSVM text. Each may be
        compressed by gzip. The content of a file decides its format, more than its name.
    keys : TableKeys
        The layout of a table, as far as the file does not decide it.

    Raises
    ------
    DataError
        The file is missing, malformed, of the wrong shape, not finite or ambiguous, or
        scikit-learn is needed and not installed.

    Notes
    -----
    Nothing is ever unpickled.
    """
    path, state = _file(source), state_of(source)
    try:
        with unpacked(path, source) as (plain, packed):
            X, y, notes = _read(path, plain, source, keys)
    except _UNREADABLE_TEXT as error:
        raise _unreadable(source, _suffix_of(source), error) from error
    X, y, scaled = check_samples(X, y, source)
    if state_of(source) != state:
        raise DataError(
            f"data file {source!r} changed while it was read",
            hint="start again when nothing writes to it",
        )
    return make_samples(X, y, [*notes, *packed, *scaled])


def state_of(source: str) -> tuple[object, ...]:
    """Return what distinguishes a file from others and from its earlier content.

    Raises
    ------
    DataError
        The file does not exist, or is not a regular file.
    """
    path = _file(source)
    labels = _labels_of(path)
    return _state(path) + (() if labels is None else _state(labels))


def _state(path: Path) -> tuple[object, ...]:
    found = path.stat()
    return (
        str(path.resolve()),
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def _suffix_of(source: str) -> str:
    """Return the ending of a name in lower case, without ``.gz``."""
    path = Path(source.lower())
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


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


def _read(path: Path, plain: Path, source: str, keys: TableKeys) -> _Found:
    """Read a file whose binary content, without gzip, is at ``plain``."""
    head, suffix = beginning(plain), _suffix_of(source)
    if head.startswith(HDF5) or suffix == ".h5":
        form, read = "HDF5", read_hdf5
    elif head.startswith(ZIP) or suffix == ".npz":
        form, read = "NPZ", read_npz
    elif is_idx(head):
        form, read = "IDX", partial(_read_idx, path)
    else:
        return _read_text(path, source, keys)
    _refuse_keys(source, keys, form)
    try:
        X, y = read(plain, source, room_bytes(path))
    except _UNREADABLE as error:
        raise _unreadable(source, form, error) from error
    return X, y, [form]


def _unreadable(source: str, form: str, error: BaseException) -> DataError:
    return DataError(
        f"data file {source!r} cannot be read{form and f' as {form}'}: "
        f"{str(error) or type(error).__name__}",
        hint="see that the file is whole, may be read and has the format of its ending",
    )


def _read_idx(path: Path, plain: Path, source: str, most_bytes: int) -> tuple[Any, Any]:
    """Read images, and their labels from the file beside them."""
    labels = _labels_of(path)
    if labels is None:
        wanted = _IDX_IMAGES.sub(_IDX_LABELS, path.name)
        reason = (
            f"its labels, {wanted!r}, are not beside it"
            if wanted != path.name
            else "its name does not say where its labels are"
        )
        raise DataError(
            f"data file {source!r} is an IDX file, and {reason}",
            hint="name images and labels as MNIST's are, in one folder: train-images-idx3-ubyte "
            "and train-labels-idx1-ubyte, with .gz or without",
        )
    with unpacked(labels, str(labels)) as (plain_labels, _):
        if not is_idx(beginning(plain_labels)):
            raise DataError(
                f"data file {str(labels)!r} is not an IDX file, but has the name of the labels of "
                f"{source!r}",
                hint="download it again",
            )
        y = read_idx(plain_labels, str(labels), room_bytes(labels))
    return read_idx(plain, source, most_bytes), y


def _labels_of(path: Path) -> Path | None:
    """Return the file of the labels of IDX images; None if the names show none."""
    name = _IDX_IMAGES.sub(_IDX_LABELS, path.name)
    if name == path.name:
        return None
    other = name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"
    found = (path.with_name(each) for each in (name, other))
    return next((each for each in found if each.is_file()), None)


def _read_text(path: Path, source: str, keys: TableKeys) -> _Found:
    with open_lines(path, source) as (stream, notes):
        head = list(islice(stream, LOOKED_AT))
        lines = chain(head, stream)
        if _suffix_of(source) in libsvm.LIBSVM_SUFFIXES or any(map(libsvm.is_line, head)):
            _refuse_keys(source, keys, "LIBSVM text")
            load = sklearn_datasets(source).load_svmlight_file
            X, y, found = libsvm.read_libsvm(lines, source, load)
        else:
            X, y, found = read_table(lines, source, keys)
        return X, y, [*found, *notes]


def _refuse_keys(source: str, keys: TableKeys, form: str) -> None:
    if keys:
        raise DataError(
            f"data file {source!r}: target, header and index are for tables, and this is {form}",
            hint="leave them out of [data]",
        )
