"""Which GPUs a process may use, by a made-up CuPy."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from lad_mpi.arrays import visible_gpus


class CUDARuntimeError(RuntimeError):
    pass


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
