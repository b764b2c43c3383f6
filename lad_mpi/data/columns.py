"""The roles of the columns of a table, and whether a line names the columns.

If a file is ambiguous, the reader does not guess: the error says which keys decide.
"""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NoReturn

import numpy as np

from lad_mpi.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lad_mpi.types import HostFloats

#: A number as programs write it. Python's float() takes more: 1_000, nan, ١.
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
#: Values that are not finite numbers here, and not names either.
_BAD_VALUE = re.compile(
    r"[+-]?(?:nan|inf|infinity)|true|false|0x[\da-f.]+(?:p[+-]?\d+)?"
    r"|[+-]?[\d.,_' ]*\d[\d.,_' ]*(?:[edq][+-]?\d+)?",
    re.IGNORECASE,
)
_MISSING = {"nan", "na", "n/a", "null", "none", "missing", "?", "-", "."}
_TARGET_NAMES = {"y", "target", "label", "class", "response", "outcome", "output"}
_INDEX_NAMES = {
    *("index", "idx", "id", "level_0", "rowid", "row_id"),
    *("rownames", "row_names", "row.names", "row name", "row names"),
}
#: What pandas calls a column without a name when it reads one.
_UNNAMED = re.compile(r"|Unnamed: \d+(?:_level_\d+)?")
#: With this many samples, 0, 1, 2… is a count, and integers are not distinct by chance.
_COUNTED, _MANY = 3, 10
#: This many cells are hardly ever in order by chance.
_LONG = 6
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class TableKeys:
    """The keys of a spec that describe the layout of a table; None lets the file decide.

    Parameters
    ----------
    target : str or int, optional
        The column to predict, by name or by number, counted from 1.
    header : bool, optional
        Whether the first line names the columns.
    index : bool, str or int, optional
        The column that only names or numbers the samples: the first (True),
        none (False), or one by name or number.
    """

    target: str | int | None = None
    header: bool | None = None
    index: bool | str | int | None = None

    def __bool__(self) -> bool:
        """Whether any key is set."""
        return self != TableKeys()


@dataclass(frozen=True, slots=True)
class Columns:
    """The roles of the columns of a table.

    Parameters
    ----------
    target : int
        Number of the target's column, counted from 0.
    index : int or None
        Number of the column that is left out.
    is_assumed : bool
        Whether ``index`` is only the index if its values look like one.
    """

    target: int
    index: int | None
    is_assumed: bool = False


def resolve(source: str, keys: TableKeys, names: Sequence[str] | None, width: int) -> Columns:
    """Decide the roles of the columns.

    Parameters
    ----------
    source : str
        The file, for messages.
    keys : TableKeys
        The keys of the spec.
    names : sequence of str or None
        The names of the columns, if a line names them.
    width : int
        Number of columns.

    Raises
    ------
    DataError
        A column does not exist, or the table is ambiguous.
    """
    target = None
    if keys.target is not None:
        target = _find(source, "target", keys.target, names, width)
    index, is_assumed = _index(source, keys, names, width, target)
    if target is None:
        target = _target(source, names, width, index)
    if target == index:
        raise DataError(
            f"data file {source!r}: column {target + 1} is both the target and the index",
            hint="change target or index in [data]",
        )
    if width - (index is not None) < 2:
        raise DataError(
            f"data file {source!r} has {width} columns"
            + ("" if index is None else ", one of them the index")
            + "; at least one feature and the target are needed",
            hint="columns are separated by commas, semicolons, tabs or spaces",
        )
    return Columns(target, index, is_assumed)


def _target(source: str, names: Sequence[str] | None, width: int, index: int | None) -> int:
    last = width - 1 if index != width - 1 else width - 2
    if names is None:
        return last
    if "y" in names:
        return _find(source, "target", "y", names, width)
    called = [i for i, name in enumerate(names) if i != index and name.lower() in _TARGET_NAMES]
    for column in called:
        if column != last:
            two_readings(
                source,
                f"the target is {column_title(names, column)}, as its name says",
                f"it is the last, {column_title(names, last)}",
                f"target = {_key(names, column)} or target = {_key(names, last)}",
            )
    return last


