"""These tests run wherever a CUDA device and CuPy are found, and say so where not."""

from pathlib import Path

import pytest

from lad_mpi.arrays import open_backend
from lad_mpi.errors import BackendError

HERE = Path(__file__).parent


def pytest_report_header():
    """Name the device: what a stand-in shows is not what a card shows."""
    try:
        return f"GPU: {open_backend('cupy', 'float64').device_name}"
    except BackendError as error:
        return f"GPU: none, {error.message}"


def pytest_collection_modifyitems(items):
    try:
        open_backend("cupy", "float64")
        missing = None
    except BackendError as error:
        missing = error.message
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            if missing:
                item.add_marker(pytest.mark.skip(reason=missing))


@pytest.fixture
def gpu():
    return open_backend("cupy", "float64")
