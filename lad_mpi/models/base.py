"""What a model offers: a weighted gradient over a batch, and measures of samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

    from lad_mpi.arrays import Backend
    from lad_mpi.types import Array, HostFloats, Metric, SampleForm, Task


@dataclass(frozen=True, slots=True)
class GradientWork:
    """The least work of one gradient over a batch.

    Parameters
    ----------
    samples : int
        Samples of the batch.
    operations : float
        Floating-point operations.
    numbers : float
        Numbers of the data and the model that are read.
    product : {"gemm", "gemv"}
        Kernel whose measured rate bounds the rate of the operations: products of two
        matrices, or of a matrix and a vector, which are slower.
    products : tuple of (int, int, int)
        The products of matrices of shapes (l, m) and (m, n) that most of the operations
        belong to, as (l, m, n); empty if they are not known.
    """

    samples: int
    operations: float
    numbers: float
    product: Literal["gemm", "gemv"] = "gemm"
    products: tuple[tuple[int, int, int], ...] = ()


@runtime_checkable
class ModelFunctions(Protocol):
    """A model for samples of one form, in the memory of one backend.

    The loss of a batch is the weighted sum Σ_i w_i ℓ(x; z_i, y_i) over its samples. The
    suite chooses the weights: 1/b for a mean over b samples, times the weights of the code.
    """

    @property
    def dimension(self) -> int:
        """Q, the number of model parameters."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What :meth:`measure` returns, row by row; the first is the loss ``loss``.

        In the log, ``loss`` is F: the mean of the subsets' mean losses, and the penalty. The
        others are means over samples: ``train_accuracy`` and ``test_accuracy`` for a metric
        ``accuracy``, and ``test_loss``, which has no penalty.
        """

    def initial_model(self, generator: np.random.Generator) -> HostFloats:
        """Return the model that training starts from, float64, shape (Q,), on the host.

        Parameters
        ----------
        generator : numpy.random.Generator
            The only source of random numbers.
        """

    def gradients(
        self, model: Array, features: Array, targets: Array, weights: Array, out: Array
    ) -> None:
        """Write the gradient of the weighted loss of each batch of a stack.

        Row g must have the same bits whatever the other batches of the stack are, and
        however many there are. Otherwise results would depend on the number of ranks.

        Parameters
        ----------
        model : array, shape (Q,)
            The model x.
        features : array, shape (G, n, p)
            G batches of n samples. Not to be changed.
        targets : array, shape (G, n)
            Numbers of the model's dtype, or class numbers (int64).
        weights : array, shape (G, n)
            Weights of the samples; negative ones and zeros are allowed.
        out : array, shape (G, Q)
            Receives Σ_i w_i ∇ℓ(x; z_i, y_i) of each batch. Its rows are contiguous, but may
            lie apart.
        """

    def measure(self, model: Array, features: Array, targets: Array) -> Array:
        """Measure each sample of each batch of a stack.

        The values of a batch must have the same bits whatever the other batches are.

        Parameters
        ----------
        model : array, shape (Q,)
            The model x.
        features : array, shape (G, n, p)
            G batches of n samples. Not to be changed.
        targets : array, shape (G, n)
            As for :meth:`gradients`.

        Returns
        -------
        array of float64, shape (len(metrics), G, n)
            Row 0 holds the losses ℓ(x; z_i, y_i).
        """


@runtime_checkable
class LinearFunctions(ModelFunctions, Protocol):
    """A model whose loss depends on a sample only by its inner product with the model.

    The gradient is then a weighted sum of samples, Σ_i s_i z_i. The suite computes it from the
    samples where they lie if a batch is too large to be copied.
    """

    def slopes(self, products: Array, targets: Array, weights: Array) -> Array:
        """Return the derivatives s_i of the weighted losses by the inner products.

        Parameters
        ----------
        products : array, shape (G, n)
            ⟨z_i, x⟩, in the dtype of the model. May be overwritten.
        targets, weights : array, shape (G, n)
            As for :meth:`~ModelFunctions.gradients`.

        Returns
        -------
        array, shape (G, n)
            In the dtype of the products.
        """


@runtime_checkable
class SolvableFunctions(ModelFunctions, Protocol):
    """A model whose best parameters can be computed."""

    def optimum(self, features: Array, targets: Array, weights: HostFloats) -> HostFloats | None:
        """Return the minimiser of the weighted loss and the model's penalty.

        Parameters
        ----------
        features, targets : array, shapes (n, p) and (n,)
            All training samples.
        weights : ndarray of float64, shape (n,)
            Weights of the samples, which add up to 1.

        Returns
        -------
        ndarray of float64, shape (Q,), or None
            None if the problem is too large to be solved in a few seconds.
        """


@runtime_checkable
class Model(Protocol):
    """A frozen description of a model."""

    kind: ClassVar[str]

    #: Whether it has constant terms. If not, data that are read get a feature that is 1
    #: everywhere, unless ``data.intercept`` says otherwise.
    has_bias: ClassVar[bool]

    @property
    def task(self) -> Task:
        """Whether it predicts numbers or classes."""

    def build(self, form: SampleForm, backend: Backend) -> ModelFunctions:
        """Return the model's functions for samples of this form.

        Raises
        ------
        ParameterError
            A parameter does not fit the samples.
        DataError
            The model cannot learn from such samples.
        """


@runtime_checkable
class PenalizedModel(Model, Protocol):
    """A model with the penalty (l2/2) ‖x‖² in its loss. The suite adds it and its gradient."""

    @property
    def l2(self) -> float:
        """Strength of the penalty, at least 0."""


@runtime_checkable
class CountedModel(Model, Protocol):
    """A model that says how large it is and how much work its gradient is.

    Bounds of the compute phase use it, before any data are read.
    """

    def dimension_of(self, form: SampleForm) -> int:
        """Return Q for samples of this form.

        Raises
        ------
        DataError
            The model cannot learn from such samples.
        """

    def gradient_work(self, form: SampleForm, num_samples: int) -> GradientWork:
        """Return the least work of the gradient over a batch of ``num_samples`` samples."""


@runtime_checkable
class ImportingModel(Model, Protocol):
    """A model that imports packages that the spec names. They are part of a run's identity."""

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the top-level modules that it imports."""
