"""Copy and GEMM on a GPU, and the way between host and device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lad_mpi.arrays import copy_array
from lad_mpi.measure.baseline.compute import Kernel, kernels
from lad_mpi.records import Quantity

if TYPE_CHECKING:
    from lad_mpi.arrays import Backend
    from lad_mpi.measure.baseline.effort import Effort

_SHOWN = ("copy", "gemm")


def measure_gpu(backend: Backend, effort: Effort, where: str) -> list[Quantity]:
    """Measure one GPU while nobody else is at work.

    Parameters
    ----------
    backend : Backend
        Its array library.
    effort : Effort
        Sizes and repetitions.
    where : str
        Name of the rank.

    Returns
    -------
    list of Quantity
        ``gpu_copy``, ``gpu_gemm``, ``host_to_device`` and ``device_to_host``; the last
        two through pinned memory, as messages go.
    """
    found = [kernel for kernel in kernels(backend, effort) if kernel.name in _SHOWN]
    found += _transfers(backend, effort.working_sets_bytes[-1])
    return [_measure(kernel, effort, where) for kernel in found]


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


def _measure(kernel: Kernel, effort: Effort, where: str) -> Quantity:
    take = kernel.sample(effort.sample_s)
    name = f"gpu_{kernel.name}" if kernel.name in _SHOWN else kernel.name
    samples = tuple(take() for _ in range(effort.repeats))
    return Quantity(name, kernel.unit, samples, kernel.size_bytes, where)
