"""Which networks are accepted, and with which words others are refused."""

import random

import numpy as np
import pytest

from lad_mpi.arrays import open_backend
from lad_mpi.errors import DataError, ParameterError
from lad_mpi.models import TorchModel
from lad_mpi.types import SampleForm

torch = pytest.importorskip("torch", reason="PyTorch is missing: make test-torch")
nn = torch.nn

FEATURES = 6


def perceptron(*between):
    return nn.Sequential(nn.Linear(FEATURES, 8), *between, nn.Linear(8, 3))


def build(factory, *, shape=(FEATURES,), classes=3, loss="cross_entropy", dtype="float32"):
    name = factory if isinstance(factory, str) else f"{__name__}:{factory.__name__}"
    model = TorchModel(name, loss)
    return model.build(SampleForm(shape, classes), open_backend("numpy", dtype))


def plain():
    return perceptron(nn.ReLU())


class Grouped(nn.Module):
    """A class, whose layers normalise each sample by itself."""

    def __init__(self):
        super().__init__()
        self.body = perceptron(nn.GroupNorm(2, 8), nn.LayerNorm(8), nn.Dropout(0.0))

    def forward(self, inputs):
        return self.body(inputs)


class Tied(nn.Module):
    """Two layers that share their weights."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, 3)
        self.second = nn.Linear(FEATURES, FEATURES)
        self.second.weight = self.first.weight

    def forward(self, inputs):
        return self.last(self.second(torch.relu(self.first(inputs))))


class Constant(nn.Module):
    """A layer of random features, which is not trained, and a buffer that stays constant."""

    def __init__(self):
        super().__init__()
        self.features, self.last = nn.Linear(FEATURES, 20), nn.Linear(20, 3)
        self.features.requires_grad_(False)
        self.register_buffer("scale", torch.rand(20))

    def forward(self, inputs):
        return self.last(torch.relu(self.features(inputs)) * self.scale)


class Unused(nn.Module):
    """A layer that the outputs do not depend on."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(FEATURES, 3), nn.Linear(2, 2)

    def forward(self, inputs):
        return self.used(inputs)


def transposed():
    """Parameters that are not contiguous, in half precision."""
    network = plain().half()
    network[0].weight = nn.Parameter(network[0].weight.detach().T.contiguous().T)
    return network


@pytest.mark.parametrize(
    ("factory", "dimension"),
    [(plain, 83), (Grouped, 115), (Tied, 69), (Constant, 63), (Unused, 27), (transposed, 83)],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_networks_that_are_accepted(factory, dimension, dtype):
    functions = build(factory, dtype=dtype)
    assert functions.dimension == dimension
    x = functions.initial_model(np.random.default_rng(0))
    assert (x.shape, x.dtype) == ((dimension,), np.float64)
    out = np.full((1, dimension), np.nan, dtype=dtype)
    features = np.ones((1, 2, FEATURES), dtype=dtype)
    weights = np.ones((1, 2), dtype=dtype)
    functions.gradients(x.astype(dtype), features, np.array([[0, 2]]), weights, out)
    assert np.isfinite(out).all()
    assert out.any()


def test_what_is_not_trained_is_the_same_on_every_rank():
    first, second = build(Constant).network, build(Constant).network
    assert first is not second
    assert torch.equal(first.scale, second.scale)
    assert torch.equal(first.features.weight, second.features.weight)


def test_the_initial_model_is_the_one_of_a_factory_with_a_seed_from_the_generator():
    functions = build(plain)
    found = functions.initial_model(np.random.default_rng(3))
    np.testing.assert_array_equal(found, functions.initial_model(np.random.default_rng(3)))
    assert (found != functions.initial_model(np.random.default_rng(4))).any()
    with torch.random.fork_rng():
        torch.manual_seed(int(np.random.default_rng(3).integers(2**63)))
        expected = nn.utils.parameters_to_vector(plain().parameters())
    np.testing.assert_array_equal(found, expected.detach().numpy())


def test_generators_of_pytorch_are_left_alone():
    before = torch.get_rng_state()
    build(plain).initial_model(np.random.default_rng(0))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("stated", "expected"), [("2", 2), ("3,1", 3), ("", 1), ("many", 1)])
def test_threads_are_those_that_the_environment_states(monkeypatch, stated, expected):
    """By default PyTorch also looks at the processors, and a rank may have fewer than another."""
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", stated)
    try:
        build(plain)
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


# Factories that cannot be used.


def broken():
    raise OSError("no weights\nin this folder")


def needs_arguments(size):
    raise AssertionError


