"""CUDA kernels without a GPU: carried out by the host, or compiled for cards.

``HostKernel`` and ``HostModule`` stand for ``cupy.RawKernel`` and ``cupy.RawModule``. A
source is compiled as C++, with ``shim.hpp`` in front of it for what CUDA adds to the
language, and ``runtime.cpp`` runs its threads. Pytest finds this package through
``pythonpath`` in pyproject.toml; other programs, ranks of a test for example, need its
folder on ``PYTHONPATH``.

What it shows is that the source means what it should in every thread, whatever waits for
whatever. It shows nothing of a card: not its speed, its registers, how it orders what its
threads do, what it makes of numbers that are not normal, or what its compiler rejects.
The fixture ``nvrtc`` shows the last, where NVIDIA's compiler is installed.
"""

from cuda_on_host.compiler import CACHE, COMPILER, CompileError, can_contract
from cuda_on_host.kernels import HostKernel, HostModule, LaunchError, backwards
from cuda_on_host.nvrtc import Nvrtc, assert_registers, options_for
from cuda_on_host.standin import standin_cupy, standin_environment

__all__ = [
    "CACHE",
    "COMPILER",
    "CompileError",
    "HostKernel",
    "HostModule",
    "LaunchError",
    "Nvrtc",
    "assert_registers",
    "backwards",
    "can_contract",
    "options_for",
    "standin_cupy",
    "standin_environment",
]
