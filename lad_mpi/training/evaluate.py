"""Evaluate models on all ranks. Evaluation does not count as training time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import to_host
from lad_mpi.coding import DispersionCode
from lad_mpi.metrics import distance, names, norm
from lad_mpi.metrics.moments import Moments, node_moments, own_nodes, root_moments
from lad_mpi.theory import sampled_dispersion
from lad_mpi.training.server import diverged
from lad_mpi.training.setup import RESIDUALS

if TYPE_CHECKING:
    from lad_mpi.spec import Spec
    from lad_mpi.training.objective import Objective
    from lad_mpi.training.server import Measured
    from lad_mpi.training.setup import Setup
    from lad_mpi.types import Array, HostFloats, Metric


NO_PREDICTION = "none"


def dispersion_prediction(setup: Setup) -> str:
    """Return the kind of prediction for a run: ``exact``, ``upper bound`` or ``none``.

    A prediction of the dispersion of honest messages exists for codes that declare a
    variance factor, together with unbiased codecs and no error feedback. With momentum it adds
    up the predictions of all iterations, so all must be evaluated, and no codec may add to it.
    """
    spec, codec = setup.spec, setup.spec.compression
    if math.isnan(_variance_factor(spec)) or not codec.unbiased or RESIDUALS in setup.device_states:
        return NO_PREDICTION
    adds = codec.delta(setup.dimension) > 0
    if spec.devices.momentum and (adds or setup.evaluate_every > 1):
        return NO_PREDICTION
    return "exact" if codec.delta_is_exact else "upper bound"


def _variance_factor(spec: Spec) -> float:
    """Return V/β² of the run's code, or NaN if the code does not declare it."""
    code, devices = spec.coding, spec.devices
    if not isinstance(code, DispersionCode):
        return math.nan
    return code.variance_factor(devices.count, devices.num_byzantine)


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """The truth about a model.

    Parameters
    ----------
    gradient : array of float64, shape (Q,)
        ∇F.
    beta_squared : float
        β², the heterogeneity of the subsets.
    batch_beta_squared, batch_gradient_norm : float
        β² and ‖∇F‖ of the batches of the last iteration.
    metrics : dict of str to float
        The loss and the model's other metrics, on the training and the test samples.
    """

    gradient: Array
    beta_squared: float
    batch_beta_squared: float
    batch_gradient_norm: float
    metrics: dict[str, float]


def model_metrics(objective: Objective) -> tuple[Metric, ...]:
    """Return the metrics of a run's model that are not in every log."""
    found = []
    for metric in objective.functions.metrics:
        places = {"training": names.on_train(metric.name), "test": names.on_test(metric.name)}
        if metric.name == names.LOSS:
            del places["training"]
        if not objective.num_test_samples:
            places.pop("test")
        found += [
            replace(metric, name=name, long_name=f"{metric.long_name} on the {which} samples")
            for which, name in places.items()
        ]
    return tuple(found)


