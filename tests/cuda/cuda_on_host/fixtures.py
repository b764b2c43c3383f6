"""Fixtures for all tests of CUDA kernels; ``tests/conftest.py`` loads them."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import TYPE_CHECKING

import pytest

from cuda_on_host.compiler import CACHE, COMPILER
from cuda_on_host.nvrtc import Nvrtc, find_nvrtc
from cuda_on_host.standin import standin_cupy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lad_mpi.arrays import Backend

_folder: str | None = None


def pytest_configure() -> None:
    """Let the workers of a session, and all that its tests start, share what is compiled."""
    global _folder  # noqa: PLW0603
    if CACHE not in os.environ:
        os.environ[CACHE] = _folder = tempfile.mkdtemp(prefix="cuda-on-host-")


def pytest_unconfigure() -> None:
    global _folder  # noqa: PLW0603
    if _folder is not None:
        del os.environ[CACHE]
        shutil.rmtree(_folder, ignore_errors=True)
        _folder = None


@pytest.fixture(scope="session")
def nvrtc() -> Nvrtc:
    """The compiler of the wheel nvidia-cuda-nvrtc-cu12."""
    found = find_nvrtc()
    if found is None:
        pytest.skip("NVRTC is not installed: pip install 'lad_mpi[nvrtc]'")
    return found


@pytest.fixture
def standin_gpu() -> Iterator[Backend]:
    """The backend "cupy", whose arrays the stand-in for CuPy keeps in host memory."""
    from lad_mpi.arrays import open_backend

    if COMPILER is None:
        pytest.skip("there is no C++ compiler")
    with standin_cupy():
        yield open_backend("cupy", "float64")
