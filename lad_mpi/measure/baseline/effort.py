"""How much of everything is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """Sizes and repetitions.

    Parameters
    ----------
    repeats : int
        Samples of each quantity.
    sample_s : float
        Calls that are shorter are repeated within a sample, up to this time.
    working_sets_bytes : tuple of int
        Of copy and triad, all arrays together.
    gemm_size : int
        Rows and columns of the square factors.
    gemv_bytes : tuple of int
        Sizes of the matrix.
    messages_bytes : tuple of int
        Of ping-pong and Bcast, and what Gather brings to rank 0.
    partners : int
        Ranks that ping-pong is played with, evenly spread.
    append_bytes : int
        Of a block in HDF5.
    """

    repeats: int
    sample_s: float
    working_sets_bytes: tuple[int, ...]
    gemm_size: int
    gemv_bytes: tuple[int, ...]
    messages_bytes: tuple[int, ...]
    partners: int
    append_bytes: int = 2**20


#: Seconds: enough to see a machine change.
QUICK = Effort(
    repeats=9,
    sample_s=2e-3,
    working_sets_bytes=(2**18, 2**22, 2**26),
    gemm_size=512,
    gemv_bytes=(2**18, 2**25),
    messages_bytes=(8, 2**10, 2**14, 2**17, 2**20, 2**23),
    partners=2,
)
#: Minutes.
FULL = Effort(
    repeats=31,
    sample_s=1e-2,
    working_sets_bytes=tuple(2**power for power in range(16, 29, 2)),
    gemm_size=2048,
    gemv_bytes=tuple(2**power for power in range(16, 29, 4)),
    messages_bytes=tuple(2**power for power in range(3, 27, 2)),
    partners=16,
)
