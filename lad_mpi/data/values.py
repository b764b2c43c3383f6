"""The values of a table, checked row by row once its layout is known.

Features are numbers. Targets are numbers or words, as the first one is.
"""

from __future__ import annotations

import math
import re
from array import array
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lad_mpi.data.columns import (
    NUMBER,
    Columns,
    TableKeys,
    are_labels,
    ask_for_index,
    column_title,
    is_label,
    is_missing,
    is_name,
    may_be_index,
)
from lad_mpi.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lad_mpi.types import HostFloats

    #: The number of a line, and its cells.
    Row = tuple[int, list[str]]

#: The separators of columns by precedence: the first of those that most lines have.
SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas", " ": "spaces"}
_DATE = re.compile(r"\d+[-/:]\d")
#: A number with a comma that may separate thousands.
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TableLayout:
    """The layout of a table, known before its values are read.

    Parameters
    ----------
    separator : str
        What separates columns.
    width : int
        Number of columns.
    names : list of str or None
        Names of the columns; None if no line names them.
    header_line : int
        Line with the names, or the first line.
    columns : Columns
        Which column is what.
    is_comment : bool
        Whether the names are in a comment above the first row, which may be no header.
    """

    separator: str
    width: int
    names: list[str] | None
    header_line: int
    columns: Columns
    is_comment: bool = False

    @property
    def is_named(self) -> bool:
        """Whether it is certain that the columns have names."""
        return self.names is not None and not self.is_comment


