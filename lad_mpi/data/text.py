"""Text files as lines, in any encoding with a byte-order mark, with gzip or without."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import math
import os
import re
from functools import partial
from typing import TYPE_CHECKING

from lad_mpi.errors import DataError
from lad_mpi.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GZIP = b"\x1f\x8b"
HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = b"PK\x03\x04"
#: Lines that are looked at to recognise a format of text.
LOOKED_AT = 20
#: Bytes that are looked at to recognise a format.
_BEGINNING = 16

#: The first bytes of files that are not text, with what they are and what to do.
_NOT_TEXT = {
    HDF5: ("an HDF5 file", "unpack it and name it .h5"),
    ZIP: ("a zip archive, as .npz and .xlsx are", "unpack it, or save a sheet as CSV"),
    b"\x93NUMPY": ("a single NumPy array", "write numpy.savez(path, X=features, y=targets)"),
    b"BZh": ("compressed by bzip2", "unpack it by bunzip2"),
    b"\xfd7zXZ": ("compressed by xz", "unpack it by unxz"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "unpack it by unzstd"),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "save the sheet as CSV"),
    b"PAR1": ("a Parquet file", "save it as CSV"),
}

#: Encodings by their byte-order mark. UTF-32's begins with that of UTF-16.
_ENCODINGS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
#: A table of a million features has such lines.
_LONGEST_LINE = 2**24
#: Contents may take this many times the size of their gzip file, and PACKED_ROOM_BYTES.
PACKED_EXPANSION = 100
PACKED_ROOM_BYTES = 2**24
_UNDECODED = re.compile("[\udc80-\udcff]")


def beginning(path: Path) -> bytes:
    """Return the first bytes of a file."""
    with open_regular(path) as stream:
        return stream.read(_BEGINNING)


@contextlib.contextmanager
def open_lines(path: Path, source: str) -> Iterator[tuple[Iterator[str], list[str]]]:
    r"""Open a text file for reading.

    Line ends may be ``\n``, ``\r\n`` or ``\r``; each line that is returned ends in
    ``\n``. The encoding is UTF-8, or the one of the byte-order mark. A file may be
    compressed by gzip under any name.

    Parameters
    ----------
    path : Path
        A regular file.
    source : str
        The name of the file in messages.

    Yields
    ------
    lines : iterator of str
    notes : list of str
        Notes on the file, such as ``"gzip"``.

    Raises
    ------
    DataError
        It is not text, or in another encoding. The error may only be raised at a later line.
    """
    notes = []
    with contextlib.ExitStack() as stack:
        packed = stack.enter_context(open_regular(path))
        stream: io.BufferedReader | gzip.GzipFile = packed
        most = math.inf
        if packed.peek(_BEGINNING).startswith(GZIP):
            notes.append("gzip")
            most = PACKED_ROOM_BYTES + PACKED_EXPANSION * os.fstat(packed.fileno()).st_size
            stream = stack.enter_context(gzip.GzipFile(fileobj=stream))
        head = stream.peek(_BEGINNING)[:_BEGINNING]
        for magic, (what, hint) in _NOT_TEXT.items():
            if head.startswith(magic):
                inside = " inside gzip" if notes else ""
                raise DataError(f"data file {source!r} is {what}{inside}, not text", hint=hint)
        encoding = next((e for mark, e in _ENCODINGS.items() if head.startswith(mark)), "utf-8")
        if not encoding.startswith("utf-8"):
            notes.append(encoding.upper())
        # Bytes that are not UTF-8 become surrogates, so that their line can be named.
        text = io.TextIOWrapper(stream, encoding=encoding, errors="surrogateescape", newline=None)
        yield _checked(text, source, most), notes


def _checked(text: io.TextIOWrapper, source: str, most: float) -> Iterator[str]:
    left = most
    # Iteration over the file would read a line of any length.
    for number, line in enumerate(iter(partial(text.readline, _LONGEST_LINE), ""), start=1):
        left -= len(line)
        if left < 0:
            raise DataError(
                f"data file {source!r} is more than {PACKED_EXPANSION} times as large as its gzip "
                "file",
                hint="if the size is right, unpack it by gunzip first",
            )
        if len(line) >= _LONGEST_LINE and not line.endswith("\n"):
            raise DataError(
                f"data file {source!r}, line {number}: has more than {_LONGEST_LINE} characters",
                hint="write one sample a line; for so many features use .npz or .h5",
            )
        if "\0" in line:
            raise DataError(
                f"data file {source!r}, line {number}: there is a zero byte, so this is not text",
                hint="see that the file is whole; UTF-16 needs its byte-order mark",
            )
        if not line.isascii() and (bad := _UNDECODED.search(line)):
            raise DataError(
                f"data file {source!r}, line {number}: byte 0x{ord(bad[0]) - 0xDC00:02x} at "
                f"character {bad.start() + 1} is not UTF-8",
                hint="convert it, from Latin-1 by iconv -f latin1 -t utf-8",
            )
        yield line
