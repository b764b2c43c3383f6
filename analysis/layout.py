"""Tables that fit a terminal of any width without losing digits or names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lad_mpi.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

#: Least width of a folded name, in columns of the terminal.
LEAST_NAME = 16
_GAP = 2


def make_table(title: str, titles: Sequence[str], body: Sequence[Sequence[str]]) -> TextTable:
    """Return a table with names on the left and numbers on the right, one line in each cell."""
    return TextTable(
        one_line(title),
        tuple(map(one_line, titles)),
        tuple(tuple(map(one_line, row)) for row in body),
    )


def print_lines(console: Console, lines: Iterable[str], *, indent: int = 0) -> None:
    """Print each text as one line, which the terminal may fold."""
    from rich.padding import Padding  # noqa: PLC0415  (JSON does not need it)

    for line in lines:
        text = one_line(line)
        console.print(Padding(text, (0, 0, 0, indent)) if indent else text)


def print_left_out(console: Console, lines: Sequence[str]) -> None:
    """Print which logs were left out, and why."""
    if lines:
        console.print(f"\nLogs left out: {len(lines)}")
        print_lines(console, lines, indent=2)


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table whose first column has names, for :meth:`rich.console.Console.print`.

    Numbers are never cut. If the terminal is too narrow, names are folded. If that is not
    enough, the columns are split into several tables, each with the names. If not even one
    column fits beside the names, each row becomes a block of lines.

    Parameters
    ----------
    title : str
        Title above the table.
    titles : tuple of str
        Titles of the columns.
    body : tuple of tuple of str
        The cells, row by row.
    """

    title: str
    titles: tuple[str, ...]
    body: tuple[tuple[str, ...], ...]

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Render one table, several tables, or blocks, depending on the width."""
        from rich.text import Text  # noqa: PLC0415

        groups = self._split(options.max_width)
        yield Text(self.title, style="bold")
        for number, columns in enumerate(groups):
            if number:
                yield Text(f"\n{self.title} (continued)", style="bold")
            yield self._table(columns)
        if not groups:
            yield from self._blocks()

    def _split(self, width: int) -> list[list[int]]:
        """Distribute the columns over tables that fit; return none if a column does not fit."""
        widths = [self._width(column) for column in range(len(self.titles))]
        name = min(widths[0], LEAST_NAME)
        groups: list[list[int]] = []
        free = 0
        for column, needed in enumerate(widths[1:], 1):
            if not groups or needed + _GAP > free:
                groups.append([])
                free = width - name
            if needed + _GAP > free:
                return []
            groups[-1].append(column)
            free -= needed + _GAP
        return groups

    def _width(self, column: int) -> int:
        from rich.cells import cell_len  # noqa: PLC0415

        return max(cell_len(text) for text in (self.titles[column], *self._cells(column)))

    def _cells(self, column: int) -> list[str]:
        return [row[column] for row in self.body]

    def _table(self, columns: Sequence[int]) -> Table:
        from rich import box  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1, 0, 0),
            collapse_padding=True,
        )
        table.add_column(Text(self.titles[0]), overflow="fold")
        for column in columns:
            table.add_column(Text(self.titles[column]), justify="right", no_wrap=True)
        for row in self.body:
            table.add_row(*(Text(row[column]) for column in (0, *columns)))
        return table

    def _blocks(self) -> Iterator[RenderableType]:
        from rich.padding import Padding  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        for name, *cells in self.body:
            yield Text(name, overflow="fold")
            for title, cell in zip(self.titles[1:], cells, strict=True):
                if not cell:
                    continue
                yield Padding(Text(f"{title}: {cell}", overflow="fold"), (0, 0, 0, 2))
