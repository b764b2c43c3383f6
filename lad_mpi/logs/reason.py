"""Why a file could not be read or written, in the system's words."""

from __future__ import annotations

import os
import re


def reason(error: Exception) -> str:
    """Return the system's message for an error of HDF5 or of the system; else its own, in one line.

    HDF5 buries the system's error number in a paragraph about its internals.
    """
    number = getattr(error, "errno", None)
    if number is None and (match := re.search(r"errno = (\d+)", str(error))):
        number = int(match[1])
    words = os.strerror(number) if number else str(error)
    return " ".join(words.split()) or type(error).__name__
