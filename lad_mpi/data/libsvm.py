"""LIBSVM's text format: a target and pairs ``index:value`` a line."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from lad_mpi.data.columns import NUMBER
from lad_mpi.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lad_mpi.types import HostFloats

#: Endings of such files.
LIBSVM_SUFFIXES = (".libsvm", ".svm")

#: The text leaves zeros out, but the memory does not. The features may take this many times
#: the length of the text, and _ROOM_BYTES.
_EXPANSION = 1000
_ROOM_BYTES = 2**26

_PAIR = rf"\d+:{NUMBER.pattern}"
_LINE = re.compile(rf"\s*{NUMBER.pattern}(?:\s+qid:\d+)?(?:\s+{_PAIR})*\s*", re.ASCII)
_PART = re.compile(rf"qid:\d+|{_PAIR}", re.ASCII)


def is_line(line: str) -> bool:
    """Return whether a line can only be LIBSVM text: it has a target and a pair."""
    content = line.partition("#")[0]
    return ":" in content and _LINE.fullmatch(content) is not None


def read_libsvm(
    lines: Iterator[str], source: str, load: Callable[[Any], Any]
) -> tuple[HostFloats, HostFloats, list[str]]:
    """Read LIBSVM text.

    Parameters
    ----------
    lines : iterator of str
        The text.
    source : str
        The name of the file in messages.
    load : callable
        scikit-learn's ``load_svmlight_file``.

    Returns
    -------
    features : ndarray of float64, shape (n, p)
    targets : ndarray of float64, shape (n,)
    notes : list of str
        How the text was read, for the log.

    Raises
    ------
    DataError
        A line has another form, or an index is so large that nearly all features are zero.
    """
    checked = _Checked(lines, source)
    try:
        features, targets = load(checked)
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"data file {source!r} cannot be read as LIBSVM text, near line {checked.number}: "
            f"{error}",
            hint="write a target and pairs index:value with ascending indices",
        ) from error
    dense_bytes = math.prod(features.shape) * targets.itemsize
    if dense_bytes > _ROOM_BYTES + _EXPANSION * checked.size_bytes:
        raise DataError(
            f"data file {source!r}: {features.shape[0]} samples with indices up to "
            f"{features.shape[1]} take {dense_bytes} bytes of memory, most of them zeros",
            hint="see that no index is wrong; leave out features that hardly any sample has",
        )
    return features.toarray(), targets, ["LIBSVM text", f"indices from {checked.first_index}"]


class _Checked:
    """Lines for scikit-learn, which treats an object with a method ``read`` as a file."""

    def __init__(self, lines: Iterator[str], source: str) -> None:
        self._lines, self._source = lines, source
        self.number = 0
        self.size_bytes = 0
        #: The least index: 0 or 1.
        self.first_index = 1

    def read(self) -> bytes:
        raise NotImplementedError

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self.number += 1
            self.size_bytes += len(line)
            content = line.partition("#")[0].strip()
            # float() accepts more than numbers, such as 1_000.
            if content and not _LINE.fullmatch(content):
                raise self._complaint(content)
            if " 0:" in content:
                self.first_index = 0
            yield content.encode() + b"\n"

    def _complaint(self, content: str) -> DataError:
        target, *parts = content.split()
        found = next((part for part in parts if not _PART.fullmatch(part)), target)
        if not NUMBER.fullmatch(target):
            found = target
        return DataError(
            f"data file {self._source!r}, line {self.number}: expected a target and pairs "
            f"index:value, found {found!r}",
            hint="if this is a table, name it .csv or .txt",
        )
