"""Tables and JSON on standard output."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

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
    """Print a table that is wrapped to the width of the terminal.

    Parameters
    ----------
    rows : sequence of mapping
        Cells by key. A cell is one line, or a list of lines.
    columns : mapping of str
        Titles of the columns, by the keys that are shown.
    right : sequence of str
        Keys of the columns that are aligned to the right.
    spaced : bool
        Whether blank lines separate the rows.
    """
    # Ranks that print no table do not import rich.
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from lad_mpi.console import open_console  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, leading=int(spaced))
    for key, title in columns.items():
        table.add_column(title, justify="right" if key in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[key]) for key in columns))
    open_console().print(table)


def print_json(document: Any) -> None:
    """Print a document as JSON."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def _cell(value: Any) -> str:
    # A line break within a line comes from a file. It would look like another row.
    lines = value if isinstance(value, list) else [value]
    return "\n".join(one_line(str(line)) for line in lines)
