"""The stand-in for CuPy refuses what CuPy 14.2 refuses, as its source has it."""

from __future__ import annotations

import copy
import pickle
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cuda_on_host import standin_cupy

from lad_mpi.aggregation import TrimmedMean, kernels_cuda
from lad_mpi.arrays import copy_array, namespace, open_backend, to_host, visible_gpus
from lad_mpi.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.arrays import Backend

HOST = np.arange(12.0).reshape(3, 4)


@pytest.fixture
def xp(standin_gpu: Backend) -> Any:
    return standin_gpu.xp


@pytest.fixture
def device(xp: Any) -> Any:
    return xp.asarray(HOST)


MIXED: dict[str, Callable[[Any, Any], Any]] = {
    "operator": lambda xp, a: a + HOST,
    "reflected": lambda xp, a: HOST + a,
    "without dimensions": lambda xp, a: a + np.zeros(()),
    "list": lambda xp, a: a * [1.0, 2.0, 3.0, 4.0],
    "in place": lambda xp, a: a.__iadd__(HOST),
    "host in place": lambda xp, a: HOST.copy().__iadd__(a),
    "product": lambda xp, a: a @ HOST.T,
    "comparison": lambda xp, a: a < HOST,
    "function": lambda xp, a: xp.sum(HOST),
    "of functions": lambda xp, a: xp.sqrt(HOST),
    "list of both": lambda xp, a: xp.concatenate([a, HOST]),
    "list of the host's": lambda xp, a: xp.stack([HOST, HOST]),
    "choice": lambda xp, a: xp.where(a > 0, a, HOST),
    "out": lambda xp, a: xp.add(a, a, out=HOST),
    "out of a sum": lambda xp, a: a.sum(out=HOST),
    "contiguous": lambda xp, a: xp.ascontiguousarray(HOST),
    "asarray": lambda xp, a: np.asarray(a),
    "array of them": lambda xp, a: np.array([a, a]),
    "copied to the host": lambda xp, a: HOST.__setitem__(slice(None), a),
    "numpy's function": lambda xp, a: np.concatenate([a, HOST]),
    "compared by tests": lambda xp, a: np.testing.assert_array_equal(a, HOST),
    "index": lambda xp, a: [1, 2, 3][xp.zeros((), dtype=int)],
    "range": lambda xp, a: range(xp.ones((), dtype=int)),
    "buffer": lambda xp, a: memoryview(a),
    "hash": lambda xp, a: hash(a),
    "round": lambda xp, a: round(a[0, 0]),
}
UNKNOWN: dict[str, Callable[[Any, Any], Any]] = {
    "where of a ufunc": lambda xp, a: xp.add(a, a, where=True),
    "order of a ufunc": lambda xp, a: xp.add(a, a, order="C"),
    "where of a sum": lambda xp, a: a.sum(where=True),
    "initial": lambda xp, a: a.max(initial=0),
    "casting": lambda xp, a: a.astype("f4", casting="safe"),
    "mode": lambda xp, a: a.take(np.array([1]), mode="clip"),
    "out of a product": lambda xp, a: xp.einsum("ij,ij->i", a, a, out=a[:, 0]),
    "out of another dtype": lambda xp, a: a.take(np.array([1]), out=xp.zeros(1, dtype="f4")),
    "out of get": lambda xp, a: a.get(out=np.zeros((3, 4), dtype="f4")),
}


@pytest.mark.parametrize("act", [*MIXED.values(), *UNKNOWN.values()], ids=[*MIXED, *UNKNOWN])
def test_what_is_no_array_of_its_own_is_a_mistake(xp: Any, device: Any, act: Any) -> None:
    with pytest.raises(TypeError):
        act(xp, device)
    assert np.array_equal(device.get(), HOST)


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda xp, a: a.__setitem__(0, HOST[0]), ValueError),
        (lambda xp, a: a.__setitem__(slice(None), [1.0, 2.0, 3.0, 4.0]), ValueError),
        (lambda xp, a: a.fill(HOST), ValueError),
        (lambda xp, a: xp.copyto(a, HOST), ValueError),
        (lambda xp, a: a.sort(kind="heapsort"), ValueError),
        (lambda xp, a: a[:, 0].view(np.uint8), ValueError),
        (lambda xp, a: xp.asarray(["text"]), ValueError),
        (lambda xp, a: a[:, 0].set(HOST[:, 0]), RuntimeError),
        (lambda xp, a: a[np.array([1.0])], IndexError),
        (lambda xp, a: xp.maximum.reduce(a), NotImplementedError),
        (lambda xp, a: xp.unpackbits(a.view(np.uint8), axis=0), NotImplementedError),
        (lambda xp, a: setattr(a, "dtype", "f4"), AttributeError),
        (lambda xp, a: a.ctypes, AttributeError),
        (lambda xp, a: a.flags.writeable, AttributeError),
        (lambda xp, a: xp.no_such_function, AttributeError),
    ],
)
def test_other_mistakes(xp: Any, device: Any, act: Any, error: Any) -> None:
    with pytest.raises(error):
        act(xp, device)
    assert np.array_equal(device.get(), HOST)


