"""Arrays from NumPy archives, HDF5 and IDX files, of bounded size and never unpickled."""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import tempfile
import tokenize
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from lad_mpi.data.samples import check_dtype
from lad_mpi.data.text import GZIP, HDF5, PACKED_EXPANSION, PACKED_ROOM_BYTES, ZIP, beginning
from lad_mpi.errors import DataError
from lad_mpi.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Arrays may take this many times the size of their file, and _ROOM_BYTES.
_EXPANSION = 200
_ROOM_BYTES = 2**26
_MAGIC_BYTES = 8
_NUMBER_BYTES = 8
_BLOCK_BYTES = 2**20

#: Types of the numbers of an IDX file, by the third byte. The first two are zero.
_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_IDX_HEAD_BYTES = 4


def room_bytes(path: Path) -> int:
    """Return how many bytes the arrays of a file may take."""
    # Not the apparent size: a sparse file can claim any.
    return _ROOM_BYTES + _EXPANSION * path.stat().st_blocks * 512


def is_binary(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a format of this module."""
    return head.startswith((HDF5, ZIP)) or is_idx(head)


def is_idx(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of an IDX file."""
    return len(head) >= _IDX_HEAD_BYTES and head[:2] == b"\0\0" and head[2] in _IDX_TYPES


@contextlib.contextmanager
def unpacked(path: Path, source: str) -> Iterator[tuple[Path, list[str]]]:
    """Unpack a binary file in gzip into a temporary file; leave other files as they are.

    Parameters
    ----------
    path : Path
        A regular file.
    source : str
        The name of the file in messages.

    Yields
    ------
    path : Path
        The file itself, or a temporary file with its content.
    notes : list of str
        ``["gzip"]`` if it was unpacked.

    Raises
    ------
    DataError
        The content is far larger than its gzip file.
    """
    if not beginning(path).startswith(GZIP):
        yield path, []
        return
    with open_regular(path) as packed, gzip.GzipFile(fileobj=packed) as stream:
        if not is_binary(stream.peek(_MAGIC_BYTES)):
            # Text is unpacked line by line.
            yield path, []
            return
        most = PACKED_ROOM_BYTES + PACKED_EXPANSION * os.fstat(packed.fileno()).st_size
        # HDF5 only opens files that have a name.
        with tempfile.NamedTemporaryFile(prefix="lad-mpi-data-") as content:
            left = most
            while block := stream.read(_BLOCK_BYTES):
                left -= len(block)
                if left < 0:
                    raise DataError(
                        f"data file {source!r} is more than {PACKED_EXPANSION} times as large as "
                        "its gzip file",
                        hint="if the size is right, unpack it by gunzip first",
                    )
                content.write(block)
            content.flush()
            yield Path(content.name), ["gzip"]


def read_npz(path: Path, source: str, most_bytes: int) -> tuple[Any, Any]:
    """Read the arrays ``X`` and ``y`` of a NumPy archive.

    Parameters
    ----------
    path : Path
        A regular file.
    source : str
        The name of the file in messages.
    most_bytes : int
        Maximum size of an array in bytes, as float64 and as stored.

    Raises
    ------
    DataError
        It is no archive, lacks an array, or claims more than ``most_bytes``.
    """
    with open_regular(path) as stream:
        # NumPy treats anything that is not an archive as a pickle, and advises to trust it.
        if not zipfile.is_zipfile(stream):
            raise DataError(
                f"data file {source!r} is not an .npz archive",
                hint="write it with numpy.savez(path, X=features, y=targets); save a sheet as CSV",
            )
        _check_sizes(stream, source, most_bytes)
        stream.seek(0)
        archive = np.load(stream, allow_pickle=False)
        try:
            return _named(archive, "X", source, "NPZ"), _named(archive, "y", source, "NPZ")
        except ValueError as error:
            raise DataError(
                f"data file {source!r}: {error}",
                hint="store X and y as numbers, or y as texts; Python objects are never unpickled",
            ) from error


def read_hdf5(path: Path, source: str, most_bytes: int) -> tuple[Any, Any]:
    """Read the datasets ``X`` and ``y`` of an HDF5 file.

    Parameters
    ----------
    path, source, most_bytes
        As for :func:`read_npz`.

    Raises
    ------
    DataError
        It lacks a dataset, or claims more than ``most_bytes``.
    """
    # Specs of data that are drawn need no HDF5, and every rank reads the spec.
    from lad_mpi.hdf5 import datasets_of, holds_text, open_hdf5  # noqa: PLC0415

    stored = path.stat().st_blocks * 512
    expansion = max(1, (most_bytes - _ROOM_BYTES) // max(1, stored))
    with open_hdf5(path, expansion=expansion) as file:
        datasets = datasets_of(file)
        X, y = (_named(datasets, name, source, "HDF5") for name in "Xy")
        for name, item in (("X", X), ("y", y)):
            if not (name == "y" and holds_text(item)):
                check_dtype(name, item, source)
            _check_room(name, item.size * _NUMBER_BYTES, most_bytes, source)
        if holds_text(y):
            return X[()], y.asstr("utf-8")[()]
        return X[()], y[()]


def read_idx(path: Path, source: str, most_bytes: int) -> Any:
    """Read the array of an IDX file.

    Parameters
    ----------
    path, source, most_bytes
        As for :func:`read_npz`.

    Returns
    -------
    ndarray
        Of the file's shape and type.

    Raises
    ------
    DataError
        The file is shorter or longer than its header says, or larger than ``most_bytes`` as
        float64.
    """
    with open_regular(path) as stream:
        head = stream.read(_IDX_HEAD_BYTES)
        dtype, num_axes = np.dtype(_IDX_TYPES[head[2]]), head[3]
        sizes = stream.read(4 * num_axes)
        shape = tuple(int.from_bytes(sizes[i : i + 4]) for i in range(0, len(sizes), 4))
        count = math.prod(shape)
        _check_room("its array", count * _NUMBER_BYTES, most_bytes, source)
        content = stream.read(count * dtype.itemsize + 1)
    if len(sizes) < 4 * num_axes or len(content) != count * dtype.itemsize:
        raise DataError(
            f"data file {source!r}: its header says {count * dtype.itemsize} bytes in the shape "
            f"{shape}, and the file has another length",
            hint="see that the file is whole; download it again",
        )
    return np.frombuffer(content, dtype).reshape(shape)


def _check_sizes(stream: IO[bytes], source: str, most_bytes: int) -> None:
    """Refuse arrays that are larger than the archive can hold, before memory is allocated.

    At most the size that the archive states is unpacked.
    """
    with zipfile.ZipFile(stream) as archive:
        members = [info for info in archive.infolist() if Path(info.filename).stem in ("X", "y")]
        for info in members:
            with archive.open(info) as member:
                count, size_bytes = _claims(member)
            room = min(most_bytes, info.file_size)
            _check_room(
                info.filename, max(info.file_size, count * _NUMBER_BYTES), most_bytes, source
            )
            _check_room(info.filename, size_bytes, room, source)


def _check_room(name: str, size_bytes: int, most_bytes: int, source: str) -> None:
    if size_bytes > most_bytes:
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
    if not (start := member.read(_MAGIC_BYTES)).startswith(np.lib.format.MAGIC_PREFIX):
        return 0, 0
    version = (start[-2], start[-1])
    if version not in readers:
        raise ValueError(f"its arrays are of version {version}, and 1.0 and 2.0 are read")
    try:
        shape, _, dtype = readers[version](member)
    except (SyntaxError, tokenize.TokenError) as error:  # NumPy reads it as Python.
        raise ValueError(f"an array has no sound header: {error}") from error
    return math.prod(shape), math.prod(shape) * dtype.itemsize


def _named(arrays: Mapping[str, Any], name: str, source: str, form: str) -> Any:
    if name not in arrays:
        found = ", ".join(map(repr, arrays)) or "none"
        raise DataError(
            f"data file {source!r}, read as {form}, has no array {name!r}; its arrays: {found}",
            hint="it must hold the features as X (n × p) and the targets as y (n)"
            + ("; if it is a workbook, save the sheet as CSV" if form == "NPZ" else ""),
        )
    return arrays[name]
