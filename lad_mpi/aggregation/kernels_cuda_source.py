"""The CUDA sources of the means of some ranks of every column, one for each case.

``kernels_cuda.cu`` is the kernel. This module prepends the constants and the network of a case,
so that a compiler unrolls all loops and keeps a column in registers. It needs neither CuPy nor a
GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

import numpy as np

from lad_mpi.aggregation.kernels_network import (
    band_exchanges,
    bitonic_band_exchanges,
    merge_exchange,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Name of the kernel in the source.
KERNEL = "column_means"
#: Threads in a block.
THREADS = 128

# Up to this many 32-bit registers, one thread holds a column. Beyond, two threads share it, so
# that more threads fit on a processor, and compiling is faster.
_REGISTERS_ALONE = 64
# Beyond, compilers were seen to run out of the 255 registers of a thread, by bytes of a number.
_MAX_ROWS = {4: 288, 8: 176}

_TYPES: dict[str, Literal["float", "double"]] = {"f": "float", "d": "double"}


@dataclass(frozen=True, slots=True)
class Case:
    """The values of every column that are averaged.

    Parameters
    ----------
    num_rows : int
        n, at most :func:`max_rows`.
    first, last : int
        Ranks ``first … last − 1`` are averaged, 0 ≤ first < last ≤ n.
    num_joined : int
        As many of the other values, those nearest the median, are averaged with
        them: 0, or ``first`` where ``last`` is n − first.
    dtype : {"f", "d"}
        NumPy's character for float32 or float64.
    """

    num_rows: int
    first: int
    last: int
    num_joined: int
    dtype: str

    @property
    def lanes(self) -> int:
        """Adjacent threads that share a column, 1 or 2."""
        takes_all = self.first == 0 and self.last == self.num_rows
        registers = self.num_rows * np.dtype(self.dtype).itemsize // 4
        return 1 if takes_all or registers <= _REGISTERS_ALONE else 2

    @property
    def rows_per_lane(self) -> int:
        """Numbers that a thread holds."""
        return -(-self.num_rows // self.lanes)


def max_rows(dtype: np.dtype[np.floating]) -> int:
    """Return the largest n whose columns fit in the registers of their threads."""
    return _MAX_ROWS[dtype.itemsize]


def networks(case: Case) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the exchanges before and after two lanes compare what they hold.

    Returns
    -------
    sort, separate : list of (int, int)
        Places in what a thread holds; the lower number goes to the first.
    """
    n, joined = case.num_rows, case.num_joined
    cuts = {case.first, case.last}
    if joined:
        low, high = (n - 1) // 2, n // 2
        # Ranks whose place matters are bands of their own.
        cuts |= {*range(joined + 1), low, low + 1, high, high + 1, *range(n - joined, n)}
    if case.lanes == 1:
        return band_exchanges(n, cuts), []
    held = case.rows_per_lane
    # The other lane counts from above; what it needs, both do.
    mirrored = {2 * held - cut for cut in cuts}
    return list(merge_exchange(held)), bitonic_band_exchanges(held, cuts | mirrored)


def source(case: Case) -> str:
    """Return the CUDA C++ source of one case, which defines the kernel :data:`KERNEL`."""
    sort, separate = networks(case)
    constants = {
        "ROWS": case.num_rows,
        "LANES": case.lanes,
        "FIRST": case.first,
        "LAST": case.last,
        "JOINED": case.num_joined,
        "THREADS": THREADS,
    }
    lines = [
        f"typedef {_TYPES[case.dtype]} Real;",
        f"constexpr Real LARGEST = {float(np.finfo(case.dtype).max)!r};",
        *(f"constexpr int {name} = {value};" for name, value in constants.items()),
        f"#define SORT(X) {_calls(sort)}",
        f"#define SEPARATE(X) {_calls(separate)}",
        _kernel(),
    ]
    return "\n".join(lines)


def _calls(exchanges: Iterable[tuple[int, int]]) -> str:
    return " ".join(f"X({low}, {high})" for low, high in exchanges)


@cache
def _kernel() -> str:
    return files(__package__).joinpath("kernels_cuda.cu").read_text(encoding="utf-8")
