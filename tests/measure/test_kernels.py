"""Kernels of the baseline do the work that they claim."""

import dataclasses

import numpy as np
import pytest

from lad_mpi.arrays import open_backend
from lad_mpi.measure.kernels import FULL, QUICK, Kernel, kernels, measure_gpu

TINY = dataclasses.replace(
    QUICK, repeats=2, sample_s=1e-5, working_sets_bytes=(2**12, 2**20), gemm_size=8,
    gemv_bytes=(2**10,),
)  # fmt: skip
HOST = open_backend("numpy", "float64")


def closure(kernel):
    return dict(
        zip(kernel.call.__code__.co_freevars, (c.cell_contents for c in kernel.call.__closure__),
            strict=True)
    )  # fmt: skip


def test_the_kernels_of_an_effort_are_complete():
    found = [(kernel.name, kernel.size_bytes) for kernel in kernels(HOST, TINY)]
    sizes = [(name, size) for size in TINY.working_sets_bytes for name in ("copy", "triad")]
    assert found == [*sizes, ("gemm", 3 * 8 * 64), ("gemv", 2**10)]


def test_triad_computes_a_is_b_plus_three_c_whatever_the_blocks():
    for kernel in kernels(HOST, TINY):
        if kernel.name != "triad":
            continue
        cells = closure(kernel)
        cells["b"][:] = np.arange(len(cells["b"]))
        cells["c"][:] = np.arange(len(cells["c"])) ** 2
        kernel.call()
        np.testing.assert_array_equal(cells["a"], cells["b"] + 3.0 * cells["c"])
        assert kernel.work == 24 * len(cells["a"])
        assert kernel.work <= kernel.size_bytes


def test_a_sample_is_work_over_time_of_calls_enough():
    calls = []
    kernel = Kernel("x", "B/s", 0, 10.0, lambda: calls.append(1))
    take = kernel.sampler(1e-3)
    before = len(calls)
    assert take() > 0
    assert len(calls) - before > 1


def test_quick_asks_for_less_than_full():
    assert QUICK.repeats < FULL.repeats
    for name in ("working_sets_bytes", "gemv_bytes", "messages_bytes"):
        assert max(getattr(QUICK, name)) <= max(getattr(FULL, name))
        assert list(getattr(FULL, name)) == sorted(getattr(FULL, name))


@pytest.mark.parametrize("backend", [HOST], ids=["stand-in"])
def test_a_device_is_measured_in_four_quantities(backend):
    found = measure_gpu(backend, TINY, "rank 0")
    names = ["gpu_copy", "gpu_copy", "gpu_gemm", "host_to_device", "device_to_host"]
    assert [quantity.name for quantity in found] == names
    assert all(len(quantity.samples) == TINY.repeats for quantity in found)
