"""Tables on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from lad_mpi.console import open_console
from lad_mpi.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def print_table(
    rows: Sequence[Mapping[str, Any]],
    *,
    columns: Mapping[str, str],
    right: Sequence[str] = (),
    spaced: bool = False,
) -> None:
    """Print chosen columns of rows, wrapped to the terminal's width, with blank lines if asked.

    A cell is one line, or a list of lines.
    """
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, leading=int(spaced))
    for key, title in columns.items():
        table.add_column(title, justify="right" if key in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[key]) for key in columns))
    open_console().print(table)


def _cell(value: Any) -> str:
    # A line end within a line comes from a file, and would look like another row.
    lines = value if isinstance(value, list) else [value]
    return "\n".join(one_line(str(line)) for line in lines)
