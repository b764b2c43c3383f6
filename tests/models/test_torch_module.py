"""The model ``torch`` where PyTorch is not installed. tests/torch has all other tests."""

import sys

import pytest

from lad_mpi.arrays import open_backend
from lad_mpi.errors import BackendError, ParameterError
from lad_mpi.models import MODELS, ImportingModel, Model, PenalizedModel, TorchModel
from lad_mpi.types import SampleForm


def test_it_is_a_model_without_pytorch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    model = TorchModel("mylab.nets:lenet", l2=0.1)
    assert MODELS["torch"] is TorchModel
    assert isinstance(model, Model)
    assert isinstance(model, PenalizedModel)
    assert isinstance(model, ImportingModel)
    assert model.modules == ("mylab", "torch")
    with pytest.raises(BackendError, match="needs PyTorch, which cannot be imported") as caught:
        model.build(SampleForm((2,), 2), open_backend("numpy", "float32"))
    assert caught.value.hint == "pip install 'lad_mpi[torch]'"


def test_the_loss_decides_what_it_learns():
    assert TorchModel("nets:lenet").task == "classification"
    assert TorchModel("nets:lenet", loss="squared_error").task == "regression"
    with pytest.raises(ParameterError, match="loss: must be 'cross_entropy' or 'squared_error'"):
        TorchModel("nets:lenet", loss="hinge")


@pytest.mark.parametrize("name", ["", "nets", "nets.lenet", "nets:", ":lenet", "a b:c", "nets:a-b"])
def test_a_factory_has_a_module_and_a_name(name):
    with pytest.raises(ParameterError, match="module: must name a factory as"):
        TorchModel(name)


def test_a_factory_may_be_an_attribute_of_a_class():
    assert TorchModel("mylab.nets:Nets.small").modules == ("mylab", "torch")
