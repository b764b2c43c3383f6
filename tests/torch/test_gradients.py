"""Gradients and losses through PyTorch, and of the suite's own models beside PyTorch's."""

import numpy as np
import pytest

from lad_mpi.arrays import open_backend
from lad_mpi.models import (
    LinearRegression,
    LogisticRegression,
    Mlp,
    SoftmaxRegression,
    TorchModel,
)
from lad_mpi.types import SampleForm

torch = pytest.importorskip("torch", reason="PyTorch is missing: make test-torch")
functional = torch.nn.functional

STACK, BATCH = 3, 5


def convolution():
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3),
        torch.nn.ReLU(inplace=True),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(18, 4),
    )


def colours():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 2, 2), torch.nn.Flatten(), torch.nn.Linear(18, 4))


def perceptron():
    return torch.nn.Sequential(torch.nn.Linear(6, 7), torch.nn.Tanh(), torch.nn.Linear(7, 4))


def column():
    return torch.nn.Linear(6, 1)


def flat():
    return torch.nn.Sequential(torch.nn.Linear(6, 1), torch.nn.Flatten(0))


def eats_input():
    """Changes its input in place."""
    return torch.nn.Sequential(torch.nn.ReLU(inplace=True), torch.nn.Linear(6, 4))


CASES = {
    "image": (convolution, "cross_entropy", (8, 8)),
    "colours": (colours, "cross_entropy", (3, 4, 4)),
    "table": (perceptron, "cross_entropy", (6,)),
    "eats_input": (eats_input, "cross_entropy", (6,)),
    "column": (column, "squared_error", (6,)),
    "flat": (flat, "squared_error", (6,)),
}


def built(case, dtype="float64"):
    factory, loss, shape = CASES[case]
    form = SampleForm(shape, 4 if loss == "cross_entropy" else 0)
    model = TorchModel(f"{__name__}:{factory.__name__}", loss)
    return model.build(form, open_backend("numpy", dtype)), form


def batches(form, dtype="float64", stack=STACK, size=BATCH):
    draw = np.random.default_rng(5)
    features = draw.normal(size=(stack, size, form.num_features)).astype(dtype)
    targets = draw.normal(size=(stack, size)).astype(dtype)
    if form.num_classes:
        targets = draw.integers(0, form.num_classes, size=(stack, size))
    # Negative weights and zeros are allowed.
    weights = draw.normal(size=(stack, size)).astype(dtype)
    weights[0, 0] = 0.0
    return features, targets, weights


def by_torch(case, x, features, targets, weights):
    """Return gradient and losses of one batch, as a user of PyTorch computes them."""
    factory, loss, shape = CASES[case]
    network = factory().double()
    torch.nn.utils.vector_to_parameters(torch.tensor(x), network.parameters())
    images = (1, *shape) if len(shape) == 2 else shape
    outputs = network(torch.tensor(features).reshape(-1, *images))
    if loss == "squared_error":
        losses = torch.nn.MSELoss(reduction="none")(outputs.flatten(), torch.tensor(targets)) / 2
    else:
        losses = torch.nn.CrossEntropyLoss(reduction="none")(outputs, torch.tensor(targets))
    (torch.tensor(weights) * losses).sum().backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
    return gradient.numpy(), losses.detach().numpy(), outputs.detach().numpy()


