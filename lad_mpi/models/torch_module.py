"""A network of PyTorch as a model: any ``nn.Module`` that a factory of the user's makes."""

from __future__ import annotations

import contextlib
import math
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np

from lad_mpi.errors import ParameterError
from lad_mpi.models.losses import ACCURACY, LOSS, check_classes
from lad_mpi.models.torch_source import Source, import_torch, told, trainable
from lad_mpi.parameters import Example, NotNegative, check_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lad_mpi.arrays import Backend
    from lad_mpi.types import Array, HostFloats, Metric, SampleForm, Task

#: Samples that are measured at once, to bound the memory for what the layers return.
_MEASURED = 256
#: Samples on which a network is tried.
_TRIED = 4


@dataclass(frozen=True, slots=True)
class TorchModel:
    r"""Train a network of PyTorch.

    Parameters
    ----------
    module : str
        Where the network comes from, ``"package.module:name"``. The name is a class or another
        callable. Called without arguments, it returns a new :class:`torch.nn.Module`.
    loss : {"cross_entropy", "squared_error"}
        Loss of a sample. ``"cross_entropy"`` classifies: the network returns C numbers for each
        sample, before the softmax. ``"squared_error"`` predicts numbers: the network returns one
        number for each sample, in shape (n, 1) or (n,), and the loss is half the squared error,
        half of what :class:`torch.nn.MSELoss` gives.
    l2 : float
        Strength of the penalty (l2/2) ‖x‖².

    Notes
    -----
    The network receives batches of shape (n, p) for tables, (n, 1, h, w) for images of one
    channel, and (n, c, h, w) for images of several. The model x has all its trainable
    parameters, in the order of ``module.parameters()``, in the dtype of the backend.

    The loss must be a sum over samples, and nothing but the parameters may change during a
    run. Dropout, batch normalisation and every layer whose buffers change are therefore
    refused. Buffers that stay constant, and parameters that do not require a gradient, keep
    the values that the factory gives them after ``torch.manual_seed(0)``.

    PyTorch uses as many threads as ``OMP_NUM_THREADS`` says, or one.

    References
    ----------
    Paszke, Gross, Massa, et al., "PyTorch: an imperative style, high-performance deep learning
    library", NeurIPS 2019, arXiv:1912.01703.
    """

    module: Annotated[str, Example("lad_examples.nets:lenet")]
    loss: Literal["cross_entropy", "squared_error"] = "cross_entropy"
    l2: NotNegative = 0.0

    kind: ClassVar[str] = "torch"
    has_bias: ClassVar[bool] = True
    cost: ClassVar[str] = "a forward and a backward pass a gradient"

    def __post_init__(self) -> None:
        check_parameters(self)
        if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", self.module):
            raise ParameterError(
                "module",
                f'must name a factory as "package.module:name", not {self.module!r}',
            )

    @property
    def task(self) -> Task:
        """Classification for ``cross_entropy``, regression for ``squared_error``."""
        return "classification" if self.loss == "cross_entropy" else "regression"

    @property
    def modules(self) -> tuple[str, ...]:
        """The package of the factory, and PyTorch."""
        return self.module.partition(":")[0].partition(".")[0], "torch"

    def build(self, form: SampleForm, backend: Backend) -> TorchFunctions:
        """Import PyTorch and the factory, and try the network on a few random samples.

        Parameters
        ----------
        form : SampleForm
            Shape of a sample and number of classes.
        backend : Backend
            Array library and dtype. With CuPy, the network is moved to the same GPU.

        Raises
        ------
        BackendError
            PyTorch is not installed, or cannot use the GPU.
        ParameterError
            The factory cannot be used, its network does not accept such samples, or the suite
            cannot train it.
        DataError
            There are no two classes to tell apart.
        """
        if self.task == "classification":
            check_classes(form)
        source = Source.find(self.module, import_torch(), backend)
        num_classes = form.num_classes if self.task == "classification" else 0
        functions = TorchFunctions(source, form.shape, num_classes, backend)
        _Trial(functions).pass_or_refuse()
        return functions


