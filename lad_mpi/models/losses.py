"""Losses of a model's outputs, and their slopes, which the models share.

Outputs are stacks of shape (G, C, n): a score for each class, or one predicted number (C = 1).
The samples are the last axis, because maxima and sums over the classes are faster so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.errors import DataError
from lad_mpi.types import Metric

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.types import Array, SampleForm, Task

LOSS = Metric("loss", "1", "loss", "lower")
ACCURACY = Metric("accuracy", "1", "fraction of samples classified correctly", "higher")

#: Decorates what computes with a model. A run that diverges shows it in its values, and has
#: its own check. Warnings of every rank would only hide the message.
quiet = np.errstate(over="ignore", invalid="ignore")


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss of the outputs for a sample.

    Parameters
    ----------
    task : {"regression", "classification"}
        What the targets are.
    metrics : tuple of Metric
        What ``measure`` returns, row by row.
    slopes : callable
        Takes the module of the arrays, outputs (G, C, n), targets (G, n) and weights (G, n).
        It replaces the outputs with the derivatives of the weighted loss by them.
    measure : callable
        Takes the module of the arrays, outputs (G, C, n) in float64 and targets (G, n). It
        returns an array (len(metrics), G, n) and may overwrite the outputs.
    """

    task: Task
    metrics: tuple[Metric, ...]
    slopes: Callable[[Any, Array, Array, Array], None]
    measure: Callable[[Any, Array, Array], Array]


def _cross_entropy_slopes(xp: Any, scores: Array, targets: Array, weights: Array) -> None:
    """Replace scores s with w (softmax(s) − e_y)."""
    scores -= scores.max(axis=1, keepdims=True)
    xp.exp(scores, out=scores)
    scores *= (weights / scores.sum(axis=1))[:, None]
    scores[_chosen(xp, targets)] -= weights


def _cross_entropy_measure(xp: Any, scores: Array, targets: Array) -> Array:
    """Return log Σ_c exp(s_c) − s_y, and 1 if y has the highest score."""
    correct = scores.argmax(axis=1) == targets
    scores -= scores.max(axis=1, keepdims=True)
    losses = xp.log(xp.exp(scores).sum(axis=1)) - scores[_chosen(xp, targets)]
    return xp.stack([losses, correct.astype(np.float64)])


def _chosen(xp: Any, targets: Array) -> tuple[Array, Array, Array]:
    """Return the places of the samples' own classes among the scores."""
    stack, n = targets.shape
    return xp.arange(stack)[:, None], targets, xp.arange(n)


def _squared_error_slopes(xp: Any, outputs: Array, targets: Array, weights: Array) -> None:  # noqa: ARG001
    """Replace outputs o with w (o − y)."""
    outputs -= targets[:, None]
    outputs *= weights[:, None]


def _squared_error_measure(xp: Any, outputs: Array, targets: Array) -> Array:
    """Return ½ (o − y)²."""
    return xp.square(outputs[:, 0] - targets)[None] / 2


CROSS_ENTROPY = Loss(
    "classification", (LOSS, ACCURACY), _cross_entropy_slopes, _cross_entropy_measure
)
SQUARED_ERROR = Loss("regression", (LOSS,), _squared_error_slopes, _squared_error_measure)


def check_classes(form: SampleForm) -> None:
    """Check that the samples have classes to tell apart.

    Raises
    ------
    DataError
        There are fewer than two.
    """
    if form.num_classes < 2:
        found = "one class only" if form.num_classes else "numbers to predict, not classes"
        raise DataError(
            f"a classifier needs at least two classes, and the data have {found}",
            hint="take other data, or a model that predicts numbers: linear_regression, or mlp "
            'with model.loss = "squared_error"',
        )
