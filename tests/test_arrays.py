"""Which GPUs a process may use, by a made-up CuPy."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from lad_mpi.arrays import open_backend, visible_gpus
from lad_mpi.errors import BackendError


class CUDARuntimeError(RuntimeError):
    """As CuPy's, whose module it says it is of."""

    __module__ = "cupy_backends.cuda.api.runtime"


def install(monkeypatch, **runtime):
    """Put a CuPy in place whose runtime knows nothing but this."""
    cupy = ModuleType("cupy")
    cupy.cuda = SimpleNamespace(runtime=SimpleNamespace(**runtime))
    monkeypatch.setitem(sys.modules, "cupy", cupy)


def test_without_cupy_there_is_none(monkeypatch):
    # As import leaves it after a failure.
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


def test_parts_of_a_divided_gpu_are_told_apart_by_their_ids(monkeypatch):
    install(
        monkeypatch,
        getDeviceCount=lambda: 2,
        getDeviceProperties=lambda device: {"name": b"MIG", "uuid": bytes([device, 255, 1, 2, 9])},
        deviceGetPCIBusId=lambda device: "0000:01:00.0",
    )
    assert visible_gpus() == ["MIG 0000:01:00.0 00ff0102", "MIG 0000:01:00.0 01ff0102"]


def test_a_gpu_that_another_process_has_for_itself_is_told_with_the_way_to_see_it(monkeypatch):
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


def test_a_driver_that_is_not_there_means_none(monkeypatch):
    install(monkeypatch, getDeviceCount=refuse(CUDARuntimeError("no CUDA-capable device")))
    assert visible_gpus() == []


def test_other_errors_are_not_hidden(monkeypatch):
    install(monkeypatch, getDeviceCount=refuse(RuntimeError("a mistake of ours")))
    with pytest.raises(RuntimeError, match="of ours"):
        visible_gpus()