@pytest.mark.parametrize("case", CASES)
def test_gradients_and_measures_are_those_of_a_plain_loop(case):
    functions, form = built(case)
    x = functions.initial_model(np.random.default_rng(1))
    features, targets, weights = batches(form)
    out = np.full((STACK, functions.dimension), np.nan)
    functions.gradients(x, features, targets, weights, out)
    measured = functions.measure(x, features, targets)
    assert measured.dtype == np.float64
    assert measured.shape == (len(functions.metrics), STACK, BATCH)
    for g in range(STACK):
        gradient, losses, outputs = by_torch(case, x, features[g], targets[g], weights[g])
        np.testing.assert_allclose(out[g], gradient, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(measured[0, g], losses, rtol=1e-10)
        if form.num_classes:
            np.testing.assert_array_equal(measured[1, g], outputs.argmax(axis=1) == targets[g])


def test_long_batches_are_measured_in_blocks():
    functions, form = built("table")
    x = functions.initial_model(np.random.default_rng(1))
    features, targets, weights = batches(form, stack=2, size=600)
    for g, found in enumerate(functions.measure(x, features, targets)[0]):
        _, losses, _ = by_torch("table", x, features[g], targets[g], weights[g])
        np.testing.assert_allclose(found, losses, rtol=1e-10)


@pytest.mark.parametrize("case", ["image", "eats_input"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_depend_neither_on_the_stack_nor_on_the_alignment(case, dtype):
    functions, form = built(case, dtype)
    x = functions.initial_model(np.random.default_rng(1)).astype(dtype)
    features, targets, weights = batches(form, dtype)
    every = np.empty((STACK, functions.dimension), dtype=dtype)
    functions.gradients(x, features, targets, weights, every)
    measured = functions.measure(x, features, targets)
    for g in range(STACK):
        for offset in range(4):
            shifted = np.empty(features[g].size + offset, dtype=dtype)[offset:]
            shifted = shifted.reshape(1, *features[g].shape)
            shifted[...] = features[g]
            for array in (x, shifted):
                array.flags.writeable = False
            alone = np.empty((1, functions.dimension + offset), dtype=dtype)[:, offset:]
            functions.gradients(x, shifted, targets[[g]], weights[[g]], alone)
            np.testing.assert_array_equal(alone[0], every[g])
            again = functions.measure(x, shifted, targets[[g]])
            np.testing.assert_array_equal(again[:, 0], measured[:, g])
            np.testing.assert_array_equal(shifted[0], features[g])


def test_pytorch_writes_into_the_rows_of_the_result():
    functions, form = built("image")
    parameters = list(functions.network.parameters())
    sizes = [parameter.numel() for parameter in parameters]
    starts = np.cumsum([0, *sizes[:-1]]) * 8
    first = parameters[0].data_ptr()
    assert [parameter.data_ptr() - first for parameter in parameters] == starts.tolist()
    seen = []
    for parameter in parameters:
        parameter.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.data_ptr()))
    # Rows that lie apart, as parts of longer messages do.
    out = np.full((STACK, functions.dimension + 9), np.nan)[:, 4:-5]
    x = functions.initial_model(np.random.default_rng(1))
    functions.gradients(x, *batches(form), out)
    expected = [row.ctypes.data + start for row in out for start in starts.tolist()]
    assert sorted(seen) == expected
    assert np.isnan(out.base[:, [*range(4), *range(-5, 0)]]).all()
    assert all(parameter.grad is None for parameter in parameters)


#: Models of the suite, and what they do, in the words of PyTorch.
OWN = {
    "linear": (
        LinearRegression(),
        0,
        lambda: torch.nn.Linear(6, 1, bias=False),
        lambda outputs, targets: functional.mse_loss(outputs[:, 0], targets, reduction="none") / 2,
    ),
    "logistic": (
        LogisticRegression(),
        2,
        lambda: torch.nn.Linear(6, 1, bias=False),
        lambda outputs, targets: functional.binary_cross_entropy_with_logits(
            outputs[:, 0], targets.double(), reduction="none"
        ),
    ),
    "softmax": (
        SoftmaxRegression(),
        4,
        lambda: torch.nn.Linear(6, 4, bias=False),
        lambda outputs, targets: functional.cross_entropy(outputs, targets, reduction="none"),
    ),
    "mlp": (
        Mlp(hidden=(7, 5)),
        4,
        lambda: torch.nn.Sequential(
            torch.nn.Linear(6, 7),
            torch.nn.ReLU(),
            torch.nn.Linear(7, 5),
            torch.nn.ReLU(),
            torch.nn.Linear(5, 4),
        ),
        lambda outputs, targets: functional.cross_entropy(outputs, targets, reduction="none"),
    ),
    "mlp_regression": (
        Mlp(hidden=(7,), activation="tanh", loss="squared_error"),
        0,
        lambda: torch.nn.Sequential(torch.nn.Linear(6, 7), torch.nn.Tanh(), torch.nn.Linear(7, 1)),
        lambda outputs, targets: functional.mse_loss(outputs[:, 0], targets, reduction="none") / 2,
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_models_of_the_suite_have_the_gradients_that_pytorch_finds(name):
    model, num_classes, make, loss = OWN[name]
    form = SampleForm((6,), num_classes)
    functions = model.build(form, open_backend("numpy", "float64"))
    x = np.random.default_rng(2).normal(size=functions.dimension)
    features, targets, weights = batches(form)
    out = np.empty((STACK, functions.dimension))
    functions.gradients(x, features, targets, weights, out)
    measured = functions.measure(x, features, targets)[0]
    network = make().double()
    torch.nn.utils.vector_to_parameters(torch.tensor(x), network.parameters())
    for g in range(STACK):
        losses = loss(network(torch.tensor(features[g])), torch.tensor(targets[g]))
        network.zero_grad()
        (torch.tensor(weights[g]) * losses).sum().backward()
        gradient = torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
        np.testing.assert_allclose(out[g], gradient.numpy(), rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(measured[g], losses.detach().numpy(), rtol=1e-10, atol=1e-13)