def _index(
    source: str, keys: TableKeys, names: Sequence[str] | None, width: int, target: int | None
) -> tuple[int | None, bool]:
    if keys.index is False:
        return None, False
    index = None
    if keys.index is not None:
        wanted = 1 if keys.index is True else keys.index
        index = _find(source, "index", wanted, names, width)
    if names is None:
        return index, False
    rest = [i for i in range(width) if i not in (index, target)]
    unnamed = [i for i in rest if _UNNAMED.fullmatch(names[i])]
    if index is not None:
        if unnamed:
            raise DataError(
                f"data file {source!r}: column {unnamed[0] + 1} has no name and may be a second "
                "index",
                hint="leave it out of the file, or give it a name if it is a feature",
            )
        return index, False
    called = [i for i in rest if names[i].lower() in _INDEX_NAMES]
    if unnamed == [0] and not called:
        return 0, True
    for column in (*unnamed, *called):
        ask_for_index(source, names, column)
    return None, False


def ask_for_index(source: str, names: Sequence[str] | None, column: int) -> NoReturn:
    """Raise the error for a column that may be an index or a feature."""
    yes = "true" if column == 0 else _key(names, column)
    two_readings(
        source,
        f"{column_title(names, column)} only names or numbers the samples",
        "it is a feature",
        f"index = {yes} or index = false",
    )


def _find(source: str, key: str, wanted: str | int, names: Sequence[str] | None, width: int) -> int:
    if isinstance(wanted, int):
        if not 1 <= wanted <= width:
            raise DataError(
                f"data file {source!r} has no column {wanted}; it has {width}",
                hint=f"set {key} in [data] to a number from 1 to {width}",
            )
        return wanted - 1
    if names is None:
        raise DataError(
            f"data file {source!r} has no column {wanted!r}, because no line names the columns",
            hint=f"set {key} in [data] to a number from 1 to {width}, or header = true "
            "if the first line names the columns",
        )
    found = [i for i, name in enumerate(names) if name == wanted]
    if len(found) > 1:
        numbers = " and ".join(str(i + 1) for i in found)
        raise DataError(
            f"data file {source!r}: columns {numbers} have the same name, {wanted!r}",
            hint=f"set {key} in [data] to the number of one, such as {found[0] + 1}",
        )
    if not found:
        nearest = difflib.get_close_matches(wanted, names, n=1)
        raise DataError(
            f"data file {source!r} has no column {wanted!r}"
            + (f"; did you mean {nearest[0]!r}?" if nearest else f"; columns: {few(names)}"),
            hint=f"set {key} in [data] to one of the names, or a number from 1 to {width}",
        )
    return found[0]


def two_readings(source: str, first: str, second: str, keys: str) -> NoReturn:
    """Raise the error for a file that can be read in two ways."""
    raise DataError(
        f"data file {source!r} can be read in two ways: {first}, or {second}",
        hint=f"say which it is in [data]: {keys}",
    )


def column_title(names: Sequence[str] | None, column: int) -> str:
    """Return ``column 3 ('a')``, numbers counted from 1."""
    return f"column {column + 1}" + (f" ({names[column]!r})" if names and names[column] else "")


def few(cells: Sequence[str]) -> str:
    """Return the first cells of a line, for a message."""
    return ", ".join(map(repr, cells[:_SHOWN])) + (", …" if len(cells) > _SHOWN else "")


def _key(names: Sequence[str] | None, column: int) -> str:
    if names and names[column] and names.count(names[column]) == 1:
        return f'"{names[column]}"'
    return str(column + 1)


