"""Real data: the bundled set and the readers of files.

Whatever is wrong with a file, the reader says where and what to do, by a
:class:`~lad_mpi.errors.DataError`.
"""

from __future__ import annotations

import csv
import hashlib
import importlib
import math
import stat
import zipfile
import zlib
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lad_mpi.types import HostFloats

#: Names of data sets that need no file.
BUNDLED = ("diabetes",)

#: What the libraries below raise for files that they cannot make sense of.
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    RuntimeError,
    OverflowError,
    MemoryError,
    csv.Error,
    zipfile.BadZipFile,
    zlib.error,
)


#: What is not a file, by its type in a status.
_NODES = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "pipe",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFSOCK: "socket",
}
#: Samples that are hashed at once.
_HASHED_ROWS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """A data set for regression.

    Parameters
    ----------
    features : ndarray of float64, shape (n, p)
        One row a sample.
    targets : ndarray of float64, shape (n,)
        What is to be predicted.
    reading : str
        How they were read, in a line for the log.
    digest : str
        ``"sha256:"`` and 64 hexadecimal digits: the SHA-256 of shape, dtype and
        bytes of features and targets.
    """

    features: HostFloats
    targets: HostFloats
    reading: str
    digest: str


#: What is known of a file as long as it is unchanged.
_digests: dict[tuple[object, ...], str] = {}
#: At most one data set: what :func:`digest` has read and :func:`read` has not yet handed out.
_waiting: dict[tuple[object, ...], Samples] = {}


def digest(source: str) -> str:
    """Identify a data set by its values, see :class:`Samples`.

    A file is read once for its digest and for the call of :func:`read` that
    follows. It is read again only when it has changed.

    Parameters
    ----------
    source : str
        As for :func:`read`.

    Raises
    ------
    DataError
        As for :func:`read`.
    """
    key = _state(source)
    if key not in _digests:
        key, samples = _read(source)
        _digests[key] = samples.digest
        _waiting.clear()
        _waiting[key] = samples
    return _digests[key]


def read(source: str) -> Samples:
    """Read a data set.

    Parameters
    ----------
    source : str
        ``"diabetes"`` (bundled with scikit-learn), or the path of a file:
        ``.npz`` or ``.h5`` with arrays ``X`` (n × p) and ``y`` (n);
        ``.csv``, comma-separated numbers with or without a header, the target
        in the column ``y`` or else the last one; or ``.libsvm``, ``.svm``,
        ``.txt`` in LIBSVM's text format.

    Raises
    ------
    DataError
        The data are missing, malformed, of the wrong shape or not finite, or
        scikit-learn is needed and not there.
    """
    # Whatever is waiting and is not taken here would be held in vain.
    waiting = _waiting.pop(_state(source), None)
    _waiting.clear()
    return waiting or _read(source)[1]


def _state(source: str) -> tuple[object, ...]:
    """Return what tells a data set from others and from its earlier content."""
    if source in BUNDLED:
        return (source,)
    path = _file(source)
    status = path.stat()
    return (
        str(path.resolve()),
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _file(source: str) -> Path:
    try:
        path = Path(source).expanduser()
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise DataError(
            f"data file {source!r} does not exist",
            hint=f"relative paths start from the working directory, {str(Path.cwd())!r}",
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"data file {source!r}: {error}") from error
    if not stat.S_ISREG(mode):
        raise DataError(
            f"data file {source!r} is a {_NODES.get(stat.S_IFMT(mode), 'special file')}",
            hint="data are read from regular files only",
        )
    return path


def _read(source: str) -> tuple[tuple[object, ...], Samples]:
    """Return the samples and the state of the file that they were read from."""
    state = _state(source)
    if source in BUNDLED:
        features, targets = _sklearn_datasets(source).load_diabetes(return_X_y=True)
        return state, _samples(features, targets, "bundled with scikit-learn")
    path = _file(source)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"data file {source!r}: the name does not tell the format",
            hint=f"name it with one of the endings {', '.join(SUFFIXES)}",
        )
    try:
        features, targets = reader(path, source)
    except _UNREADABLE as error:
        raise DataError(
            f"data file {source!r} cannot be read as {path.suffix}: "
            f"{str(error) or type(error).__name__}",
            hint="see that the file is whole, may be read and has the format of its ending",
        ) from error
    samples = _checked(features, targets, source, path.suffix)
    if _state(source) != state:
        raise DataError(
            f"data file {source!r} changed while it was read",
            hint="start again when nothing writes to it",
        )
    return state, samples


def _read_npz(path: Path, source: str) -> tuple[Any, Any]:
    # NumPy takes anything that is no archive for a pickle, and advises to trust it.
    if not zipfile.is_zipfile(path):
        raise DataError(
            f"data file {source!r} is no .npz archive",
            hint="write it with numpy.savez(path, X=features, y=targets)",
        )
    with np.load(path, allow_pickle=False) as archive:
        return _named(archive, "X", source), _named(archive, "y", source)


def _read_hdf5(path: Path, source: str) -> tuple[Any, Any]:
    # Specs of synthetic problems, read on every rank, need no HDF5.
    import h5py  # noqa: PLC0415

    with h5py.File(path, "r") as file:
        datasets = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
        return _named(datasets, "X", source)[()], _named(datasets, "y", source)[()]


