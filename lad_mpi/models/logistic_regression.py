"""Logistic regression: a linear classifier of two classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lad_mpi.errors import DataError
from lad_mpi.models.base import GradientWork
from lad_mpi.models.losses import ACCURACY, LOSS, check_classes, quiet
from lad_mpi.parameters import NotNegative, check_parameters
from lad_mpi.types import Task  # noqa: TC001  (types of class variables are read at run time)

if TYPE_CHECKING:
    from lad_mpi.arrays import Backend
    from lad_mpi.types import Array, HostFloats, Metric, SampleForm


@dataclass(frozen=True, slots=True)
class LogisticRegression:
    r"""Tell two classes apart by a linear function of the features.

    Parameters
    ----------
    l2 : float
        Strength of the penalty (l2/2) ‖x‖².

    Notes
    -----
    A sample z belongs to class 1 if ⟨z, x⟩ > 0, and else to class 0. With the sign
    σ = 2y − 1 of its class y, the loss and its gradient are

    .. math:: \ell(x; z, y) = \log(1 + e^{-\sigma \langle z, x \rangle}), \qquad
              \nabla \ell(x; z, y) = \frac{-\sigma z}{1 + e^{\sigma \langle z, x \rangle}}.

    The model has one parameter for each feature, Q = p, and starts at zero. It has no constant
    term of its own: data that are read get a feature that is 1 everywhere, unless
    ``data.intercept`` says otherwise.

    Metrics: ``loss`` and ``accuracy``.

    References
    ----------
    Hastie, Tibshirani, Friedman, "The elements of statistical learning", 2nd edition, 2009,
    section 4.4.
    """

    l2: NotNegative = 0.0

    kind: ClassVar[str] = "logistic_regression"
    has_bias: ClassVar[bool] = False
    task: ClassVar[Task] = "classification"
    cost: ClassVar[str] = "O(np) a gradient"

    def __post_init__(self) -> None:
        check_parameters(self)

    def dimension_of(self, form: SampleForm) -> int:
        """Return Q = p.

        Raises
        ------
        DataError
            The data do not have two classes.
        """
        check_classes(form)
        if form.num_classes > 2:
            raise DataError(
                f"logistic_regression tells two classes apart, and the data have "
                f"{form.num_classes}",
                hint='set model.kind = "softmax_regression"',
            )
        return form.num_features

    def gradient_work(self, form: SampleForm, num_samples: int) -> GradientWork:
        """Return the work of two products of a matrix (n, p) with a vector."""
        numbers = num_samples * form.num_features
        return GradientWork(num_samples, 4 * numbers, numbers + form.num_features, "gemv")

    def build(self, form: SampleForm, backend: Backend) -> LogisticFunctions:
        """Return the functions of the model; see :meth:`Model.build` and :meth:`dimension_of`."""
        return LogisticFunctions(self.dimension_of(form), backend)


@dataclass(frozen=True, slots=True)
class LogisticFunctions:
    """The functions of logistic regression; see :class:`ModelFunctions`.

    Parameters
    ----------
    dimension : int
        Q, the number of features.
    backend : Backend
        Array library and dtype.
    """

    dimension: int
    backend: Backend

    metrics: ClassVar[tuple[Metric, ...]] = (LOSS, ACCURACY)

    def initial_model(self, generator: np.random.Generator) -> HostFloats:  # noqa: ARG002
        """Return zeros."""
        return np.zeros(self.dimension)

    @quiet
    def gradients(
        self, model: Array, features: Array, targets: Array, weights: Array, out: Array
    ) -> None:
        """Write the weighted sums of −σ_i z_i / (1 + exp(σ_i ⟨z_i, x⟩))."""
        factors = self.slopes(features @ model, targets, weights)
        self.backend.xp.matmul(factors[:, None, :], features, out=out[:, None, :])

    @quiet
    def slopes(self, products: Array, targets: Array, weights: Array) -> Array:
        """Return −w_i σ_i / (1 + exp(σ_i ⟨z_i, x⟩))."""
        xp = self.backend.xp
        signs = _signs(targets).astype(products.dtype)
        products *= signs
        xp.exp(products, out=products)
        products += 1
        xp.divide(weights * signs, products, out=products)
        return xp.negative(products, out=products)

    @quiet
    def measure(self, model: Array, features: Array, targets: Array) -> Array:
        """Return the losses, and 1 for each sample that is classified correctly."""
        xp = self.backend.xp
        scores = (features @ model).astype(np.float64, copy=False)
        correct = (scores > 0) == (targets == 1)
        losses = xp.logaddexp(0.0, -_signs(targets) * scores)
        return xp.stack([losses, correct.astype(np.float64)])


def _signs(targets: Array) -> Array:
    return 2 * targets - 1