def returns_number():
    return 3.0


def empty():
    return nn.Flatten()


def frozen():
    return plain().requires_grad_(False)


def lazy():
    return nn.LazyLinear(3)


def complex_numbers():
    return nn.Linear(FEATURES, 3, dtype=torch.complex64)


ONE_NETWORK = plain()


def always_the_same():
    return ONE_NETWORK


def other_generator():
    network = plain()
    with torch.no_grad():
        network[0].bias.fill_(random.random())
    return network


NUMBER = 3


@pytest.mark.parametrize(
    ("factory", "message", "hint"),
    [
        ("no_such_package:lenet", "cannot be imported: ModuleNotFoundError: No module", "install"),
        (f"{__name__}:lenett", "cannot be imported: AttributeError", "PYTHONPATH"),
        (f"{__name__}:NUMBER", "is of type int", "class or a function"),
        (broken, "failed: OSError: no weights$", "without arguments"),
        (needs_arguments, "failed: TypeError: .*'size'", "without arguments"),
        (returns_number, "returned an object of type float", "torch.nn.Module"),
        (empty, "has no trainable parameters", "requires_grad"),
        (frozen, "has no trainable parameters", "requires_grad"),
        (lazy, "parameter 'weight', whose shape is not known", "lazy"),
        (complex_numbers, "parameter 'weight' of dtype torch.complex64", "real"),
        (always_the_same, "does not return the same new network", "new one"),
        (other_generator, "does not return the same new network", "torch's own generator"),
    ],
)
def test_factories_that_are_refused(factory, message, hint):
    with pytest.raises(ParameterError, match=message) as caught:
        build(factory)
    assert caught.value.parameter == "module"
    assert hint in caught.value.hint


# Networks that cannot be trained here.


def batch_norm():
    return perceptron(nn.BatchNorm1d(8), nn.ReLU())


def batch_norm_without_statistics():
    return perceptron(nn.BatchNorm1d(8, track_running_stats=False), nn.ReLU())


def dropout():
    return perceptron(nn.ReLU(), nn.Dropout(0.01))


class Noisy(nn.Module):
    """Random numbers that PyTorch does not know of."""

    def __init__(self):
        super().__init__()
        self.body = plain()

    def forward(self, inputs):
        return self.body(inputs + 1e-3 * random.random())


def wrong_features():
    return nn.Linear(FEATURES + 1, 3)


def wrong_classes():
    return nn.Linear(FEATURES, 10)


class NoGraph(nn.Linear):
    """Outputs without a gradient."""

    def forward(self, inputs):
        return super().forward(inputs).detach()


class Squeezed(nn.Linear):
    """Outputs without the axis of samples if there is one sample."""

    def forward(self, inputs):
        return super().forward(inputs).squeeze()


def make_squeezed():
    return Squeezed(FEATURES, 3)


def make_no_graph():
    return NoGraph(FEATURES, 3)


@pytest.mark.parametrize(
    ("factory", "message", "hint"),
    [
        (batch_norm, "buffers 1.running_mean, 1.running_var, 1.num_batches_tracked", "GroupNorm"),
        (batch_norm_without_statistics, "mixes the samples of a batch", "GroupNorm"),
        (dropout, "gives other results each time", "dropout"),
        (Noisy, "gives other results each time", "random"),
        (wrong_features, r"failed on a batch of shape \(4, 6\): RuntimeError", r"(n, p)"),
        (wrong_classes, r"returned an array of shape \(4, 10\) for 4 samples", r"(4, 3)"),
        (make_no_graph, "failed on a batch of .*: RuntimeError: .*does not require grad", "(n, p)"),
        (make_squeezed, r"returned an array of shape \(3,\) for 1 samples", "(1, 3)"),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_networks_that_are_refused(factory, message, hint, dtype):
    with pytest.raises(ParameterError, match=message) as caught:
        build(factory, dtype=dtype)
    assert caught.value.parameter == "module"
    assert hint in caught.value.hint


def test_images_arrive_with_their_channels():
    with pytest.raises(ParameterError, match=r"failed on a batch of shape \(4, 1, 2, 3\)"):
        build(plain, shape=(2, 3))


def test_a_network_with_several_outputs_predicts_no_number():
    with pytest.raises(ParameterError, match=r"array of shape \(4, 3\)") as caught:
        build(plain, classes=0, loss="squared_error")
    assert "(4, 1) or (4,)" in caught.value.hint


def test_one_class_cannot_be_learned():
    with pytest.raises(DataError, match="at least two classes"):
        build(plain, classes=1)
