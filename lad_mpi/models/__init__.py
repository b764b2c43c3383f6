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

__all__ = [
    "CountedModel",
    "GradientWork",
    "ImportingModel",
    "Model",
    "ModelFunctions",
    "PenalizedModel",
    "SolvableFunctions",
]
