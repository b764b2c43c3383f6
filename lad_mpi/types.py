"""Types that every layer shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

#: A NumPy or CuPy array of float32 or float64. The two libraries share no
#: static type, so shapes and dtypes stand in the docstrings.
Array: TypeAlias = Any

#: Arrays that always live in host memory.
HostFloats: TypeAlias = npt.NDArray[np.floating[Any]]
HostInts: TypeAlias = npt.NDArray[np.int64]
HostWords: TypeAlias = npt.NDArray[np.uint64]
HostBools: TypeAlias = npt.NDArray[np.bool_]
HostBytes: TypeAlias = npt.NDArray[np.uint8]

#: No run counts as far; larger numbers are slips, and would overflow somewhere else.
LARGEST_COUNT = 2**31 - 1

#: A broadcast begins with a word of the server that says what comes next.
COMMAND_BYTES = 8


def broadcast_bytes(dimension: int, item_bytes: int) -> int:
    """Return the size of a broadcast: the command, then a model of Q numbers.

    Parameters
    ----------
    dimension : int
        Q.
    item_bytes : int
        Size of a number in bytes.
    """
    return COMMAND_BYTES + dimension * item_bytes


def device_ranks(ranks: int) -> int:
    """Return how many ranks host devices: all but the server, or the only rank."""
    return max(1, ranks - 1)


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that is recorded for every evaluated iteration; it describes itself in the log.

    Parameters
    ----------
    name : str
        Name of its dataset: a Python identifier in lower case.
    units : str
        Units in the spelling of UDUNITS; ``"1"`` for a number without one.
    long_name : str
        What it is, for axes and readers.
    better : {"lower", "higher", ""}
        Which way is better; empty if neither is.
    """

    name: str
    units: str
    long_name: str
    better: Literal["lower", "higher", ""] = ""
