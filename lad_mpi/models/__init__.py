"""Models: what is trained."""

from lad_mpi.models.base import (
    CountedModel,
    GradientWork,
    ImportingModel,
    Model,
    ModelFunctions,
    PenalizedModel,
    SolvableFunctions,
)
from lad_mpi.models.linear_regression import LinearRegression
from lad_mpi.models.torch_module import TorchModel

#: Every model of the suite by the name that a spec uses.
MODELS: dict[str, type[Model]] = {
    "linear_regression": LinearRegression,
    "torch": TorchModel,
}

__all__ = [
    "MODELS",
    "CountedModel",
    "GradientWork",
    "ImportingModel",
    "LinearRegression",
    "Model",
    "ModelFunctions",
    "PenalizedModel",
    "SolvableFunctions",
    "TorchModel",
]
