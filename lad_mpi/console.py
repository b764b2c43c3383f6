"""Rich's console on streams that escape control characters.

A table in bold and a bar that moves are drawn with control characters, so the console
writes beside the escaping of :mod:`lad_mpi.terminal`. What it draws is escaped here.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.segment import Segment

from lad_mpi.terminal import unescaped
from lad_mpi.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import ConsoleOptions, RenderableType


def open_console(*, stderr: bool = False, force_terminal: bool | None = None) -> Console:
    """Return a console that shows texts unchanged: no markup, no emoji codes, no commands.

    Parameters
    ----------
    stderr : bool
        Whether it writes to standard error.
    force_terminal : bool, optional
        Whether it draws as on a terminal. If left out, the stream decides.
    """
    return _Console(
        file=unescaped(sys.stderr if stderr else sys.stdout),
        force_terminal=force_terminal,
        markup=False,
        emoji=False,
        highlight=False,
    )


class _Console(Console):
    """A console that escapes control characters in texts, but not its own."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render with the control characters of texts as escapes."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)
