"""Bandwidth of memory and rate of arithmetic, on the host or on a GPU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.arrays import Backend
    from lad_mpi.measure.baseline.effort import Effort

#: Numbers that triad works on at a time, so that its intermediate stays in a cache.
_TRIAD_BLOCK = 2**14
_ITEM_BYTES = 8


@dataclass(frozen=True, slots=True)
class Kernel:
    """Something to time.

    Parameters
    ----------
    name, unit, size_bytes
        As of :class:`~lad_mpi.records.Quantity`.
    work : float
        Bytes or floating-point operations of a call; over its time it is the sample.
    call : callable
        The work, finished when it returns.
    """

    name: str
    unit: str
    size_bytes: int
    work: float
    call: Callable[[], object]

    def sample(self, least_s: float) -> Callable[[], float]:
        """Return a function that takes one sample, of calls enough for ``least_s`` seconds."""
        self.call()
        start = perf_counter()
        self.call()
        times = max(1, math.ceil(least_s / max(perf_counter() - start, 1e-9)))

        def take() -> float:
            begin = perf_counter()
            for _ in range(times):
                self.call()
            return times * self.work / (perf_counter() - begin)

        return take


def kernels(backend: Backend, effort: Effort) -> list[Kernel]:
    """Return copy, triad, GEMM and GEMV in float64.

    Parameters
    ----------
    backend : Backend
        Host or GPU.
    effort : Effort
        Sizes.

    Notes
    -----
    Copy counts one reading and one writing of its arrays, triad (a = b + s c) two
    readings and one writing, as STREAM does (McCalpin, "Memory bandwidth and machine
    balance in current high performance computers", 1995): what a cache reads before
    it is written over is not counted.
    """
    found = []
    for size_bytes in effort.working_sets_bytes:
        found += [_copy(backend, size_bytes), _triad(backend, size_bytes)]
    found.append(_gemm(backend, effort.gemm_size))
    return found + [_gemv(backend, size_bytes) for size_bytes in effort.gemv_bytes]


def _copy(backend: Backend, size_bytes: int) -> Kernel:
    source, target = _vectors(backend, 2, size_bytes)

    def call() -> None:
        target[...] = source
        backend.synchronize()

    return Kernel("copy", "B/s", size_bytes, 2 * source.nbytes, call)


def _triad(backend: Backend, size_bytes: int) -> Kernel:
    a, b, c = _vectors(backend, 3, size_bytes)
    block = _TRIAD_BLOCK if backend.on_host else len(a)
    scratch = backend.xp.empty(min(block, len(a)))
    blocks = [slice(first, min(first + block, len(a))) for first in range(0, len(a), block)]

    def call() -> None:
        for part in blocks:
            product = scratch[: part.stop - part.start]
            backend.xp.multiply(c[part], 3.0, out=product)
            backend.xp.add(b[part], product, out=a[part])
        backend.synchronize()

    return Kernel("triad", "B/s", size_bytes, 3 * a.nbytes, call)


def _gemm(backend: Backend, size: int) -> Kernel:
    one, other, product = (backend.xp.ones((size, size)) for _ in range(3))

    def call() -> None:
        backend.xp.matmul(one, other, out=product)
        backend.synchronize()

    return Kernel("gemm", "flop/s", 3 * one.nbytes, 2.0 * size**3, call)


def _gemv(backend: Backend, size_bytes: int) -> Kernel:
    size = max(1, math.isqrt(size_bytes // _ITEM_BYTES))
    matrix, vector = backend.xp.ones((size, size)), backend.xp.ones(size)
    product = backend.xp.empty(size)

    def call() -> None:
        backend.xp.matmul(matrix, vector, out=product)
        backend.synchronize()

    return Kernel("gemv", "flop/s", size_bytes, 2.0 * size * size, call)


def _vectors(backend: Backend, count: int, size_bytes: int) -> list[Any]:
    length = max(1, size_bytes // (count * _ITEM_BYTES))
    return [backend.xp.ones(length) for _ in range(count)]
