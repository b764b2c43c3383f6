"""A network on a GPU, whose memory CuPy and PyTorch share. The stand-in for CuPy cannot run it."""

import numpy as np
import pytest

from lad_mpi.arrays import open_backend, to_host
from lad_mpi.errors import BackendError
from lad_mpi.models import TorchModel
from lad_mpi.types import SampleForm

torch = pytest.importorskip("torch", reason="PyTorch is missing: make test-torch")

FORM = SampleForm((12, 12), 3)


def network():
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 5),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(64, 3),
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-10)])
@pytest.mark.parametrize("own_stream", [False, True])
@pytest.mark.gpu
def test_gradients_are_those_of_the_host(dtype, tolerance, own_stream):
    try:
        host, device = open_backend("numpy", dtype), open_backend("cupy", dtype)
    except BackendError as error:
        pytest.skip(error.message)
    found = {}
    stream = device.xp.cuda.Stream(non_blocking=True) if own_stream else device.xp.cuda.Stream.null
    for backend in (host, device):
        functions = TorchModel(f"{__name__}:network").build(FORM, backend)
        draw = np.random.default_rng(0)
        x = functions.initial_model(np.random.default_rng(1))
        with stream:
            arrays = [backend.asarray(x), backend.asarray(draw.random((3, 5, 144)))]
            labels = backend.asarray(draw.integers(0, 3, (3, 5)), dtype=np.int64)
            weights = backend.asarray(draw.normal(size=(3, 5)))
            out = backend.xp.full((3, functions.dimension + 7), np.nan, dtype=dtype)
            functions.gradients(*arrays, labels, weights, out[:, 3:-4])
            measured = functions.measure(*arrays, labels)
            # Used at once, in the same stream.
            doubled = 2 * out[:, 3:-4]
            found[backend.kind] = to_host(doubled), to_host(measured), to_host(out)
    for on_gpu, on_host in zip(found["cupy"][:2], found["numpy"][:2], strict=True):
        np.testing.assert_allclose(on_gpu, on_host, rtol=tolerance, atol=tolerance)
    assert np.isnan(found["cupy"][2][:, [0, 1, 2, -4, -3, -2, -1]]).all()
