"""The kernels that a baseline times on the host or on a GPU, and how long it times them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from lad_mpi.arrays import copy_array
from lad_mpi.records import Quantity

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.arrays import Backend


@dataclass(frozen=True, slots=True)
class Effort:
    """Sizes and repetitions of a baseline.

    Parameters
    ----------
    repeats : int
        Samples of each quantity.
    sample_s : float
        Least duration of a sample in seconds; a short call is repeated within it.
    working_sets_bytes : tuple of int
        Working sets of copy and triad, all arrays together.
    gemm_size : int
        Rows and columns of the square factors of GEMM.
    gemv_bytes : tuple of int
        Sizes of the matrix of GEMV.
    messages_bytes : tuple of int
        Messages of ping-pong and Bcast, and what Gather brings to rank 0.
    partners : int
        Largest number of ranks that exchange ping-pong messages with rank 0.
    append_bytes : int
        Size of a block that is appended to an HDF5 dataset.
    """

    repeats: int
    sample_s: float
    working_sets_bytes: tuple[int, ...]
    gemm_size: int
    gemv_bytes: tuple[int, ...]
    messages_bytes: tuple[int, ...]
    partners: int
    append_bytes: int = 2**20


#: Takes seconds, which is enough to notice that a machine changed.
QUICK = Effort(
    repeats=9,
    sample_s=2e-3,
    working_sets_bytes=(2**18, 2**22, 2**26),
    gemm_size=512,
    gemv_bytes=(2**18, 2**25),
    messages_bytes=(8, 2**10, 2**14, 2**17, 2**20, 2**23),
    partners=2,
)
#: Takes minutes.
FULL = Effort(
    repeats=31,
    sample_s=1e-2,
    working_sets_bytes=tuple(2**power for power in range(16, 29, 2)),
    gemm_size=2048,
    gemv_bytes=tuple(2**power for power in range(16, 29, 4)),
    messages_bytes=tuple(2**power for power in range(3, 27, 2)),
    partners=16,
)


#: Triad works on blocks of so many numbers, so that its intermediate stays in a cache.
_TRIAD_BLOCK = 2**14
_ITEM_BYTES = 8


@dataclass(frozen=True, slots=True)
class Kernel:
    """Work whose rate is measured.

    Parameters
    ----------
    name, unit, size_bytes
        As in :class:`~lad_mpi.records.Quantity`.
    work : float
        Bytes or floating-point operations of one call. A sample is work over time.
    call : callable
        Does the work, and returns when it is finished.
    """

    name: str
    unit: str
    size_bytes: int
    work: float
    call: Callable[[], object]

    def sampler(self, least_s: float) -> Callable[[], float]:
        """Return a function that takes one sample of at least ``least_s`` seconds."""
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

    def measure(self, effort: Effort, name: str, where: str) -> Quantity:
        """Take all samples of one rank, and call them ``name``."""
        take = self.sampler(effort.sample_s)
        samples = tuple(take() for _ in range(effort.repeats))
        return Quantity(name, self.unit, samples, self.size_bytes, where)


def kernels(backend: Backend, effort: Effort) -> list[Kernel]:
    """Return copy, triad, GEMM and GEMV in float64.

    Parameters
    ----------
    backend : Backend
        Library of the arrays, on the host or on a GPU.
    effort : Effort
        Sizes.

    Notes
    -----
    Bytes are counted as in STREAM (McCalpin, "Memory bandwidth and machine balance in
    current high performance computers", 1995). Copy reads one array and writes one; triad
    (a = b + s c) reads two and writes one. Write-allocate traffic is not counted.
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


def measure_gpu(backend: Backend, effort: Effort, where: str) -> list[Quantity]:
    """Measure one GPU while all other ranks wait.

    Parameters
    ----------
    backend : Backend
        Library of the arrays on the GPU.
    effort : Effort
        Sizes and repetitions.
    where : str
        Name of the rank.

    Returns
    -------
    list of Quantity
        ``gpu_copy``, ``gpu_gemm``, ``host_to_device`` and ``device_to_host``. Transfers go
        through pinned memory, as messages do.
    """
    named = [(f"gpu_{one.name}", one) for one in kernels(backend, effort)]
    named = [(name, one) for name, one in named if name in {"gpu_copy", "gpu_gemm"}]
    named += [(one.name, one) for one in _transfers(backend, effort.working_sets_bytes[-1])]
    return [kernel.measure(effort, name, where) for name, kernel in named]


def _transfers(backend: Backend, size_bytes: int) -> list[Kernel]:
    host = backend.host_buffer((size_bytes // 8,), "float64")
    device = backend.asarray(host, dtype="float64")

    def upload() -> None:
        if backend.on_host:
            device[...] = host
        else:
            device.set(host)
        backend.synchronize()

    def download() -> None:
        copy_array(device, host)
        backend.synchronize()

    return [
        Kernel("host_to_device", "B/s", size_bytes, size_bytes, upload),
        Kernel("device_to_host", "B/s", size_bytes, size_bytes, download),
    ]