class Values:
    """The values of a table, added row by row."""

    def __init__(self, layout: TableLayout, source: str) -> None:
        self._layout, self._source = layout, source
        target, index = layout.columns.target, layout.columns.index
        features = [i for i in range(layout.width) if i not in (target, index)]
        self._pick = itemgetter(*features, target)
        self._num_features = len(features)
        self._features, self._targets = array("d"), array("d")
        #: Targets that are words.
        self._words: list[str] = []
        #: The cells of the column that may be the index.
        self._index_cells: list[str] = []
        self._previous: Row = (0, [])
        self._first_line = 0
        # The first line with a decimal point, and the first with a comma, with its number.
        self._point_line = self._comma_line = 0
        self._comma_cell = ""
        self._may_be_thousands = True

    @property
    def has_commas(self) -> bool:
        """Whether numbers have decimal commas."""
        return bool(self._comma_line)

    def append(self, line: int, row: list[str]) -> None:
        """Add a row.

        Raises
        ------
        DataError
            It has another length, or holds a value that is not a number.
        """
        layout = self._layout
        if len(row) != layout.width:
            raise ragged(self._source, self._previous, (line, row))
        self._previous = (line, row)
        if layout.columns.is_assumed:
            self._index_cells.append(row[layout.columns.index or 0].strip())
        cells = self._pick(row)
        word = cells[-1].strip(" \t")
        self._first_line = self._first_line or line
        if is_word := is_label(word):
            cells = cells[:-1]
        text = "".join(cells)
        if layout.separator in ";\t":
            cells = self._with_points(line, cells, text)
        try:
            # float() accepts more than numbers: 1_000, and the digits of other scripts.
            is_plain = text.isascii() and "_" not in text
            numbers = [float(cell) for cell in cells] if is_plain else []
        except ValueError:
            numbers = []
        if not (numbers and all(map(math.isfinite, numbers))):
            raise self._complaint(line, row)
        if is_word:
            self._words.append(word)
        else:
            self._targets.append(numbers.pop())
        if self._words and self._targets:
            raise self._mixed(line, word)
        self._features.extend(numbers)

    def arrays(self, keys: TableKeys) -> tuple[HostFloats, npt.NDArray[Any]]:
        """Return features and targets, and check that all values confirm the layout.

        Raises
        ------
        DataError
            The values are ambiguous.
        """
        source, layout = self._source, self._layout
        if self._comma_line and self._may_be_thousands:
            cell = self._comma_cell
            raise DataError(
                f"data file {source!r} can be read in two ways: {cell!r} in line "
                f"{self._comma_line} is {cell.replace(',', '.')}, or {cell.replace(',', '')}",
                hint="write numbers with a decimal point and without separators of thousands",
            )
        if not (self._targets or self._words):
            raise DataError(
                f"data file {source!r} has no samples below line {layout.header_line}, its header",
                hint="set header = false in [data] if that line is a sample",
            )
        index = layout.columns.index
        if layout.columns.is_assumed and not are_labels(self._index_cells):
            ask_for_index(source, layout.names, index or 0)
        features = np.frombuffer(self._features).reshape(-1, self._num_features)
        # As objects: one long word must not make all of them long.
        words = np.array(self._words, dtype=object)
        targets = words if self._words else np.frombuffer(self._targets)
        is_open = keys.index is None and index is None and layout.columns.target > 0
        if is_open and may_be_index(features, is_named=layout.is_named):
            ask_for_index(source, layout.names, 0)
        return features, targets

    def _with_points(self, line: int, cells: Sequence[str], text: str) -> Sequence[str]:
        if "." in text:
            self._point_line = self._point_line or line
        if "," in text:
            self._comma_line = self._comma_line or line
        if self._point_line and self._comma_line:
            raise DataError(
                f"data file {self._source!r} has a point in a number in line {self._point_line} "
                f"and a comma in one in line {self._comma_line}",
                hint="write numbers with a decimal point and without separators of thousands",
            )
        if "," not in text:
            return cells
        if self._may_be_thousands:
            found = [cell for cell in cells if "," in cell]
            self._comma_cell = self._comma_cell or found[0]
            self._may_be_thousands = all(_GROUPED.fullmatch(cell.strip()) for cell in found)
        return [cell.replace(",", ".") for cell in cells]

    def _mixed(self, line: int, target: str) -> DataError:
        column = column_title(self._layout.names, self._layout.columns.target)
        first = "a number" if is_label(target) else "a word"
        return DataError(
            f"data file {self._source!r}, line {line}, {column}: the target is {target!r}, and the "
            f"one in line {self._first_line} is {first}",
            hint="write targets as numbers in all lines, or as words in all lines",
        )

    def _complaint(self, line: int, row: list[str]) -> DataError:
        columns, names, row = (
            self._layout.columns,
            self._layout.names,
            [cell.strip(" \t") for cell in row],
        )
        decimal = "," if self.has_commas else "."
        plain = [cell.replace(decimal, ".") for cell in row]
        # The target may be a word.
        fine = {columns.index, columns.target if is_label(row[columns.target]) else None}
        column = next(
            i
            for i, cell in enumerate(plain)
            if i not in fine and not (NUMBER.fullmatch(cell) and math.isfinite(float(cell)))
        )
        cell = row[column]
        return DataError(
            f"data file {self._source!r}, line {line}, {column_title(names, column)}: expected a "
            f"finite number, found {cell!r}",
            hint=self._remedy(cell, column),
        )

    def _remedy(self, cell: str, column: int) -> str:
        if cell.lower() in ("true", "false"):
            return "write 1 and 0"
        if "," in cell:
            return (
                "write numbers with a decimal point and without separators of thousands; decimal "
                "commas are read where semicolons or tabs separate columns"
            )
        if not cell or is_missing(cell):
            return "leave out or fill in samples that lack a value"
        may_label = is_name(cell) or _DATE.match(cell)
        if may_label and column == 0 and self._layout.columns.index is None:
            return (
                "if the column only names the samples, set index = true in [data]; if it has the "
                "labels, target = 1"
            )
        separated = SEPARATORS[self._layout.separator]
        return f"write numbers as 1000 or -1.5e-3; columns are separated by {separated} here"


def ragged(source: str, before: Row, found: Row) -> DataError:
    """Return the error of a row that is longer or shorter than the row before it."""
    return DataError(
        f"data file {source!r}: line {found[0]} has {len(found[1])} columns, and line {before[0]} "
        f"has {len(before[1])}",
        hint="every line must have the same number of columns; see that no number is lost",
    )