class TorchFunctions:
    """The functions of a network; see :class:`ModelFunctions`.

    Parameters
    ----------
    source : Source
        Where the network comes from.
    shape : tuple of int
        Shape of a sample.
    num_classes : int
        C; 0 for a network that predicts numbers.
    backend : Backend
        Array library and dtype.

    Raises
    ------
    ParameterError
        The factory or its network cannot be used.
    """

    def __init__(
        self, source: Source, shape: tuple[int, ...], num_classes: int, backend: Backend
    ) -> None:
        self.source = source
        self.backend = backend
        self.num_classes = num_classes
        self.input_shape = (1, *shape) if len(shape) == 2 else shape
        self.metrics: tuple[Metric, ...] = (LOSS, ACCURACY) if num_classes else (LOSS,)
        self.network = source.make(0)
        self._parameters = trainable(self.network)
        self._sizes = [parameter.numel() for parameter in self._parameters]
        self._label_dtype = source.torch.int64 if num_classes else source.dtype
        # From here on, the parameters are views of one vector.
        self._x = source.flattened(self.network)
        source.torch.nn.utils.vector_to_parameters(self._x, self._parameters)

    @property
    def dimension(self) -> int:
        """Q, the number of trainable parameters."""
        return len(self._x)

    def initial_model(self, generator: np.random.Generator) -> HostFloats:
        """Return the parameters of a new network, whose seed comes from the generator."""
        network = self.source.make(int(generator.integers(2**63)))
        initial: HostFloats = self.source.flattened(network).cpu().double().numpy()
        return initial

    def gradients(
        self, model: Array, features: Array, targets: Array, weights: Array, out: Array
    ) -> None:
        """Write the weighted gradients. PyTorch adds them up in the memory of ``out``."""
        with self._settings() as torch:
            self._x.copy_(self._copied(model))
            for batch, labels, factors, row in zip(features, targets, weights, out, strict=True):
                parts = torch.from_dlpack(row).zero_().split(self._sizes)
                for parameter, part in zip(self._parameters, parts, strict=True):
                    parameter.grad = part.view_as(parameter)
                losses = self._losses(self.outputs(batch), self._labels(labels))
                losses.backward(self._copied(factors))
            for parameter in self._parameters:
                parameter.grad = None

    def measure(self, model: Array, features: Array, targets: Array) -> Array:
        """Return the loss of each sample and, for classes, whether its class was predicted."""
        shape = targets.shape
        measured = self.backend.xp.empty((len(self.metrics), *shape))
        with self._settings() as torch, torch.no_grad():
            self._x.copy_(self._copied(model))
            for g in range(shape[0]):
                rows = torch.from_dlpack(measured[:, g])
                for start in range(0, shape[1], _MEASURED):
                    block = slice(start, start + _MEASURED)
                    outputs = self.outputs(features[g, block])
                    labels = self._labels(targets[g, block])
                    rows[0, block] = self._losses(outputs, labels)
                    if self.num_classes:
                        rows[1, block] = outputs.argmax(dim=1) == labels
        return measured

    def outputs(self, features: Array) -> Any:
        """Return what the network returns for features of shape (n, p)."""
        return self.network(self._copied(features).view(len(features), *self.input_shape))

    def _losses(self, outputs: Any, labels: Any) -> Any:
        functional = self.source.torch.nn.functional
        if self.num_classes:
            return functional.cross_entropy(outputs, labels, reduction="none")
        return functional.mse_loss(outputs.reshape(-1), labels, reduction="none") / 2

    def _labels(self, targets: Array) -> Any:
        return self._copied(targets, self._label_dtype)

    def _copied(self, array: Array, dtype: Any = None) -> Any:
        # A copy, because the last bits of a product depend on how its factors are aligned, and
        # because layers may change their input in place.
        source = self.source
        return source.torch.tensor(array, dtype=dtype or source.dtype, device=source.device)

    @contextlib.contextmanager
    def _settings(self) -> Iterator[Any]:
        """Compute repeatably; on a GPU, also in full precision and in the stream of CuPy."""
        torch, device = self.source.torch, self.source.device
        if self.source.on_host:
            # PyTorch's default depends on the processors of the rank, and the last bits on it.
            threads = _num_threads()
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            yield torch
            return
        stream = self.backend.xp.cuda.get_current_stream().ptr
        exact = {"benchmark": False, "deterministic": True, "allow_tf32": False}
        with (
            torch.cuda.stream(torch.cuda.ExternalStream(stream, device=device)),
            torch.backends.cudnn.flags(enabled=True, **exact),
        ):
            yield torch


