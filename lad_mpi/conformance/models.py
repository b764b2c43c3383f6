"""Laws of models."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pytest

from lad_mpi.arrays import open_backend
from lad_mpi.conformance.component import ComponentLaws, moves_no_global_generator
from lad_mpi.conformance.suite import make_suite
from lad_mpi.models import (
    CountedModel,
    ImportingModel,
    LinearFunctions,
    Model,
    ModelFunctions,
    PenalizedModel,
    SolvableFunctions,
)
from lad_mpi.types import SampleForm

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lad_mpi.types import HostFloats

_STACK, _SAMPLES, _FEATURES, _CLASSES = 4, 7, 6, 3
_DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
#: Numbers of samples. Libraries have paths of their own for one sample, and for many.
_SIZES = pytest.mark.parametrize("n", [1, 2, _SAMPLES, 40])
#: Distances in memory, in numbers, by which arrays are moved.
_OFFSETS = (0, 1, 3)
#: Accepted differences of sums in another order, as a share of the largest number.
_ROUNDING = {"float32": 1e-4, "float64": 1e-11}


@dataclass(frozen=True, slots=True)
class Trial:
    """A model's functions, and arguments for them.

    Parameters
    ----------
    functions : ModelFunctions
        The functions.
    x : ndarray, shape (Q,)
        A model near the initial one.
    features, targets, weights : ndarray
        A stack of batches. Some weights are negative.
    """

    functions: Any
    x: HostFloats
    features: HostFloats
    targets: Any
    weights: HostFloats

    def gradients(self, **changed: Any) -> HostFloats:
        """Return the gradients of the stack, with some arguments changed."""
        case = dataclasses.replace(self, **changed)
        out = np.full((len(case.features), len(case.x)), np.nan, dtype=case.x.dtype)
        case.functions.gradients(case.x, case.features, case.targets, case.weights, out)
        return out

    def measures(self, **changed: Any) -> HostFloats:
        """Return the measures of the samples, with some arguments changed."""
        case = dataclasses.replace(self, **changed)
        found: HostFloats = case.functions.measure(case.x, case.features, case.targets)
        return found

    def losses(self, x: HostFloats) -> HostFloats:
        """Return the weighted loss of each batch at a model."""
        total: HostFloats = (self.weights * self.measures(x=x)[0]).sum(axis=1)
        return total

    def rows(self, chosen: Any) -> Trial:
        """Return a trial with some batches of the stack, in another order and memory."""
        return dataclasses.replace(
            self,
            features=self.features[chosen],
            targets=self.targets[chosen],
            weights=self.weights[chosen],
        )


class ModelLaws(ComponentLaws):
    """Laws of losses and their gradients.

    Attributes
    ----------
    maker : callable
        Builds a model.
    form : SampleForm or None
        Form of the samples. If None, they have 6 features and, for a classifier, 3 classes.
    """

    family: ClassVar[str] = "model"
    maker: ClassVar[Callable[[], Any]]
    form: ClassVar[SampleForm | None]

    def example(self) -> Any:
        """Return a model."""
        return type(self).maker()

    def samples_form(self) -> SampleForm:
        """Return the form of the samples."""
        classes = _CLASSES if self.example().task == "classification" else 0
        return type(self).form or SampleForm((_FEATURES,), classes)

    def build(self, dtype: str, model: Any = None) -> Any:
        """Return the functions of a model."""
        name: Literal["float32", "float64"] = "float32" if dtype == "float32" else "float64"
        backend = open_backend("numpy", name)
        return (model or self.example()).build(self.samples_form(), backend)

    def trial(self, dtype: str, n: int = _SAMPLES, model: Any = None) -> Trial:
        """Return the functions of a model, and arguments for them."""
        generator, form = np.random.default_rng(8), self.samples_form()
        functions = self.build(dtype, model)
        x = functions.initial_model(np.random.default_rng(1)) + 0.1 * generator.normal(
            size=functions.dimension
        )
        targets = (
            generator.integers(form.num_classes, size=(_STACK, n))
            if form.num_classes
            else generator.normal(size=(_STACK, n)).astype(dtype)
        )
        features = generator.normal(size=(_STACK, n, form.num_features))
        weights = generator.normal(size=(_STACK, n))
        arrays = (array.astype(dtype) for array in (x, features, weights))
        x, features, weights = arrays
        return Trial(functions, x, features, targets, weights)

    @_DTYPES
    def test_protocol(self, dtype: str) -> None:
        """It is a model, and builds functions whose first metric is the loss."""
        model, functions = self.example(), self.build(dtype)
        assert isinstance(model, Model)
        assert model.task in {"regression", "classification"}
        assert isinstance(functions, ModelFunctions)
        names = [metric.name for metric in functions.metrics]
        assert names[0] == "loss"
        assert functions.metrics[0].better == "lower"
        assert len(set(names)) == len(names)

    def test_dimension(self) -> None:
        """It has the dimension that it declares before it is built."""
        assert self.example().dimension_of(self.samples_form()) == self.build("float64").dimension

    def test_gradient_work(self) -> None:
        """The declared work has the number of samples, and grows with it.

        Each parameter of the model is read, and takes part in an operation.
        """
        model, form = self.example(), self.samples_form()
        work, more = (model.gradient_work(form, n) for n in (5, 10))
        assert (work.samples, more.samples) == (5, 10)
        assert more.operations > work.operations >= model.dimension_of(form)
        assert more.numbers > work.numbers >= model.dimension_of(form)
        assert work.product in {"gemm", "gemv"}

    def test_modules(self) -> None:
        """It names top-level modules, whose packages are part of the run's identity."""
        assert all(name.isidentifier() for name in self.example().modules)

    @_DTYPES
    def test_initial_model(self, dtype: str) -> None:
        """The initial model only depends on the generator that it gets.

        It is a finite float64 array on the host for every dtype, and each call returns
        memory of its own.
        """
        first, second = (
            self.build(dtype).initial_model(np.random.default_rng(3)) for _ in range(2)
        )
        assert isinstance(first, np.ndarray)
        assert first.shape == (self.build(dtype).dimension,)
        assert first.dtype == np.float64
        assert np.isfinite(first).all()
        np.testing.assert_array_equal(first, second)
        assert not np.shares_memory(first, second)

    def test_global_generators(self) -> None:
        """It neither uses nor seeds a global generator of random numbers."""

        def used() -> HostFloats:
            trial = self.trial("float64")
            return np.concatenate([trial.x, trial.gradients().ravel(), trial.measures().ravel()])

        moves_no_global_generator(used)

    def test_slope(self) -> None:
        """The gradients are those of the weighted loss, by finite differences."""
        trial = self.trial("float64")
        gradients = trial.gradients()
        generator = np.random.default_rng(2)
        h = 1e-6
        for _ in range(3):
            direction = generator.normal(size=trial.x.shape)
            direction /= np.linalg.norm(direction)
            step = h * direction
            slopes = (trial.losses(trial.x + step) - trial.losses(trial.x - step)) / (2 * h)
            accepted = 1e-7 * np.linalg.norm(gradients, axis=1).max()
            np.testing.assert_allclose(gradients @ direction, slopes, rtol=1e-5, atol=accepted)

    @_DTYPES
    def test_weights(self, dtype: str) -> None:
        """The gradient is linear in the weights, and zero if all of them are zero."""
        trial = self.trial(dtype)
        other = np.random.default_rng(4).normal(size=trial.weights.shape).astype(dtype)
        total = trial.gradients() + 2 * trial.gradients(weights=other)
        _assert_close(trial.gradients(weights=trial.weights + 2 * other), total)
        assert (trial.gradients(weights=0 * other) == 0).all()

    @_DTYPES
    def test_concatenation(self, dtype: str) -> None:
        """The gradient of two batches, one after the other, is the sum of both.

        A device computes one gradient over the batches of all its subsets.
        """
        trial = self.trial(dtype, n=10)
        first, second = (
            dataclasses.replace(
                trial,
                features=trial.features[:, part],
                targets=trial.targets[:, part],
                weights=trial.weights[:, part],
            )
            for part in (slice(4), slice(4, None))
        )
        _assert_close(trial.gradients(), first.gradients() + second.gradients())

    @_SIZES
    @_DTYPES
    def test_rows(self, dtype: str, n: int) -> None:
        """A batch has the same bits in any stack, in any order.

        Otherwise results would depend on the number of ranks.
        """
        trial = self.trial(dtype, n)
        gradients, measures = trial.gradients(), trial.measures()
        for chosen in ([0], [3], [2, 0, 2], [3, 2, 1, 0]):
            some = trial.rows(chosen)
            np.testing.assert_array_equal(some.gradients(), gradients[chosen])
            np.testing.assert_array_equal(some.measures(), measures[:, chosen])

    @_SIZES
    @_DTYPES
    def test_memory(self, dtype: str, n: int) -> None:
        """A batch has the same bits wherever its arrays lie in memory.

        The rows of ``out`` may lie apart, and the samples may be part of a larger array.
        """
        trial = self.trial(dtype, n)
        gradients, measures = trial.gradients(), trial.measures()
        count, Q = gradients.shape
        for offset in _OFFSETS:
            moved = dataclasses.replace(
                trial,
                x=_moved(trial.x, offset),
                features=_moved(trial.features, offset),
                weights=_moved(trial.weights, offset),
            )
            out = np.full((count, Q + 2 * offset), np.nan, dtype=dtype)[:, offset : offset + Q]
            moved.functions.gradients(moved.x, moved.features, moved.targets, moved.weights, out)
            np.testing.assert_array_equal(out, gradients)
            np.testing.assert_array_equal(moved.measures(), measures)

    @_DTYPES
    def test_repeatable(self, dtype: str) -> None:
        """The functions have no memory: another call, or another build, has the same bits."""
        trial = self.trial(dtype)
        gradients, measures = trial.gradients(), trial.measures()
        trial.gradients(x=2 * trial.x)
        for again in (trial, self.trial(dtype)):
            np.testing.assert_array_equal(again.gradients(), gradients)
            np.testing.assert_array_equal(again.measures(), measures)

    @_DTYPES
    def test_out(self, dtype: str) -> None:
        """Gradients fill their buffer, and change neither the arguments nor other memory."""
        trial, same = self.trial(dtype), self.trial(dtype)
        buffer = np.full((_STACK + 2, len(trial.x) + 2), np.nan, dtype=dtype)
        out = buffer[1:-1, 1:-1]
        trial.functions.gradients(trial.x, trial.features, trial.targets, trial.weights, out)
        trial.measures()
        assert np.isfinite(out).all()
        out[...] = np.nan
        assert np.isnan(buffer).all()
        for name in ("x", "features", "targets", "weights"):
            np.testing.assert_array_equal(getattr(trial, name), getattr(same, name))

    @_DTYPES
    def test_measure(self, dtype: str) -> None:
        """It measures every sample in float64, and each by itself, to rounding."""
        trial = self.trial(dtype)
        measures = trial.measures()
        assert measures.dtype == np.float64
        assert measures.shape == (len(trial.functions.metrics), _STACK, _SAMPLES)
        assert np.isfinite(measures).all()
        alone = trial.measures(features=trial.features[:, 2:3], targets=trial.targets[:, 2:3])
        _assert_close(alone[:, :, 0], measures[:, :, 2], dtype)

    @_DTYPES
    def test_accuracy(self, dtype: str) -> None:
        """A classifier has a metric ``accuracy``: 1 if a sample is classified correctly, else 0.

        Exactly one class is the predicted one.
        """
        if self.example().task == "regression":
            pytest.skip("it predicts numbers")
        trial, form = self.trial(dtype), self.samples_form()
        row = [metric.name for metric in trial.functions.metrics].index("accuracy")
        assert trial.functions.metrics[row].better == "higher"
        correct = [
            trial.measures(targets=np.full_like(trial.targets, label))[row]
            for label in range(form.num_classes)
        ]
        np.testing.assert_array_equal(np.sort(correct, axis=0)[:-1], 0)
        np.testing.assert_array_equal(np.max(correct, axis=0), 1)

    def test_float32(self) -> None:
        """Results in float32 agree with those in float64, to rounding."""
        exact, rounded = self.trial("float64"), self.trial("float32")
        _assert_close(rounded.gradients(), exact.gradients(), "float32")
        _assert_close(rounded.measures(), exact.measures(), "float32")

    def test_penalty(self) -> None:
        """The penalty l2 is not in its loss and its gradient, because the suite adds it."""
        plain, penalized = (
            self.trial("float64", model=dataclasses.replace(self.example(), l2=l2))
            for l2 in (0.0, 3.0)
        )
        np.testing.assert_array_equal(plain.gradients(), penalized.gradients())
        np.testing.assert_array_equal(plain.measures(), penalized.measures())

    def test_optimum(self) -> None:
        """The gradient, with that of the penalty, vanishes at the optimum, if one is given."""
        model, trial = self.example(), self.trial("float64", n=40)
        if not isinstance(trial.functions, SolvableFunctions):
            pytest.skip("it computes no optimum")
        l2 = model.l2 if isinstance(model, PenalizedModel) else 0.0
        weights = np.abs(trial.weights[:1])
        weights /= weights.sum()
        one = dataclasses.replace(trial.rows([0]), weights=weights)
        optimum = trial.functions.optimum(one.features[0], one.targets[0], weights[0])
        assert optimum is not None
        assert optimum.dtype == np.float64
        found, start = (
            np.linalg.norm(one.gradients(x=x)[0] + l2 * x) for x in (optimum, one.x + 1)
        )
        assert found < 1e-10 * start

    @_DTYPES
    def test_slopes(self, dtype: str) -> None:
        """The samples, weighted by the slopes, add up to the gradient, if slopes are given."""
        trial = self.trial(dtype)
        if not isinstance(trial.functions, LinearFunctions):
            pytest.skip("its gradient is not a sum of samples")
        products = trial.features @ trial.x
        slopes = trial.functions.slopes(products, trial.targets, trial.weights)
        assert slopes.dtype == np.dtype(dtype)
        sums = np.einsum("gn,gnp->gp", slopes, trial.features)
        _assert_close(sums, trial.gradients(), dtype)

    @_DTYPES
    def test_diverged(self, dtype: str) -> None:
        """A model of the largest numbers causes no errors and no warnings.

        The run has its own check for divergence, with a message.
        """
        trial = self.trial(dtype)
        for value in (np.finfo(dtype).max, np.inf, np.nan):
            largest = np.full_like(trial.x, value)
            trial.gradients(x=largest)
            trial.measures(x=largest)