def looks_of(
    first: Sequence[str], others: Sequence[Sequence[str]]
) -> Literal["names", "values", "either"]:
    """Return whether the first line of a table looks like names or values.

    Parameters
    ----------
    first : sequence of str
        Its cells.
    others : sequence of sequence of str
        The cells of some lines that follow.
    """
    names = [cell for cell in first if is_name(cell)]
    numbers = [cell for cell in first if NUMBER.fullmatch(cell)]
    blanks = first.count("")
    if len(numbers) == len(first):
        return "either" if _may_be_names(first, others) else "values"
    if names and len(names) + blanks == len(first):
        # The same word in all cells marks missing values.
        return "names" if len(set(names)) > 1 or not is_missing(names[0]) else "values"
    if names and all(map(is_missing, names)):
        return "values"
    if len(names) + len(numbers) + (first[0] == "") == len(first):
        # Numbered columns, and an index or a target with a name.
        counted = [str(i) for i in range(len(numbers))]
        is_count = numbers == counted and (len(numbers) > 1 or not names)
        return "names" if is_count else "either"
    return "values"


def is_name(cell: str) -> bool:
    """Return whether a cell is a word, such as a name or a mark for a missing value."""
    return is_missing(cell) or (any(map(str.isalpha, cell)) and not _BAD_VALUE.fullmatch(cell))


def is_label(cell: str) -> bool:
    """Return whether a cell is a word that can be the label of a class."""
    return is_name(cell) and not is_missing(cell)


def is_missing(cell: str) -> bool:
    """Return whether a cell marks a missing value."""
    return cell.lower() in _MISSING


def _may_be_names(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    if len(set(first)) < len(first):
        return False
    values = [float(cell) for cell in first]
    steps = [b - a for a, b in pairwise(values)]
    are_integers = all(map(_INTEGER.fullmatch, first))
    if are_integers and all(step == 1 for step in steps):
        return True
    size = max(map(abs, values))
    if len(steps) > 1 and max(steps) - min(steps) <= 1e-12 * size:
        return True
    # Places on an axis, such as wavelengths.
    if len(first) >= _LONG and _is_ordered(first) and not any(map(_is_ordered, others)):
        return True
    # Integers above a column of fractions alone.
    columns = zip(*others, strict=False)
    return are_integers and any(all(map(_is_fraction, column)) for column in columns)


def _is_ordered(cells: Sequence[str]) -> bool:
    if not all(map(NUMBER.fullmatch, cells)):
        return False
    signs = {math.copysign(1, float(b) - float(a)) for a, b in pairwise(cells) if a != b}
    return len(signs) == 1


def _is_fraction(cell: str) -> bool:
    plain = cell.replace(",", ".")
    return NUMBER.fullmatch(plain) is not None and not _INTEGER.fullmatch(plain)


def may_be_index(features: HostFloats, *, is_named: bool) -> bool:
    """Return whether the first feature may only number the samples.

    This holds if it counts them from 0 or 1. Without a name, it also holds for distinct
    integers without gaps, in any order, and for distinct integers if no other column has
    only integers. If there is one feature only, it is a feature.
    """
    first, (count, width) = features[:, 0], features.shape
    if width == 1 or not _is_integral(first):
        return False
    counts = count >= _COUNTED and first[0] in (0, 1)
    if counts and np.array_equal(first, first[0] + np.arange(count)):
        return True
    if is_named or count < _COUNTED or len(np.unique(first)) < count:
        return False
    if first.max() - first.min() == count - 1:
        return True
    return count >= _MANY and not any(map(_is_integral, features[:, 1:].T))


def _is_integral(values: HostFloats) -> bool:
    return bool((values == np.trunc(values)).all())


def are_labels(cells: Sequence[str]) -> bool:
    """Return whether cells only name or number samples: all texts, or distinct integers."""
    if all(map(_INTEGER.fullmatch, cells)):
        return len(set(cells)) == len(cells)
    return not any(cell == "" or NUMBER.fullmatch(cell) for cell in cells)
