"""The laws of models over networks of PyTorch."""

import pytest

from lad_mpi import conformance
from lad_mpi.models import TorchModel
from lad_mpi.types import SampleForm

torch = pytest.importorskip("torch", reason="PyTorch is missing: make test-torch")


def perceptron():
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))


def of_numbers():
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))


TestPerceptron = conformance.model(TorchModel, make=lambda: TorchModel(f"{__name__}:perceptron"))
TestNumbers = conformance.model(
    TorchModel, make=lambda: TorchModel(f"{__name__}:of_numbers", "squared_error")
)
TestLeNet = conformance.model(
    TorchModel,
    make=lambda: TorchModel("lad_examples.nets:lenet"),
    form=SampleForm((28, 28), 10),
)


def test_lenet_has_the_published_number_of_parameters():
    from lad_examples.nets import lenet

    assert sum(parameter.numel() for parameter in lenet().parameters()) == 61706
