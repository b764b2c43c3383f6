"""Values as words of a job script, which is read twice: by ``sbatch`` and by bash.

Both take quotes, each in its own way. Neither can hold a newline where one value ends and
the next begins, so control characters are refused.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: Those of ASCII and Latin-1, separators of lines and paragraphs, and changes of direction.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)


def control_character(text: str) -> str:
    """Return the first control character of a text as an escape; empty if there is none."""
    found = _CONTROL.search(text)
    return ascii(found[0]) if found else ""


def path_word(path: Path) -> str:
    """Return a path that no command takes for an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def default_word(text: str) -> str:
    """Return a word for ``${NAME:-word}``; nothing for an empty text."""
    return shlex.quote(text) if text else ""


def sbatch_word(text: str) -> str:
    """Return a word for a line ``#SBATCH``.

    In such a line a backslash stands for the next character inside quotes as well, and
    ``#`` begins a comment (``_get_argument`` in SLURM's ``src/sbatch/opt.c``).
    """
    if not text or _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
