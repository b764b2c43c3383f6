"""Linear regression: least squares, with a penalty if asked for (ridge regression)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lad_mpi.arrays import to_host
from lad_mpi.models.base import GradientWork
from lad_mpi.models.losses import LOSS, quiet
from lad_mpi.parameters import NotNegative, check_parameters
from lad_mpi.types import Task  # noqa: TC001  (types of class variables are read at run time)

if TYPE_CHECKING:
    from lad_mpi.arrays import Backend
    from lad_mpi.types import Array, HostFloats, Metric, SampleForm

#: The optimum is computed up to this n·Q·min(n, Q): a few seconds on one core.
_SOLVABLE = 5e9


@dataclass(frozen=True, slots=True)
class LinearRegression:
    r"""Predict a number by a linear function of the features.

    Parameters
    ----------
    l2 : float
        Strength of the penalty (l2/2) ‖x‖². A positive one gives ridge regression.

    Notes
    -----
    The loss of a sample (z, y) and its gradient are

    .. math:: \ell(x; z, y) = \tfrac12 (\langle z, x \rangle - y)^2, \qquad
              \nabla \ell(x; z, y) = (\langle z, x \rangle - y)\, z.

    The model has one parameter for each feature, Q = p, and starts at zero. It has no constant
    term of its own: data that are read get a feature that is 1 everywhere, unless
    ``data.intercept`` says otherwise.

    The minimiser of the whole loss is computed if that takes a few seconds at most. The log
    then has the distance to it.

    References
    ----------
    Hastie, Tibshirani, Friedman, "The elements of statistical learning", 2nd edition, 2009,
    sections 3.2 and 3.4.1.
    """

    l2: NotNegative = 0.0

    kind: ClassVar[str] = "linear_regression"
    has_bias: ClassVar[bool] = False
    task: ClassVar[Task] = "regression"
    cost: ClassVar[str] = "O(np) a gradient"

    def __post_init__(self) -> None:
        check_parameters(self)

    def dimension_of(self, form: SampleForm) -> int:
        """Return Q = p."""
        return form.num_features

    def gradient_work(self, form: SampleForm, num_samples: int) -> GradientWork:
        """Return the work of two products of a matrix (n, p) with a vector."""
        numbers = num_samples * form.num_features
        return GradientWork(num_samples, 4 * numbers, numbers + form.num_features, "gemv")

    def build(self, form: SampleForm, backend: Backend) -> LeastSquares:
        """Return the functions of the model; see :meth:`Model.build`."""
        return LeastSquares(form.num_features, self.l2, backend)


@dataclass(frozen=True, slots=True)
class LeastSquares:
    """The functions of linear regression; see :class:`ModelFunctions`.

    Parameters
    ----------
    dimension : int
        Q, the number of features.
    l2 : float
        Strength of the penalty. Only :meth:`optimum` uses it.
    backend : Backend
        Array library and dtype.
    """

    dimension: int
    l2: float
    backend: Backend

    metrics: ClassVar[tuple[Metric, ...]] = (LOSS,)

    def initial_model(self, generator: np.random.Generator) -> HostFloats:  # noqa: ARG002
        """Return zeros."""
        return np.zeros(self.dimension)

    @quiet
    def gradients(
        self, model: Array, features: Array, targets: Array, weights: Array, out: Array
    ) -> None:
        """Write the weighted sums of (⟨z_i, x⟩ − y_i) z_i."""
        factors = self.slopes(features @ model, targets, weights)
        self.backend.xp.matmul(factors[:, None, :], features, out=out[:, None, :])

    @quiet
    def slopes(self, products: Array, targets: Array, weights: Array) -> Array:
        """Return w_i (⟨z_i, x⟩ − y_i)."""
        products -= targets
        products *= weights
        return products

    @quiet
    def measure(self, model: Array, features: Array, targets: Array) -> Array:
        """Return ½ (⟨z_i, x⟩ − y_i)²."""
        residuals = features.astype(np.float64, copy=False) @ model.astype(np.float64)
        residuals -= targets
        return (residuals * residuals / 2)[None]

    def optimum(self, features: Array, targets: Array, weights: HostFloats) -> HostFloats | None:
        """Return the minimiser, of least norm if there are several.

        The penalty counts as Q more samples √l2 e_j with target 0. The result is None if
        n·Q·min(n, Q) > 5·10⁹, with these samples.
        """
        n, Q = features.shape
        rows = n + Q if self.l2 else n
        if rows * Q * min(rows, Q) > _SOLVABLE:
            return None
        roots = np.sqrt(weights)
        A = to_host(features) * roots[:, None]
        b = to_host(targets) * roots
        if self.l2:
            A = np.concatenate([A, self.l2**0.5 * np.eye(Q)])
            b = np.concatenate([b, np.zeros(Q)])
        solution: HostFloats = np.linalg.lstsq(A, b)[0]
        return solution
