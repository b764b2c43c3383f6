"""Fixtures for all tests of CUDA kernels; ``tests/conftest.py`` loads them."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

from cuda_on_host.compiler import CACHE
from cuda_on_host.nvrtc import Nvrtc, find_nvrtc

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
