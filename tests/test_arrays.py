"""Find the GPUs that a process may use, with a fake CuPy."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from lad_mpi.arrays import open_backend, visible_gpus
from lad_mpi.errors import BackendError


class CUDARuntimeError(RuntimeError):
    """The error class of CuPy, including its ``__module__``."""

    __module__ = "cupy_backends.cuda.api.runtime"


def install(monkeypatch, **runtime):
    """Install a fake CuPy whose runtime has only the given functions."""
    cupy = ModuleType("cupy")
    cupy.cuda = SimpleNamespace(runtime=SimpleNamespace(**runtime))
    monkeypatch.setitem(sys.modules, "cupy", cupy)


def test_without_cupy_there_are_no_gpus(monkeypatch):
    # This is what a failed import leaves behind.
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert visible_gpus() == []


def test_gpus_are_named_with_their_bus(monkeypatch):
    install(
        monkeypatch,
        getDeviceCount=lambda: 2,
        getDeviceProperties=lambda device: {"name": b"Some GPU"},
        deviceGetPCIBusId=lambda device: f"0000:0{device}:00.0",
    )
    assert visible_gpus() == ["Some GPU 0000:00:00.0", "Some GPU 0000:01:00.0"]


def test_parts_of_a_divided_gpu_have_distinct_ids(monkeypatch):
    install(
        monkeypatch,
        getDeviceCount=lambda: 2,
        getDeviceProperties=lambda device: {"name": b"MIG", "uuid": bytes([device, 255, 1, 2, 9])},
        deviceGetPCIBusId=lambda device: "0000:01:00.0",
    )
    assert visible_gpus() == ["MIG 0000:01:00.0 00ff0102", "MIG 0000:01:00.0 01ff0102"]


def test_a_gpu_in_exclusive_use_is_reported_with_a_hint(monkeypatch):
    install(
        monkeypatch,
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda device: {"name": b"Some GPU"},
        CUDARuntimeError=CUDARuntimeError,
    )
    busy = SimpleNamespace(use=refuse(CUDARuntimeError("cudaErrorDevicesUnavailable")))
    sys.modules["cupy"].cuda.Device = lambda device: busy
    with pytest.raises(BackendError, match="cudaErrorDevicesUnavailable") as caught:
        open_backend("cupy", "float32")
    assert "no other process has it for itself" in caught.value.hint


def refuse(error):
    def call():
        raise error

    return call


def test_a_missing_driver_means_no_gpus(monkeypatch):
    install(monkeypatch, getDeviceCount=refuse(CUDARuntimeError("no CUDA-capable device")))
    assert visible_gpus() == []


def test_other_errors_are_not_hidden(monkeypatch):
    install(monkeypatch, getDeviceCount=refuse(RuntimeError("a mistake of ours")))
    with pytest.raises(RuntimeError, match="of ours"):
        visible_gpus()
