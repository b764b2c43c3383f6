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

#: Largest count in a spec. A larger one is a mistake, and would overflow elsewhere.
LARGEST_COUNT = 2**31 - 1

#: A broadcast begins with a command word of the server.
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


def device_ranks(ranks: int, servers: int = 1) -> int:
    """Return how many ranks host devices: all but the servers, or the only rank."""
    return max(1, ranks - servers)


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that is recorded in every evaluated iteration, with its description.

    Parameters
    ----------
    name : str
        Name of its dataset: a Python identifier in lower case.
    units : str
        Units in the spelling of UDUNITS; ``"1"`` for a number without units.
    long_name : str
        A description for axes and readers.
    better : {"lower", "higher", ""}
        The better direction; empty if neither is better.
    """

    name: str
    units: str
    long_name: str
    better: Literal["lower", "higher", ""] = ""


#: What a model learns: to predict numbers, or classes.
Task: TypeAlias = Literal["regression", "classification"]


@dataclass(frozen=True, slots=True)
class SampleForm:
    """What a model must know about the samples before it sees one.

    Parameters
    ----------
    shape : tuple of int
        Shape of the features of one sample, (28, 28) for an image and (p,) for a row of a
        table.
    num_classes : int
        C; 0 for regression.
    """

    shape: tuple[int, ...]
    num_classes: int = 0

    @property
    def num_features(self) -> int:
        """p, the number of features of a sample."""
        size = 1
        for length in self.shape:
            size *= length
        return size
