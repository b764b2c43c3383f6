"""What CUDA says of its devices; the variable CUPY_STANDIN_DEVICES says how many there are."""

from __future__ import annotations

import os
from typing import Any

from cupy import _queue

_current = 0


class CUDARuntimeError(RuntimeError):
    """CUDA refuses."""


def getDeviceCount() -> int:
    return int(os.environ.get("CUPY_STANDIN_DEVICES", "1"))


def getDevice() -> int:
    return _current


def setDevice(device: int) -> None:
    global _current  # noqa: PLW0603
    _current = _checked(device)


def getDeviceProperties(device: int) -> dict[str, Any]:
    _checked(device)
    return {
        "name": b"stand-in (host memory)",
        "totalGlobalMem": memGetInfo()[1],
        "multiProcessorCount": 1,
        "warpSize": 32,
        "maxThreadsPerBlock": 1024,
        "sharedMemPerBlock": 48 * 1024,
        "major": 8,
        "minor": 0,
    }


def deviceGetPCIBusId(device: int) -> str:
    return f"FFFF:{_checked(device):02X}:00.0"


def deviceSynchronize() -> None:
    _queue.wait()


def memGetInfo() -> tuple[int, int]:
    page = os.sysconf("SC_PAGE_SIZE")
    return page * os.sysconf("SC_AVPHYS_PAGES"), page * os.sysconf("SC_PHYS_PAGES")


def driverGetVersion() -> int:
    return 0


def runtimeGetVersion() -> int:
    return 0


def _checked(device: int) -> int:
    if not 0 <= device < getDeviceCount():
        raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
    return device
