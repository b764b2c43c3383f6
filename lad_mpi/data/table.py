"""Tables in text, as common programs write them: numbers, and perhaps a column of labels.

:mod:`lad_mpi.data.columns` decides the roles of the columns.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from lad_mpi.data.columns import (
    NUMBER,
    Columns,
    TableKeys,
    column_title,
    few,
    is_label,
    is_name,
    looks_of,
    resolve,
    two_readings,
)
from lad_mpi.data.text import LOOKED_AT
from lad_mpi.data.values import SEPARATORS, TableLayout, Values, ragged
from lad_mpi.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from lad_mpi.data.values import Row
    from lad_mpi.types import HostFloats

_COMMENT = ("#", "%")
#: The line that tells Excel the separator.
_EXCEL = re.compile(r'"?sep=."?')
_HEADER = "header = true or header = false"
_QUOTED = re.compile(r'"[^"]*"')
_WORDS = re.compile(r'"(?:[^"]|"")*"|[^ \t\n]+')


@dataclass(frozen=True, slots=True)
class _Head:
    """The beginning of a text: the lines above the table, and its first lines."""

    lines: list[str]
    skipped: int
    comment: str
    comment_line: int


def read_table(
    lines: Iterator[str], source: str, keys: TableKeys
) -> tuple[HostFloats, npt.NDArray[Any], list[str]]:
    """Read a table, one sample a line. Features are numbers, targets are numbers or words.

    Columns may be separated by commas, semicolons, tabs or runs of spaces. With
    semicolons or tabs, numbers may have decimal commas. Lines above the table that begin
    with ``#`` or ``%`` are comments. The last of them may name the columns.

    Parameters
    ----------
    lines : iterator of str
        The text.
    source : str
        The name of the file in messages.
    keys : TableKeys
        The keys of the spec about the layout.

    Returns
    -------
    features : ndarray of float64, shape (n, p)
    targets : ndarray of float64, or of Python's str, shape (n,)
    notes : list of str
        How the table was read, for the log.

    Raises
    ------
    DataError
        The table is ambiguous or ragged, a feature is not a number, or the targets are words
        in some lines only.
    """
    head = _head(lines)
    separator = _separator(head.lines, source)
    rows = _rows(chain(head.lines, lines), separator, head.skipped + 1, source)
    # float() accepts spaces around a number, but names must have none.
    looked_at = [(line, _stripped(row)) for line, row in islice(rows, LOOKED_AT)]
    layout = _layout(looked_at, head, separator, keys, source)
    if layout.is_named:
        del looked_at[0]
    values = Values(layout, source)
    for line, row in chain(looked_at, rows):
        values.append(line, row)
    features, targets = values.arrays(keys)
    return features, targets, ["CSV", *_notes(layout, has_commas=values.has_commas)]


def _head(lines: Iterator[str]) -> _Head:
    comment, comment_line = "", 0
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text.startswith(_COMMENT):
            comment, comment_line = text.lstrip("".join(_COMMENT)), number
        elif text and not (number == 1 and _EXCEL.fullmatch(text)):
            first = [line, *islice(lines, LOOKED_AT - 1)]
            return _Head(first, number - 1, comment, comment_line)
    return _Head([], 0, "", 0)


def _separator(head: list[str], source: str) -> str:
    bare = [_QUOTED.sub("", line).strip(" \n") for line in head if line.strip()]
    lines_with = {mark: sum(mark in line for line in bare) for mark in SEPARATORS}
    separator = max(lines_with, key=lines_with.__getitem__)
    if lines_with[separator]:
        return separator
    raise DataError(
        f"data file {source!r} has {'one column' if bare else 'no lines'}; at least one feature "
        "and the target are needed",
        hint="columns are separated by commas, semicolons, tabs or spaces",
    )


def _rows(lines: Iterable[str], separator: str, first: int, source: str) -> Iterator[Row]:
    if separator == " ":
        for number, line in enumerate(lines, start=first):
            if cells := _words(line):
                yield number, cells
        return
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    try:
        for row in reader:
            if len(row) > 1 or "".join(row).strip():
                yield first + reader.line_num - 1, row
    except csv.Error as error:
        raise DataError(
            f"data file {source!r}, line {first + reader.line_num - 1}: {error}",
            hint='see that every quote (") is closed, and that a separator follows it',
        ) from error


def _words(line: str) -> list[str]:
    words: list[str] = _WORDS.findall(line)
    if '"' not in line:
        return words
    return [word[1:-1].replace('""', '"') if word[0] == '"' else word for word in words]


def _stripped(row: list[str]) -> list[str]:
    return [cell.strip(" \t") for cell in row]


def _layout(
    looked_at: list[Row], head: _Head, separator: str, keys: TableKeys, source: str
) -> TableLayout:
    (line, first), others = looked_at[0], [row for _, row in looked_at[1:]]
    width = len(others[0]) if others else len(first)
    if len(first) not in (width, width - 1):
        raise ragged(source, (line, first), looked_at[1])
    if others and all(row[-1] == "" for row in others):
        raise DataError(
            f"data file {source!r}, line {looked_at[1][0]}: column {width}, the last, is empty",
            hint="remove the separators at the ends of lines",
        )
    looks = _looks(first, others, keys, head.lines)
    commented = _commented(head, separator, width) if looks != "names" else []
    if looks == "either" and keys.header is None:
        _ask_for_header(source, (line, first), commented, head.comment_line)
    if commented and keys.header is not False:
        columns = _comment_or_names(commented, width, head, keys, source)
        return TableLayout(separator, width, commented, head.comment_line, columns, is_comment=True)
    is_header = looks == "names" if keys.header is None else keys.header
    names = _full(first, width) if is_header else None
    return TableLayout(separator, width, names, line, resolve(source, keys, names, width))


def _looks(
    first: list[str], others: list[list[str]], keys: TableKeys, lines: list[str]
) -> Literal["names", "values", "either"]:
    """Return what the first line looks like, without the column that is known as the index."""
    is_short = any(len(row) > len(first) for row in others)
    index = keys.index
    if isinstance(index, str) or not index:
        is_text = bool(others) and all(is_name(row[0]) for row in others)
        left_out = 0 if is_text and first[0] else None
    else:
        left_out = int(index) - 1
    if left_out is not None:
        others = [row[:left_out] + row[left_out + 1 :] for row in others]
        if not is_short:
            first = first[:left_out] + first[left_out + 1 :]
    # Only names need quotes, and only a line of names can be shorter.
    is_quoted = '"' in lines[0] and not any('"' in line for line in lines[1:])
    label, first, others = _without_labels(first, others)
    if (is_short or is_quoted) and all(map(NUMBER.fullmatch, first)):
        looks: Literal["names", "values", "either"] = "either"
    else:
        looks = looks_of(first, others)
    # A label that occurs below as well is hardly the name of its column.
    return "values" if looks == "either" and label else looks


def _without_labels(
    first: list[str], others: list[list[str]]
) -> tuple[bool, list[str], list[list[str]]]:
    """Leave out the only column of words, and return whether its first word occurs again."""
    columns = list(zip(*others, strict=False))
    words = [i for i, column in enumerate(columns) if all(map(is_label, column))]
    if len(words) != 1 or len(first) != len(columns) or len(first) < 2:
        return False, first, others
    (place,) = words
    first, others = list(first), [list(row) for row in others]
    label = first.pop(place)
    return label in [row.pop(place) for row in others], first, others


def _commented(head: _Head, separator: str, width: int) -> list[str]:
    """Return the names in the last comment above the table; none if it holds no names."""
    cut = head.comment.split(None if separator == " " else separator)
    cells = [cell.strip(' \t"') for cell in cut]
    return cells if len(cells) == width and looks_of(cells, []) == "names" else []


def _ask_for_header(source: str, row: Row, commented: list[str], comment_line: int) -> NoReturn:
    may_be = f"line {row[0]} ({few(row[1])}) names the columns"
    if not commented:
        two_readings(source, may_be, "it is the first sample", _HEADER)
    two_readings(
        source,
        may_be,
        f"line {comment_line} ({few(commented)}) does",
        f"header = true if line {comment_line} does, header = false if none does; or remove that "
        "comment",
    )


def _comment_or_names(
    names: list[str], width: int, head: _Head, keys: TableKeys, source: str
) -> Columns:
    """Resolve columns named by a comment, if the names make no difference."""
    if keys.header or isinstance(keys.target, str) or isinstance(keys.index, str):
        return resolve(source, keys, names, width)
    plain = resolve(source, keys, None, width)
    try:
        named = resolve(source, keys, names, width)
    except DataError:
        named = None
    if named != plain:
        two_readings(
            source,
            f"line {head.comment_line} ({few(names)}) names the columns",
            "it is a comment",
            _HEADER,
        )
    return plain


def _full(names: list[str], width: int) -> list[str]:
    # R does not name the column of the row names.
    return names if len(names) == width else ["", *names]


def _notes(layout: TableLayout, *, has_commas: bool) -> list[str]:
    names, columns = layout.names, layout.columns
    index = columns.index
    notes = [
        f"header in line {layout.header_line}" if names else "no header",
        f"target in {column_title(names, columns.target)}",
        "no index" if index is None else f"index in {column_title(names, index)}",
    ]
    if layout.separator != ",":
        notes.append(f"separated by {SEPARATORS[layout.separator]}")
    return [*notes, "decimal commas"] if has_commas else notes