class EvaluationShare:
    """One rank's share of the evaluation of a model.

    A rank evaluates the subsets with the numbers of its devices, and some blocks of the test
    set. The server evaluates a small model alone, because collectives would take longer. The sums
    follow a fixed tree, so the bits do not depend on who evaluates what.

    Parameters
    ----------
    setup : Setup
        The run on this rank.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._objective = setup.objective
        layout, count = setup.layout, self._objective.num_subsets
        starts = [layout.block(rank) for rank in range(setup.link.size)]
        if setup.is_small:
            starts = [(0, count)]
        # This rank's place among those that evaluate.
        self._place = 0 if setup.is_small else setup.link.rank
        self._nodes = [own_nodes(first, first + held, count) for first, held in starts]
        hosts = [rank for rank, (_, held) in enumerate(starts) if held]
        blocks = self._objective.num_test_blocks
        self._blocks = [range(0)] * len(starts)
        for number, rank in enumerate(hosts):
            share = number * blocks // len(hosts), (number + 1) * blocks // len(hosts)
            self._blocks[rank] = range(*share)
        most, metrics = max(map(len, self._nodes)), len(self._objective.functions.metrics)
        self._shapes = (
            (most, 2 + setup.dimension + metrics),
            (most * self._objective.uses_batches, 2 + setup.dimension),
            (max(map(len, self._blocks)), metrics),
        )
        self._numbers = np.zeros(sum(rows * columns for rows, columns in self._shapes))

    def room(self) -> HostFloats | None:
        """Allocate memory for the numbers of all ranks, on the server."""
        if not self._setup.link.is_server:
            return None
        return np.empty((len(self._nodes), len(self._numbers)))

    def evaluate(
        self, model: Array, iteration: int, room: HostFloats | None = None
    ) -> Evaluated | None:
        """Evaluate a model, in one collective of all ranks unless the model is small.

        Parameters
        ----------
        model : array, shape (Q,)
            The model.
        iteration : int
            Iteration whose batches are evaluated beside the whole data.
        room : ndarray, optional
            From :meth:`room`, on the server.

        Returns
        -------
        Evaluated or None
            The result on the server; None elsewhere.
        """
        objective, link = self._objective, self._setup.link
        whole, batch, test = self._tables(self._numbers)
        self._measure_nodes(model, None, whole)
        if objective.uses_batches:
            self._measure_nodes(model, iteration, batch)
        for row, block in zip(test, self._blocks[self._place], strict=False):
            row[:] = objective.test_sums(model, block)
        small = self._setup.is_small
        gathered = self._numbers[None] if small else link.collect(self._numbers, room)
        if gathered is None:
            return None
        whole, batch, test = self._tables(gathered)
        truth = self._combined(whole)
        sample = self._combined(batch) if objective.uses_batches else truth
        count = objective.num_subsets
        return Evaluated(
            truth.means[0].copy(),
            float(truth.spreads[0, 0]) / count,
            float(sample.spreads[0, 0]) / count,
            norm(sample.means[0]),
            self._metrics(model, truth, test),
        )

    def _tables(self, numbers: HostFloats) -> list[HostFloats]:
        """Return the tables of a rank, or of all ranks, as views of their numbers.

        They are the moments of nodes over all samples and over batches, and the sums over
        blocks of the test set.
        """
        edges = np.cumsum([rows * columns for rows, columns in self._shapes[:-1]])
        parts = np.split(numbers, edges, axis=-1)
        return [
            part.reshape(*numbers.shape[:-1], *shape)
            for part, shape in zip(parts, self._shapes, strict=True)
        ]

    def _measure_nodes(self, model: Array, iteration: int | None, table: HostFloats) -> None:
        objective = self._objective

        def leaves(first: int, stop: int) -> Moments:
            return objective.moments(model, first, stop, iteration)

        for row, node in zip(table, self._nodes[self._place], strict=False):
            moments = node_moments(node, objective.num_subsets, leaves, objective.dimension)
            row[:] = to_host(moments.table())[0]

    def _combined(self, tables: HostFloats) -> Moments:
        backend = self._setup.backend
        found = {
            node: Moments.from_table(
                backend.asarray(row[None], dtype=np.float64), self._objective.dimension
            )
            for nodes, rows in zip(self._nodes, tables, strict=True)
            for node, row in zip(nodes, rows, strict=False)
        }
        return root_moments(found, self._objective.num_subsets)

    def _metrics(self, model: Array, truth: Moments, test: HostFloats) -> dict[str, float]:
        objective = self._objective
        num_tests, metrics = objective.num_test_samples, {}
        if num_tests:
            # One block after another, so that rows that no rank filled change no bit.
            tested = np.cumsum(test.reshape(-1, test.shape[-1]), axis=0)[-1]
        for place, metric in enumerate(objective.functions.metrics):
            total = float(truth.sums[0, place])
            if metric.name == names.LOSS:
                penalty = objective.penalty(norm(model) ** 2)
                metrics[names.LOSS] = total / objective.num_subsets + penalty
            else:
                metrics[names.on_train(metric.name)] = total / objective.num_samples
            if num_tests:
                metrics[names.on_test(metric.name)] = float(tested[place]) / num_tests
        return metrics


class Evaluator:
    """Computes the metrics of an iteration on the server.

    Parameters
    ----------
    setup : Setup
        The run on rank 0.
    expected : array of float64, shape (1,)
        Expected dispersion of the messages of the last iteration, updated in place. A
        checkpoint saves it.
    """

    def __init__(self, setup: Setup, expected: Array) -> None:
        self._setup = setup
        self._expected = expected
        optimum = setup.objective.optimum()
        self._optimum = None if optimum is None else setup.backend.asarray(optimum, dtype=float)
        self._variance_factor = _variance_factor(setup.spec)
        self._prediction = dispersion_prediction(setup)
        self._delta = setup.spec.compression.delta(setup.dimension)

    def at_step(self, measured: Measured, model: Array, evaluated: Evaluated) -> dict[str, float]:
        """Return the metrics of an iteration, at the model before its update.

        Raises
        ------
        RunFailedError
            A metric is infinite, or the loss is NaN.
        """
        metrics = {
            **self._at_point(model, evaluated),
            names.AGGREGATION_ERROR: distance(measured.estimate, evaluated.gradient),
            names.BETA_SQUARED: evaluated.beta_squared,
            names.HONEST_DISPERSION: measured.dispersion,
            names.HONEST_DISPERSION_PREDICTED: self._predicted(evaluated),
        }
        return _checked(metrics)

    def at_model(self, model: Array, evaluated: Evaluated) -> dict[str, float]:
        """Return the metrics that need no messages.

        Raises
        ------
        RunFailedError
            A metric is infinite, or the loss is NaN.
        """
        return _checked(self._at_point(model, evaluated))

    def _at_point(self, model: Array, evaluated: Evaluated) -> dict[str, float]:
        known = self._optimum is not None
        return {
            **evaluated.metrics,
            names.GRADIENT_NORM: norm(evaluated.gradient),
            names.DISTANCE_TO_OPTIMUM: distance(model, self._optimum) if known else math.nan,
        }

    def _predicted(self, evaluated: Evaluated) -> float:
        """Return the expected dispersion of the honest messages, given the batches drawn."""
        if self._prediction == NO_PREDICTION:
            return math.nan
        devices = self._setup.spec.devices
        dispersion = sampled_dispersion(
            evaluated.batch_beta_squared * self._variance_factor,
            evaluated.batch_gradient_norm**2,
            num_devices=devices.count,
            num_honest=devices.count - devices.byzantine,
            delta=self._delta,
        )
        # Without momentum this is the dispersion; see theory.momentum_dispersion.
        mu = devices.momentum
        self._expected *= mu**2
        self._expected += (1 - mu) ** 2 * dispersion
        return float(self._expected[0])


def _checked(metrics: dict[str, float]) -> dict[str, float]:
    # NaN means that a metric has no value, but the loss always has one.
    for name, value in metrics.items():
        if math.isinf(value) or (name == names.LOSS and math.isnan(value)):
            raise diverged(f"the {name.replace('_', ' ')} is {value}")
    return metrics
