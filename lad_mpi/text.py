r"""Text from other sources, made safe for a terminal.

Names, failures and values can come from files that somebody else wrote. Control characters
in them are commands to a terminal: they clear the screen, change the title of the window, or
show a line backwards. They are therefore written as escapes, such as ``\u001b``, which JSON
and TOML also use in strings.
"""

from __future__ import annotations

import re

#: Separates the message of an error from its hint.
HINT = "\n  hint: "
#: Control characters, separators of lines and paragraphs, and changes of direction.
_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str, *, keep: str = "\n\t") -> str:
    r"""Escape characters that a terminal or an editor would obey instead of showing.

    Parameters
    ----------
    text : str
        Any text.
    keep : str
        Control characters that are not escaped.

    Examples
    --------
    >>> printable("a\x1b[2Jb\n")
    'a\\u001b[2Jb\n'
    """
    return _COMMANDS.sub(lambda found: _escaped(found[0], keep), text)


def one_line(text: str) -> str:
    r"""Escape as :func:`printable` does, and line ends and tabs as well.

    The hint of an error, which has its own line, follows the message on the same line.

    Examples
    --------
    >>> one_line("lad\nerror: all is lost")
    'lad\\u000aerror: all is lost'
    """
    return printable(text.replace(HINT, "; hint: "), keep="")


def _escaped(character: str, keep: str) -> str:
    return character if character in keep else f"\\u{ord(character):04x}"
