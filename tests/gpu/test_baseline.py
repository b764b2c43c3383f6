"""A GPU is measured as part of the baseline."""

import dataclasses

import numpy as np

from lad_mpi.arrays import to_host
from lad_mpi.measure.kernels import QUICK, kernels, measure_gpu

TINY = dataclasses.replace(QUICK, repeats=2, sample_s=1e-4, working_sets_bytes=(2**20,))


def test_four_quantities_of_a_device(gpu):
    found = {quantity.name: quantity for quantity in measure_gpu(gpu, TINY, "rank 0")}
    assert found.keys() == {"gpu_copy", "gpu_gemm", "host_to_device", "device_to_host"}
    assert all(len(quantity.samples) == 2 for quantity in found.values())


def test_triad_is_the_same_on_the_device(gpu):
    (triad,) = (kernel for kernel in kernels(gpu, TINY) if kernel.name == "triad")
    triad.call()
    cells = dict(zip(triad.call.__code__.co_freevars, triad.call.__closure__, strict=True))
    # All three arrays begin as ones: a = b + 3 c.
    np.testing.assert_array_equal(to_host(cells["a"].cell_contents), 4.0)
