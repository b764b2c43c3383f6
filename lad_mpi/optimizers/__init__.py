"""Optimizers: how the server moves the model, and schedules of the step size."""

from lad_mpi.optimizers.base import Optimizer, Schedule

__all__ = ["Optimizer", "Schedule"]