class _Trial:
    """Four random samples, on which a network shows that the suite can train it.

    Parameters
    ----------
    functions : TorchFunctions
        The network.
    """

    def __init__(self, functions: TorchFunctions) -> None:
        self._functions = functions
        self._refused = functions.source.refused
        draw = np.random.default_rng(0)
        asarray = functions.backend.asarray
        start = functions.initial_model(draw)
        # Off the start, because zeros there would hide faults.
        self._x = asarray(start + 0.01 * draw.standard_normal(len(start)))
        self._features = asarray(draw.random((_TRIED, math.prod(functions.input_shape))))
        if functions.num_classes:
            self._targets = asarray(np.arange(_TRIED) % functions.num_classes, dtype=np.int64)
        else:
            self._targets = asarray(draw.random(_TRIED))

    def pass_or_refuse(self) -> None:
        """Raise ParameterError if the suite cannot train the network."""
        source, network = self._functions.source, self._functions.network
        first, second = source.make(0), source.make(0)
        equal = map(source.torch.equal, _numbers(first), _numbers(second))
        if first is second or not all(equal):
            raise self._refused(
                "does not return the same new network in every call",
                "it must make a new one, with random numbers from torch's own generator alone",
            )
        with source.generators_kept():
            generators = source.generators()
            buffers = {name: value.clone() for name, value in network.named_buffers()}
            whole = self._gradients(1)
            self._check_buffers(buffers)
            halves = self._gradients(2)
            again = self._gradients(2)
            drawn = not all(map(source.torch.equal, generators, source.generators()))
        # On a GPU even a network without random layers may round differently each time.
        if drawn or (source.on_host and not np.array_equal(halves, again)):
            raise self._refused(
                "gives other results each time for the same samples",
                "take out dropout and whatever else is random: results would depend on the "
                "number of ranks",
            )
        self._check_sum(whole, halves)
        self._check_sum(whole, self._gradients(_TRIED))

    def _gradients(self, parts: int) -> Array:
        """Return the gradients of the samples in equal parts, shape (parts, Q)."""
        functions, size = self._functions, _TRIED // parts
        features = self._features.reshape(parts, size, -1)
        weights = functions.backend.asarray(np.ones((parts, size)))
        out = functions.backend.xp.empty((parts, len(self._x)), dtype=self._x.dtype)
        classes = functions.num_classes
        expected = [(size, classes)] if classes else [(size, 1), (size,)]
        try:
            shape = tuple(functions.outputs(features[0]).shape)
            if shape in expected:
                targets = self._targets.reshape(parts, size)
                functions.gradients(self._x, features, targets, weights, out)
        except Exception as error:
            raise self._refused(
                f"failed on a batch of shape {(size, *functions.input_shape)}: {told(error)}",
                "samples of a table arrive as (n, p), and images as (n, channels, height, "
                "width), for any n from 1 on",
            ) from error
        if shape not in expected:
            raise self._refused(
                f"returned an array of shape {shape} for {size} samples",
                f"the loss needs the shape {' or '.join(map(str, expected))}",
            )
        return out

    def _check_buffers(self, before: dict[str, Any]) -> None:
        equal = self._functions.source.torch.equal
        now = self._functions.network.named_buffers()
        changed = [name for name, value in now if not equal(value, before[name])]
        if changed:
            raise self._refused(
                f"changes its buffers {', '.join(changed)}",
                "ranks would not have the same values: replace batch normalisation by "
                "torch.nn.GroupNorm or LayerNorm",
            )

    def _check_sum(self, whole: Array, parts: Array) -> None:
        xp = self._functions.backend.xp
        away = xp.linalg.norm(whole[0] - parts.sum(axis=0))
        scale = xp.linalg.norm(parts, axis=1).sum()
        if not away <= np.sqrt(np.finfo(whole.dtype).eps) * scale:
            raise self._refused(
                "mixes the samples of a batch: its gradient is not the sum of theirs",
                "every layer must work on each sample alone: replace batch normalisation by "
                "torch.nn.GroupNorm or LayerNorm",
            )


def _num_threads() -> int:
    stated = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(stated) if stated.isdecimal() and int(stated) > 0 else 1


def _numbers(network: Any) -> list[Any]:
    return [*network.parameters(), *network.buffers()]