def test_what_numbers_and_arrays_give(xp: Any, device: Any) -> None:
    for found, expected in (
        (device + 1, HOST + 1),
        (np.float64(2) * device, 2 * HOST),
        (device[1], HOST[1]),
        (device[np.array([2, 0])], HOST[[2, 0]]),
        (device[device > 5], HOST[HOST > 5]),
        (device[1, 2], HOST[1, 2]),
        (device.max(), HOST.max()),
        (np.sum(device, axis=0), HOST.sum(axis=0)),
        (xp.add.reduce(device), HOST.sum(axis=0)),
        (np.concatenate([device, device]), np.concatenate([HOST, HOST])),
        (xp.where(device > 5, device, 0.0), np.where(HOST > 5, HOST, 0)),
        (xp.take(device, np.array([1]), axis=1), HOST[:, [1]]),
        (xp.einsum("ij,ij->i", device, device), np.einsum("ij,ij->i", HOST, HOST)),
        (xp.array([device[0], device[1]]), HOST[:2]),
        (xp.sqrt(-1 - device), np.full((3, 4), np.nan)),
        (copy.deepcopy(device), HOST),
        (pickle.loads(pickle.dumps(device)), HOST),
    ):
        assert isinstance(found, xp.ndarray)
        np.testing.assert_array_equal(to_host(found), expected)
    assert float(device[1, 1]) == 5
    assert bool((device == xp.asarray(HOST)).all())


def test_views_share_memory_and_nothing_shares_the_hosts(xp: Any) -> None:
    host = HOST.copy()
    device = xp.asarray(host)
    device[0, 0] = 7.0
    assert host[0, 0] == 0
    for view in (device[1:], device.T, device.reshape(4, 3), device.view(np.int64), device[0, 0]):
        assert view.base is device
        view[...] = 1
    device[[0, 2]] = HOST[[0, 2]]
    device[1] = 9.0
    assert device.get().tolist() == [[0, 1, 2, 3], [9] * 4, [8, 9, 10, 11]]
    assert xp.asarray(device) is device
    assert device.copy().base is None


def test_what_is_not_written_is_not_a_number(xp: Any) -> None:
    assert bool(xp.isnan(xp.empty((2, 3))).all())
    assert xp.empty(5, dtype=np.float32).data.ptr % 512 == 0


def test_a_kernel_that_writes_outside_of_an_array_is_found(xp: Any) -> None:
    code = 'extern "C" __global__ void write(int* out, int where) { out[where] = 1; }'
    write, out = xp.RawKernel(code, "write"), xp.zeros(4, dtype=np.int32)
    write((1,), (1,), (out, np.int32(3)))
    assert out.tolist() == [0, 0, 0, 1]
    for where in (-1, 4):
        with pytest.raises(AssertionError, match="written"):
            write((1,), (1,), (xp.zeros(4, dtype=np.int32), np.int32(where)))
    with pytest.raises(TypeError, match="argument 0"):
        write((1,), (1,), (np.zeros(4, dtype=np.int32), np.int32(0)))
    with pytest.raises(NotImplementedError):
        _ = write.local_size_bytes


def test_it_says_what_it_is(xp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUPY_STANDIN_DEVICES", "2")
    assert visible_gpus() == [f"stand-in (host memory) FFFF:0{i}:00.0" for i in range(2)]
    backend = open_backend("cupy", "float32", environ={"OMPI_COMM_WORLD_LOCAL_RANK": "3"})
    assert backend.device_name == "stand-in (host memory)"
    assert xp.cuda.Device().id == 1
    assert "standin" in xp.__version__
    monkeypatch.setenv("CUPY_STANDIN_DEVICES", "0")
    with pytest.raises(BackendError, match="reports none"):
        open_backend("cupy", "float32")


def test_nothing_of_it_stays() -> None:
    before = {name for name in sys.modules if name.startswith("cupy")}
    with standin_cupy() as first:
        messages = first.asarray(HOST)
        TrimmedMean(1)(messages)
        assert namespace(messages) is first
        assert kernels_cuda.compiled.cache_info().currsize
    assert {name for name in sys.modules if name.startswith("cupy")} == before
    assert not kernels_cuda.compiled.cache_info().currsize
    with standin_cupy() as second:
        assert second is not first


@pytest.mark.parametrize("way", ["__dlpack__", "__cuda_array_interface__"])
def test_what_is_handed_out_has_been_waited_for(standin_gpu: Backend, way: str) -> None:
    """MPI takes an array as it finds it, whatever a stream is still doing to it."""

    def take() -> None:
        taken = getattr(array, way)
        if callable(taken):
            taken(stream=-1)

    array = standin_gpu.xp.zeros(5)
    with pytest.raises(AssertionError, match="before the work on it was waited for"):
        take()
    standin_gpu.synchronize()
    take()
    array[2] = 3
    with pytest.raises(AssertionError, match="before the work on it was waited for"):
        take()
    assert float(array.sum()) == 3
    take()


def test_pinned_memory_must_not_change_while_it_is_copied_from(standin_gpu: Backend) -> None:
    pinned = standin_gpu.host_buffer((4,), np.float32)
    standin_gpu.asarray(pinned)
    pinned[0] = 1
    with pytest.raises(AssertionError, match="pinned memory was written to"):
        standin_gpu.synchronize()
    out = standin_gpu.xp.empty(4, dtype=np.float32)
    copy_array(pinned, out)
    pinned[0] = 2
    standin_gpu.synchronize()
    assert float(out[0]) == 1
