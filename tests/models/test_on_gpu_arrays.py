"""The models compute with CuPy as with NumPy, shown on the stand-in for CuPy."""

import numpy as np
import pytest
from cuda_on_host import COMPILER, standin_cupy

from lad_mpi.arrays import open_backend
from lad_mpi.models import LinearRegression, LogisticRegression, Mlp, SoftmaxRegression
from lad_mpi.types import SampleForm

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")

CASES = {
    "linear": (LinearRegression(), 0),
    "logistic": (LogisticRegression(), 2),
    "softmax": (SoftmaxRegression(), 3),
    "relu": (Mlp((4, 3)), 3),
    "tanh": (Mlp((4, 3), "tanh"), 3),
    "numbers": (Mlp((4,), loss="squared_error"), 0),
}


@pytest.fixture(scope="module")
def cupy():
    with standin_cupy() as module:
        yield module


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_cupy_gives_what_numpy_gives(cupy, case, dtype):
    model, classes = CASES[case]
    form = SampleForm((5,), classes)
    host, gpu = (model.build(form, open_backend(kind, dtype)) for kind in ("numpy", "cupy"))
    generator = np.random.default_rng(4)
    x = generator.normal(size=host.dimension).astype(dtype)
    features = generator.normal(size=(3, 7, 5)).astype(dtype)
    weights = generator.normal(size=(3, 7)).astype(dtype)
    targets = (
        generator.integers(classes, size=(3, 7))
        if classes
        else generator.normal(size=(3, 7)).astype(dtype)
    )
    arrays = (x, features, targets, weights)
    out, wide = np.empty((3, host.dimension), dtype), cupy.empty((3, host.dimension + 4), dtype)
    host.gradients(*arrays, out)
    gpu.gradients(*map(cupy.asarray, arrays), wide[:, 2:-2])
    accepted = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(wide[:, 2:-2].get(), out, rtol=accepted, atol=accepted)
    measured = gpu.measure(*map(cupy.asarray, arrays[:3]))
    assert isinstance(measured, cupy.ndarray)
    np.testing.assert_allclose(measured.get(), host.measure(*arrays[:3]), rtol=accepted)
    np.testing.assert_array_equal(
        gpu.initial_model(np.random.default_rng(1)), host.initial_model(np.random.default_rng(1))
    )


def test_the_optimum_is_computed_on_the_host(cupy):
    generator = np.random.default_rng(4)
    features, targets, weights = generator.normal(size=(9, 5)), np.arange(9.0), np.full(9, 1 / 9)
    form = SampleForm((5,))
    host, gpu = (
        LinearRegression(0.1).build(form, open_backend(kind, "float64"))
        for kind in ("numpy", "cupy")
    )
    np.testing.assert_array_equal(
        gpu.optimum(cupy.asarray(features), cupy.asarray(targets), weights),
        host.optimum(features, targets, weights),
    )
