"""Compute metrics that need the true gradient. Evaluation does not count as training time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.coding import DispersionCode
from lad_mpi.metrics import dispersion, distance, names, norm, subset_statistics
from lad_mpi.theory import sampled_dispersion
from lad_mpi.training.server import diverged

if TYPE_CHECKING:
    from lad_mpi.spec import Spec
    from lad_mpi.training.iteration import Step
    from lad_mpi.training.setup import Setup
    from lad_mpi.types import Array


NO_PREDICTION = "none"


def dispersion_prediction(spec: Spec) -> str:
    """Return the kind of prediction for a run: ``exact``, ``upper bound`` or ``none``.

    A prediction of the dispersion of honest messages exists for codes that declare a
    variance factor, together with unbiased codecs.
    """
    if math.isnan(_variance_factor(spec)) or not spec.compression.unbiased:
        return NO_PREDICTION
    return "exact" if spec.compression.delta_is_exact else "upper bound"


def _variance_factor(spec: Spec) -> float:
    """Return V/β² of the run's code, or NaN if the code does not declare it."""
    code, devices = spec.coding, spec.devices
    if not isinstance(code, DispersionCode):
        return math.nan
    return code.variance_factor(devices.count, devices.num_byzantine)


class Evaluator:
    """Computes the metrics of an iteration on the server.

    Parameters
    ----------
    setup : Setup
        The run on rank 0.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        problem = setup.problem
        self._every_subset = np.arange(problem.num_subsets, dtype=np.int64)
        self._gradients: Array = setup.backend.xp.empty(
            (problem.num_subsets, problem.dimension), dtype=setup.backend.dtype
        )
        optimum = problem.optimum
        self._optimum = None if optimum is None else setup.backend.asarray(optimum, dtype=float)
        self._variance_factor = _variance_factor(setup.spec)
        self._prediction = dispersion_prediction(setup.spec)
        self._delta = setup.spec.compression.delta(problem.dimension)

    def at_step(self, step: Step) -> dict[str, float]:
        """Return the metrics of an iteration, at the model before its update.

        Raises
        ------
        RunFailedError
            A metric is infinite, or the loss is NaN.
        """
        gradient, beta_squared = self._truth(step.model)
        honest = step.messages[self._setup.honest]
        metrics = {
            **self._at_point(step.model, gradient),
            names.AGGREGATION_ERROR: distance(step.estimate, gradient),
            names.BETA_SQUARED: beta_squared,
            names.HONEST_DISPERSION: dispersion(honest),
            names.HONEST_DISPERSION_PREDICTED: self._predicted(beta_squared, norm(gradient)),
        }
        return _checked(metrics)

    def at_model(self, model: Array) -> dict[str, float]:
        """Return the metrics that need no messages.

        Raises
        ------
        RunFailedError
            A metric is infinite, or the loss is NaN.
        """
        gradient, _ = self._truth(model)
        return _checked(self._at_point(model, gradient))

    def _truth(self, model: Array) -> tuple[Array, float]:
        self._setup.problem.gradients(model, self._every_subset, self._gradients)
        return subset_statistics(self._gradients)

    def _at_point(self, model: Array, gradient: Array) -> dict[str, float]:
        known = self._optimum is not None
        return {
            names.LOSS: self._setup.problem.loss(model),
            names.GRADIENT_NORM: norm(gradient),
            names.DISTANCE_TO_OPTIMUM: distance(model, self._optimum) if known else math.nan,
        }

    def _predicted(self, beta_squared: float, gradient_norm: float) -> float:
        if self._prediction == NO_PREDICTION:
            return math.nan
        devices = self._setup.spec.devices
        return sampled_dispersion(
            beta_squared * self._variance_factor,
            gradient_norm**2,
            num_devices=devices.count,
            num_honest=devices.count - devices.byzantine,
            delta=self._delta,
        )


def _checked(metrics: dict[str, float]) -> dict[str, float]:
    # NaN means that a metric has no value, but the loss always has one.
    for name, value in metrics.items():
        if math.isinf(value) or (name == names.LOSS and math.isnan(value)):
            raise diverged(f"the {name.replace('_', ' ')} is {value}")
    return metrics