def model(
    cls: type[Any],
    *,
    without: Collection[str] = (),
    make: Callable[[], Any] | None = None,
    form: SampleForm | None = None,
) -> type[ModelLaws]:
    """Make the class of tests of a model.

    See :mod:`lad_mpi.conformance` for what all such functions take and return.

    Parameters
    ----------
    cls : type
    without : collection of str
    make : callable, optional
        Builds a model.
    form : SampleForm, optional
        Form of the samples. By default they have 6 features and, for a classifier, 3 classes.
        A model of images needs ``form=SampleForm((28, 28), 10)``, for example.
    """
    optional = {
        "dimension": CountedModel,
        "gradient_work": CountedModel,
        "penalty": PenalizedModel,
        "modules": ImportingModel,
    }
    return make_suite(ModelLaws, cls, without, optional, maker=staticmethod(make or cls), form=form)


def _assert_close(found: HostFloats, expected: HostFloats, dtype: str = "") -> None:
    """Check that two arrays differ by rounding only, in the dtype of the first if left out."""
    accepted = _ROUNDING[dtype or str(found.dtype)] * max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=accepted)


def _moved(array: HostFloats, offset: int) -> HostFloats:
    """Return a copy that begins some numbers after a multiple of 64 bytes."""
    item = array.itemsize
    memory = np.empty(array.size + offset + 64 // item, dtype=array.dtype)
    start = -memory.ctypes.data % 64 // item + offset
    copy: HostFloats = memory[start : start + array.size].reshape(array.shape)
    copy[...] = array
    return copy
