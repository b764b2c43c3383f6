"""A multi-layer perceptron, with any hidden layers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from lad_mpi.errors import ParameterError, shown
from lad_mpi.models.base import GradientWork
from lad_mpi.models.losses import CROSS_ENTROPY, SQUARED_ERROR, Loss, check_classes, quiet
from lad_mpi.parameters import Count, NotNegative, check_parameters
from lad_mpi.types import LARGEST_COUNT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lad_mpi.arrays import Backend
    from lad_mpi.types import Array, HostFloats, Metric, SampleForm, Task

_LOSSES = {"cross_entropy": CROSS_ENTROPY, "squared_error": SQUARED_ERROR}


class Activation(NamedTuple):
    """A function of the hidden units, with its derivative and the variance of its weights.

    Parameters
    ----------
    apply : callable
        Takes the module of the arrays and an array a, which it replaces with h = φ(a).
    chain : callable
        Takes the module, slopes and h. It multiplies the slopes by φ′(a), and may overwrite h.
    variance : callable
        Takes the numbers of inputs and outputs of a layer, and returns the variance of its
        weights at the start.
    """

    apply: Callable[[Any, Array], object]
    chain: Callable[[Any, Array, Array], object]
    variance: Callable[[int, int], float]


def _glorot(inputs: int, outputs: int) -> float:
    return 2.0 / (inputs + outputs)


def _he(inputs: int, outputs: int) -> float:  # noqa: ARG001
    return 2.0 / inputs


def _relu_chain(xp: Any, slopes: Array, h: Array) -> None:
    xp.multiply(slopes, h > 0, out=slopes)


def _tanh_chain(xp: Any, slopes: Array, h: Array) -> None:
    xp.multiply(h, h, out=h)
    xp.subtract(1, h, out=h)
    xp.multiply(slopes, h, out=slopes)


_ACTIVATIONS = {
    "relu": Activation(lambda xp, a: xp.maximum(a, 0, out=a), _relu_chain, _he),
    "tanh": Activation(lambda xp, a: xp.tanh(a, out=a), _tanh_chain, _glorot),
}


@dataclass(frozen=True, slots=True)
class Mlp:
    r"""Predict classes or a number by a fully connected network.

    Parameters
    ----------
    hidden : tuple of int
        Number of units of each hidden layer, first layer first. An empty one leaves a linear
        model with constant terms.
    activation : {"relu", "tanh"}
        Function of the hidden units, φ(a) = max(a, 0) or tanh(a).
    loss : {"cross_entropy", "squared_error"}
        ``"cross_entropy"`` classifies, with a score for each class. ``"squared_error"``
        predicts one number.
    l2 : float
        Strength of the penalty (l2/2) ‖x‖². It includes the constant terms.

    Notes
    -----
    With L layers, h_0 = z for a sample z and h_k = φ(W_k h_{k−1} + b_k) for k < L, the
    output is s = W_L h_{L−1} + b_L. The losses are the cross-entropy of the softmax,
    and the squared error,

    .. math:: \ell(x; z, y) = \log \sum_c e^{s_c} - s_y, \qquad
              \ell(x; z, y) = \tfrac12 (s - y)^2.

    The gradient is computed by backpropagation. The derivative of max(a, 0) at 0 counts as 0.

    The parameters are W_1, b_1, W_2, b_2, … one after another. W_k has a row for each unit of
    layer k, and the rows lie one after another. This is the order of the parameters of a
    ``torch.nn.Sequential`` of ``torch.nn.Linear`` layers.

    The weights of layers followed by ``relu`` start as normal numbers of variance 2/m, with m
    inputs of the layer (He et al.). Those of layers followed by ``tanh``, and of the last
    layer, have variance 2/(m + m'), with m' outputs (Glorot and Bengio). The constant terms
    start at zero.

    Metrics: ``loss`` and, with ``"cross_entropy"``, ``accuracy``.

    References
    ----------
    Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors",
    Nature 323, 1986.
    Glorot, Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010.
    He, Zhang, Ren, Sun, "Delving deep into rectifiers", ICCV 2015, arXiv:1502.01852.
    """

    hidden: tuple[Count, ...] = (64,)
    activation: Literal["relu", "tanh"] = "relu"
    loss: Literal["cross_entropy", "squared_error"] = "cross_entropy"
    l2: NotNegative = 0.0

    kind: ClassVar[str] = "mlp"
    has_bias: ClassVar[bool] = True
    cost: ClassVar[str] = "O(nQ) a gradient"

    def __post_init__(self) -> None:
        check_parameters(self)
        for size in self.hidden:
            if not 1 <= size <= LARGEST_COUNT:
                raise ParameterError(
                    "hidden", f"a layer must have 1 to {LARGEST_COUNT} units, not {shown(size)}"
                )

    @property
    def task(self) -> Task:
        """What the loss says."""
        return _LOSSES[self.loss].task

    def dimension_of(self, form: SampleForm) -> int:
        """Return Q, the number of weights and constant terms."""
        return _dimension(self._sizes(form))

    def gradient_work(self, form: SampleForm, num_samples: int) -> GradientWork:
        """Return the work of three products a layer, and of two in the first layer."""
        n, sizes = num_samples, self._sizes(form)
        products = []
        for layer, (m, outputs) in enumerate(pairwise(sizes)):
            products += [(n, m, outputs), (outputs, n, m)]
            if layer:
                products.append((n, outputs, m))
        operations = 2 * sum(rows * inner * columns for rows, inner, columns in products)
        return GradientWork(
            n, operations, n * sizes[0] + _dimension(sizes), products=tuple(products)
        )

    def build(self, form: SampleForm, backend: Backend) -> Network:
        """Return the functions of the model; see :meth:`Model.build`."""
        if self.task == "classification":
            check_classes(form)
        return Network(
            self._sizes(form), _ACTIVATIONS[self.activation], _LOSSES[self.loss], backend
        )

    def _sizes(self, form: SampleForm) -> tuple[int, ...]:
        outputs = form.num_classes if self.task == "classification" else 1
        return (form.num_features, *self.hidden, outputs)


@dataclass(frozen=True, slots=True)
class Network:
    """The functions of a multi-layer perceptron; see :class:`ModelFunctions`.

    Parameters
    ----------
    sizes : tuple of int
        Numbers of features, of the units of each hidden layer, and of outputs.
    activation : Activation
        Function of the hidden units.
    loss : Loss
        Loss of the outputs.
    backend : Backend
        Array library and dtype.
    """

    sizes: tuple[int, ...]
    activation: Activation
    loss: Loss
    backend: Backend

    @property
    def dimension(self) -> int:
        """Q, the number of weights and constant terms."""
        return _dimension(self.sizes)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What the loss measures."""
        return self.loss.metrics

    def initial_model(self, generator: np.random.Generator) -> HostFloats:
        """Draw the weights; the constant terms are zero."""
        model = np.zeros(self.dimension)
        hidden, (last, _) = self._layers(model)
        for weights, _ in hidden:
            variance = self.activation.variance(*weights.shape[::-1])
            weights[...] = generator.normal(0.0, variance**0.5, weights.shape)
        last[...] = generator.normal(0.0, _glorot(*last.shape) ** 0.5, last.shape)
        return model

    @quiet
    def gradients(
        self, model: Array, features: Array, targets: Array, weights: Array, out: Array
    ) -> None:
        """Write the weighted gradients by backpropagation."""
        xp = self.backend.xp
        inputs, outputs = self._forward(model, features)
        self.loss.slopes(xp, outputs, targets, weights)
        slopes = outputs.transpose(0, 2, 1)
        layers = zip(inputs, _layers(model, self.sizes), _layers(out, self.sizes), strict=True)
        for k, (h, (W, _), (of_W, of_b)) in reversed(list(enumerate(layers))):
            xp.matmul(slopes.transpose(0, 2, 1), h, out=of_W)
            slopes.sum(axis=1, out=of_b)
            if k > 0:
                slopes = slopes @ W
                self.activation.chain(xp, slopes, h)

    @quiet
    def measure(self, model: Array, features: Array, targets: Array) -> Array:
        """Return the losses and, for classes, 1 for each sample classified correctly."""
        _, outputs = self._forward(model, features)
        return self.loss.measure(self.backend.xp, outputs.astype(np.float64, copy=False), targets)

    def _forward(self, model: Array, features: Array) -> tuple[list[Array], Array]:
        """Return the inputs of each layer (G, n, m), and the outputs of the last (G, C, n)."""
        xp = self.backend.xp
        hidden, (W, b) = self._layers(model)
        inputs = [features]
        for weights, biases in hidden:
            # Products of wide layers are faster with the matrix in this order.
            h = inputs[-1] @ xp.ascontiguousarray(weights.T)
            h += biases
            self.activation.apply(xp, h)
            inputs.append(h)
        outputs = W @ inputs[-1].transpose(0, 2, 1)
        outputs += b[:, None]
        return inputs, outputs

    def _layers(self, model: Array) -> tuple[list[tuple[Array, Array]], tuple[Array, Array]]:
        *hidden, last = _layers(model, self.sizes)
        return hidden, last


def _dimension(sizes: tuple[int, ...]) -> int:
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))


def _layers(flat: Array, sizes: tuple[int, ...]) -> Iterator[tuple[Array, Array]]:
    """Yield the weights and the constant terms of each layer, views of the last axis."""
    start = 0
    for inputs, outputs in pairwise(sizes):
        stop = start + inputs * outputs
        weights = flat[..., start:stop].reshape(*flat.shape[:-1], outputs, inputs)
        yield weights, flat[..., stop : stop + outputs]
        start = stop + outputs
