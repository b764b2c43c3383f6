"""Optimizers: how the server moves the model, and schedules of the step size."""

from lad_mpi.optimizers.adam import Adam
from lad_mpi.optimizers.base import Optimizer, Schedule, WarmedUp
from lad_mpi.optimizers.gd import GradientDescent
from lad_mpi.optimizers.momentum import Momentum
from lad_mpi.optimizers.plan import Updates
from lad_mpi.optimizers.schedules import Constant, Cosine, Inverse, Step

#: Every optimizer of the suite by the name that a spec uses.
OPTIMIZERS: dict[str, type[Optimizer]] = {
    "gd": GradientDescent,
    "momentum": Momentum,
    "adam": Adam,
}

#: Every schedule of the step size by the name that a spec uses.
SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "step": Step,
    "cosine": Cosine,
    "inverse": Inverse,
}

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "Adam",
    "Constant",
    "Cosine",
    "GradientDescent",
    "Inverse",
    "Momentum",
    "Optimizer",
    "Schedule",
    "Step",
    "Updates",
    "WarmedUp",
]
