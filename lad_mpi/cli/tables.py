"""Tables on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def print_table(
    rows: Sequence[Mapping[str, Any]],
    *,
    columns: Mapping[str, str],
    right: Sequence[str] = (),
    spaced: bool = False,
) -> None:
    """Print chosen columns of rows, wrapped to the terminal's width, with blank lines if asked."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, leading=int(spaced))
    for key, title in columns.items():
        table.add_column(title, justify="right" if key in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(str(row[key]) for key in columns))
    # Names with brackets or colons are names, not markup or emoji.
    Console(markup=False, emoji=False, highlight=False).print(table)
