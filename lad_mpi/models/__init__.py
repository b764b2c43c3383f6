"""Models: what is trained."""

from lad_mpi.models.base import (
    CountedModel,
    GradientWork,
    ImportingModel,
    LinearFunctions,
    Model,
    ModelFunctions,
    PenalizedModel,
    SolvableFunctions,
)
from lad_mpi.models.linear_regression import LinearRegression
from lad_mpi.models.logistic_regression import LogisticRegression
from lad_mpi.models.mlp import Mlp
from lad_mpi.models.softmax_regression import SoftmaxRegression
from lad_mpi.models.torch_module import TorchModel

#: Every model of the suite by the name that a spec uses.
MODELS: dict[str, type[Model]] = {
    "linear_regression": LinearRegression,
    "logistic_regression": LogisticRegression,
    "softmax_regression": SoftmaxRegression,
    "mlp": Mlp,
    "torch": TorchModel,
}

__all__ = [
    "MODELS",
    "CountedModel",
    "GradientWork",
    "ImportingModel",
    "LinearFunctions",
    "LinearRegression",
    "LogisticRegression",
    "Mlp",
    "Model",
    "ModelFunctions",
    "PenalizedModel",
    "SoftmaxRegression",
    "SolvableFunctions",
    "TorchModel",
]
