r"""Text from elsewhere, made safe for a terminal.

Names, failures and values come from files that somebody else wrote. A terminal takes
control characters in them for commands: to clear the screen, to retitle the window, to
show a line backwards. So they are written as escapes, ``\u001b``, a form that strings of
JSON and of TOML have as well.
"""

from __future__ import annotations

import re

#: Stands between the message of an error and its hint.
HINT = "\n  hint: "
#: Control characters, separators of lines and paragraphs, and changes of direction.
_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str, *, keep: str = "\n\t") -> str:
    r"""Escape what a terminal or an editor would obey instead of showing it.

    Parameters
    ----------
    text : str
        Any text.
    keep : str
        Control characters that are left as they are.

    Examples
    --------
    >>> printable("a\x1b[2Jb\n")
    'a\\u001b[2Jb\n'
    """
    return _COMMANDS.sub(lambda found: _escaped(found[0], keep), text)


def one_line(text: str) -> str:
    r"""Escape as :func:`printable` does, line ends and tabs as well.

    The hint of an error, which has a line of its own, follows its message.

    Examples
    --------
    >>> one_line("lad\nerror: all is lost")
    'lad\\u000aerror: all is lost'
    """
    return printable(text.replace(HINT, "; hint: "), keep="")


def _escaped(character: str, keep: str) -> str:
    return character if character in keep else f"\\u{ord(character):04x}"