def _named(arrays: Mapping[str, Any], name: str, source: str) -> Any:
    if name not in arrays:
        found = ", ".join(map(repr, arrays)) or "none"
        raise DataError(
            f"data file {source!r} has no array {name!r}; its arrays: {found}",
            hint="it must hold the features as X (n × p) and the targets as y (n)",
        )
    return arrays[name]


def _read_csv(path: Path, source: str) -> tuple[Any, Any]:
    values = array("d")
    names: list[str] = []
    width = 0
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = csv.reader(stream)
        for row in rows:
            if not row:
                continue
            if not width:
                width = len(row)
                if not any(map(_is_number, row)):
                    names = [cell.strip() for cell in row]
                    continue
            if len(row) != width:
                raise DataError(
                    f"data file {source!r}, line {rows.line_num}: {len(row)} columns where "
                    f"the lines before have {width}",
                    hint="every line must have the same number of comma-separated columns",
                )
            values.extend(_numbers(row, names, rows.line_num, source))
    if width < 2:
        raise DataError(
            f"data file {source!r} has {width} columns; at least one feature and the target "
            "are needed",
            hint="columns are separated by commas",
        )
    if names.count("y") > 1:
        raise DataError(
            f"data file {source!r}: {names.count('y')} columns are named 'y'",
            hint="name one column 'y', or none to take the last as the target",
        )
    table = np.frombuffer(values, dtype=np.float64).reshape(-1, width)
    target = names.index("y") if "y" in names else width - 1
    return np.delete(table, target, axis=1), table[:, target].copy()


def _numbers(row: list[str], names: list[str], line: int, source: str) -> list[float]:
    try:
        numbers = [float(cell) for cell in row]
    except ValueError:
        numbers = []
    if numbers and all(map(math.isfinite, numbers)):
        return numbers
    column = next(
        i for i, cell in enumerate(row) if not (_is_number(cell) and math.isfinite(float(cell)))
    )
    name = f" ({names[column]!r})" if names else ""
    raise DataError(
        f"data file {source!r}, line {line}, column {column + 1}{name}: expected a finite "
        f"number, found {row[column]!r}",
        hint="columns are separated by commas; leave out or fill in samples that lack a number",
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_libsvm(path: Path, source: str) -> tuple[Any, Any]:
    features, targets = _sklearn_datasets(source).load_svmlight_file(str(path))
    return features.toarray(), targets


def _sklearn_datasets(source: str) -> Any:
    try:
        return importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise DataError(
            f"data {source!r} needs scikit-learn, which cannot be imported ({error})",
            hint="pip install 'lad_mpi[data]'",
        ) from error


_READERS: dict[str, Callable[[Path, str], tuple[Any, Any]]] = {
    ".npz": _read_npz,
    ".csv": _read_csv,
    ".h5": _read_hdf5,
    ".libsvm": _read_libsvm,
    ".svm": _read_libsvm,
    ".txt": _read_libsvm,
}

#: Endings of the files that can be read.
SUFFIXES = tuple(_READERS)


def _checked(features: Any, targets: Any, source: str, form: str) -> Samples:
    for name, found in (("X", features), ("y", targets)):
        dtype = getattr(found, "dtype", None)
        if dtype is None or dtype.kind not in "biuf":
            raise DataError(
                f"data file {source!r}: {name} must hold real numbers, "
                f"not {dtype or type(found).__name__}",
                hint=f"store {name} as float64",
            )
    X, y = np.asarray(features, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if X.ndim != 2 or y.ndim != 1 or len(X) != len(y) or X.size == 0:
        raise DataError(
            f"data file {source!r}: expected features of shape (n, p) and targets of shape (n,), "
            f"none of them empty; found {X.shape} and {y.shape}",
            hint="store one row of X and one number of y for every sample",
        )
    bad = ~(np.isfinite(X).all(axis=1) & np.isfinite(y))
    if bad.any():
        sample = int(np.argmax(bad))
        in_row = np.flatnonzero(~np.isfinite(X[sample]))
        place, value = (
            (f"feature {in_row[0]}", X[sample, in_row[0]])
            if in_row.size
            else ("the target", y[sample])
        )
        raise DataError(
            f"data file {source!r}: {place} of sample {sample} (counted from 0) is {value}",
            hint="leave out or fill in such samples before the run",
        )
    return _samples(X, y, form)


def _samples(features: HostFloats, targets: HostFloats, form: str) -> Samples:
    sha = hashlib.sha256()
    for values in (features, targets):
        sha.update(f"<f8 {values.shape}\n".encode())
        # In blocks, because rows that do not lie one after another have to be copied.
        for start in range(0, len(values), _HASHED_ROWS):
            rows = np.ascontiguousarray(values[start : start + _HASHED_ROWS], dtype="<f8")
            sha.update(rows.reshape(-1).data)
    count, width = features.shape
    reading = f"{form}, {count} samples x {width} features"
    return Samples(features, targets, reading, f"sha256:{sha.hexdigest()}")
