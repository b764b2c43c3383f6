"""Compile and launch the kernels, and fetch their results."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.arrays import namespace, to_host
from lad_mpi.compression.buckets import first_of_buckets
from lad_mpi.compression.rows import first_reasons
from lad_mpi.rng import Purpose

if TYPE_CHECKING:
    import numpy.typing as npt

    from lad_mpi.compression.base import Channel, Rejection
    from lad_mpi.types import Array, HostBools, HostInts

#: How CuPy compiles the kernels. A product that is added rounds first, as on the host.
OPTIONS = ("--std=c++14", "--fmad=false")
#: Threads in a block.
THREADS = 128
#: Coordinates that most blocks work on: eight a thread.
CHUNK = 1024
#: Coordinates of a block that reduces them to one number.
SPAN = 4096


@dataclass(frozen=True, slots=True)
class Program:
    """A source of kernels for one case.

    Parameters
    ----------
    names : tuple of str
        Names of its files without endings, in addition to ``common``.
    wide : bool
        Whether numbers are float64 instead of float32.
    constants : tuple of (str, int)
        Further constants of the source.
    """

    names: tuple[str, ...]
    wide: bool
    constants: tuple[tuple[str, int], ...] = ()

    def source(self) -> str:
        """Return the CUDA C++ source."""
        constants = {"WIDE": int(self.wide), "THREADS": THREADS, "CHUNK": CHUNK, "SPAN": SPAN}
        constants.update(self.constants)
        lines = [f"#define {name} {value}" for name, value in constants.items()]
        return "\n".join([*lines, *map(_text, ("common", *self.names))])


def program(dtype: np.dtype[Any], *names: str, **constants: int) -> Program:
    """Return the program for a dtype, float32 or float64."""
    return Program(names, dtype.itemsize == 8, tuple(constants.items()))


def launch(xp: Any, of: Program, kernel: str, num_blocks: int, *arguments: Any) -> None:
    """Queue a kernel on the current stream; do nothing if there are no blocks.

    Parameters
    ----------
    xp : module
        CuPy.
    of : Program
        The program of the kernel.
    kernel : str
        Its name.
    num_blocks : int
        Blocks of :data:`THREADS` threads.
    *arguments
        CuPy arrays and numbers. Python's numbers are passed as ``long long`` or ``double``,
        and NumPy's in their own type.
    """
    if num_blocks == 0:
        return
    passed = tuple(_passed(value) for value in arguments)
    compiled(xp, of, kernel)((num_blocks,), (THREADS,), passed)


@lru_cache(maxsize=256)
def compiled(xp: Any, of: Program, kernel: str) -> Any:
    """Return a kernel; CuPy compiles all of a program when the first of them is needed."""
    return _module(xp, of).get_function(kernel)


def parts(dimension: int, span: int = CHUNK) -> int:
    """Return how many blocks work on a row, if each works on a span of it."""
    return -(-dimension // span)


def as_bits(vectors: Array) -> tuple[Array, int, int]:
    """Return the bits of vectors, and their strides in numbers, as arguments of kernels."""
    row_stride, column_stride = (stride // vectors.itemsize for stride in vectors.strides)
    return vectors.view(bits(vectors.dtype)), row_stride, column_stride


def bits(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the unsigned integers of the same size as another dtype."""
    return np.dtype(f"u{dtype.itemsize}")


def stream(channel: Channel) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Return the key of the random words of a channel, apart from the device's number."""
    return (
        np.uint64(channel.streams.seed),
        np.uint64(Purpose.COMPRESSION),
        np.uint64(channel.iteration),
    )


def refuse(
    vectors: Array, *complaints: tuple[npt.NDArray[np.bool_], Rejection]
) -> tuple[Array, HostInts]:
    """Set refused rows to zero, in place, and find the first reason for each.

    The first bucket that has a reason to be refused decides.

    Parameters
    ----------
    vectors : CuPy array, shape (n, Q)
        Decoded vectors.
    *complaints : tuple of (ndarray of bool, shape (n * k,), Rejection)
        Buckets that are refused, k of them a row, and the reason, in host memory. Earlier
        complaints come first.

    Returns
    -------
    vectors : CuPy array, shape (n, Q)
        The same array.
    rejections : ndarray of int64, shape (n,)
        A :class:`~lad_mpi.compression.Rejection` for each row, 0 if there is no complaint.
    """
    num_rows, num_buckets = len(vectors), len(complaints[0][0])
    reasons = first_reasons(num_buckets, *complaints)
    rejections = first_of_buckets(
        reasons.reshape(num_rows, max(1, num_buckets // max(1, num_rows)))
    )
    refused = np.flatnonzero(rejections)
    if len(refused):
        vectors[namespace(vectors).asarray(refused)] = 0
    return vectors, rejections


def raised(flags: Array) -> tuple[HostBools, ...]:
    """Return flags that kernels have set, shape (n, m), as m arrays of shape (n,) on the host."""
    return tuple((to_host(flags) != 0).T)


@lru_cache(maxsize=64)
def _module(xp: Any, of: Program) -> Any:
    return xp.RawModule(code=of.source(), options=OPTIONS)


def _passed(value: Any) -> Any:
    if isinstance(value, bool | int):
        return np.int64(value)
    return np.float64(value) if type(value) is float else value


@cache
def _text(name: str) -> str:
    return files(__package__).joinpath(f"{name}.cu").read_text(encoding="utf-8")
