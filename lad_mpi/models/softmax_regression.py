"""Softmax regression: a linear classifier of any number of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lad_mpi.models.base import GradientWork
from lad_mpi.models.losses import CROSS_ENTROPY, check_classes, quiet
from lad_mpi.parameters import NotNegative, check_parameters
from lad_mpi.types import Task  # noqa: TC001  (types of class variables are read at run time)

if TYPE_CHECKING:
    from lad_mpi.arrays import Backend
    from lad_mpi.types import Array, HostFloats, Metric, SampleForm


@dataclass(frozen=True, slots=True)
class SoftmaxRegression:
    r"""Classify by linear functions of the features, one for each class.

    Parameters
    ----------
    l2 : float
        Strength of the penalty (l2/2) ‖x‖².

    Notes
    -----
    The model is a matrix W of C rows, one for each class, and p columns. The parameters are
    its rows, one after another, so Q = Cp. The scores of a sample are s = Wz, and the sample
    belongs to the class with the highest score. The loss is the cross-entropy of the softmax,

    .. math:: \ell(W; z, y) = \log \sum_c e^{s_c} - s_y, \qquad
              \nabla \ell(W; z, y) = \left(\frac{e^s}{\sum_c e^{s_c}} - e_y\right) z^\top.

    The largest score is subtracted first, so that the exponentials do not overflow. The model
    starts at zero. It has no constant terms of its own: data that are read get a feature that
    is 1 everywhere, unless ``data.intercept`` says otherwise.

    Metrics: ``loss`` and ``accuracy``.

    References
    ----------
    Bishop, "Pattern recognition and machine learning", 2006, section 4.3.4.
    """

    l2: NotNegative = 0.0

    kind: ClassVar[str] = "softmax_regression"
    has_bias: ClassVar[bool] = False
    task: ClassVar[Task] = "classification"
    cost: ClassVar[str] = "O(npC) a gradient"

    def __post_init__(self) -> None:
        check_parameters(self)

    def dimension_of(self, form: SampleForm) -> int:
        """Return Q = Cp; raise a DataError if there are fewer than two classes."""
        check_classes(form)
        return form.num_classes * form.num_features

    def gradient_work(self, form: SampleForm, num_samples: int) -> GradientWork:
        """Return the work of two products: (n, p) with (p, C), and (C, n) with (n, p)."""
        Q, n, p = self.dimension_of(form), num_samples, form.num_features
        products = ((n, p, form.num_classes), (form.num_classes, n, p))
        return GradientWork(n, 4 * n * Q, n * p + Q, products=products)

    def build(self, form: SampleForm, backend: Backend) -> SoftmaxFunctions:
        """Return the functions of the model; see :meth:`Model.build`."""
        check_classes(form)
        return SoftmaxFunctions(form.num_classes, form.num_features, backend)


@dataclass(frozen=True, slots=True)
class SoftmaxFunctions:
    """The functions of softmax regression; see :class:`ModelFunctions`.

    Parameters
    ----------
    num_classes, num_features : int
        C and p.
    backend : Backend
        Array library and dtype.
    """

    num_classes: int
    num_features: int
    backend: Backend

    metrics: ClassVar[tuple[Metric, ...]] = CROSS_ENTROPY.metrics

    @property
    def dimension(self) -> int:
        """Q = Cp."""
        return self.num_classes * self.num_features

    def initial_model(self, generator: np.random.Generator) -> HostFloats:  # noqa: ARG002
        """Return zeros."""
        return np.zeros(self.dimension)

    @quiet
    def gradients(
        self, model: Array, features: Array, targets: Array, weights: Array, out: Array
    ) -> None:
        """Write the weighted sums of (softmax(W z_i) − e_{y_i}) z_iᵀ."""
        xp = self.backend.xp
        slopes = self._matrix(model) @ features.transpose(0, 2, 1)
        CROSS_ENTROPY.slopes(xp, slopes, targets, weights)
        gradients = out.reshape(len(out), self.num_classes, self.num_features)
        xp.matmul(slopes, features, out=gradients)

    @quiet
    def measure(self, model: Array, features: Array, targets: Array) -> Array:
        """Return the cross-entropies, and 1 for each sample that is classified correctly."""
        scores = self._matrix(model) @ features.transpose(0, 2, 1)
        return CROSS_ENTROPY.measure(
            self.backend.xp, scores.astype(np.float64, copy=False), targets
        )

    def _matrix(self, model: Array) -> Array:
        return model.reshape(self.num_classes, self.num_features)
