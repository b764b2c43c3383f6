"""The models compute on the GPU what they compute on the host."""

import numpy as np
import pytest

from lad_mpi.arrays import namespace, open_backend, to_host
from lad_mpi.models import LinearRegression, LogisticRegression, Mlp, SoftmaxRegression
from lad_mpi.types import SampleForm

CASES = {
    "linear": (LinearRegression(), 0),
    "logistic": (LogisticRegression(), 2),
    "softmax": (SoftmaxRegression(), 3),
    "relu": (Mlp((4, 3)), 3),
    "tanh": (Mlp((4, 3), "tanh"), 3),
    "numbers": (Mlp((4,), loss="squared_error"), 0),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_and_measures_agree_with_the_host(case, dtype):
    model, classes = CASES[case]
    backend = open_backend("cupy", dtype)
    form = SampleForm((5,), classes)
    host, gpu = (model.build(form, of) for of in (open_backend("numpy", dtype), backend))
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
    moved = [backend.asarray(array, dtype=array.dtype) for array in arrays]
    expected = np.empty((3, host.dimension), dtype)
    rows_apart = backend.xp.empty((3, host.dimension + 4), dtype)[:, 2:-2]
    host.gradients(*arrays, expected)
    gpu.gradients(*moved, rows_apart)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(to_host(rows_apart), expected, rtol=tolerance, atol=tolerance)
    measured = gpu.measure(*moved[:3])
    assert namespace(measured) is backend.xp
    np.testing.assert_allclose(
        to_host(measured), host.measure(*arrays[:3]), rtol=tolerance, atol=tolerance
    )


def test_the_optimum_is_computed_on_the_host(gpu):
    generator = np.random.default_rng(4)
    features, targets, weights = generator.normal(size=(9, 5)), np.arange(9.0), np.full(9, 1 / 9)
    host, on_gpu = (
        LinearRegression(0.1).build(SampleForm((5,)), backend)
        for backend in (open_backend("numpy", "float64"), gpu)
    )
    np.testing.assert_array_equal(
        on_gpu.optimum(gpu.asarray(features), gpu.asarray(targets), weights),
        host.optimum(features, targets, weights),
    )
