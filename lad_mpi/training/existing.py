"""What to do with what is there already."""

from __future__ import annotations

from enum import Enum


class Existing(Enum):
    """What becomes of a log that exists already.

    ``REFUSE`` keeps it and does not run, ``REPLACE`` replaces it, ``RESUME`` goes
    on where it was interrupted, and begins where there is none.
    """

    REFUSE = "refuse"
    REPLACE = "replace"
    RESUME = "resume"
