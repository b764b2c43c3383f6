"""Models with one fault each are caught by the law they break."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from lad_mpi import conformance
from lad_mpi.models import LinearRegression, SoftmaxRegression
from lad_mpi.types import Metric


@dataclass(frozen=True)
class Wrapped:
    """A softmax regression whose functions differ in one method."""

    kind: ClassVar[str] = "wrapped"
    has_bias: ClassVar[bool] = False
    task: ClassVar[str] = "classification"
    Functions: ClassVar[type]

    def build(self, form, backend):
        return self.Functions(SoftmaxRegression().build(form, backend))


class Inner:
    def __init__(self, inner):
        self.inner = inner
        self.dimension, self.metrics = inner.dimension, inner.metrics

    def initial_model(self, generator):
        return self.inner.initial_model(generator)

    def gradients(self, model, features, targets, weights, out):
        self.inner.gradients(model, features, targets, weights, out)

    def measure(self, model, features, targets):
        return self.inner.measure(model, features, targets)


class NoLoss(Wrapped):
    class Functions(Inner):
        def __init__(self, inner):
            super().__init__(inner)
            self.metrics = (Metric("error", "1", "error", "lower"), inner.metrics[1])


class TwiceTheLoss(Wrapped):
    class Functions(Inner):
        def measure(self, model, features, targets):
            found = super().measure(model, features, targets)
            found[0] *= 2
            return found


class PositiveWeights(Wrapped):
    class Functions(Inner):
        def gradients(self, model, features, targets, weights, out):
            super().gradients(model, features, targets, np.abs(weights), out)


class MeanOfABatch(Wrapped):
    class Functions(Inner):
        def gradients(self, model, features, targets, weights, out):
            super().gradients(model, features, targets, weights / weights.shape[1], out)


class DependsOnTheOthers(Wrapped):
    class Functions(Inner):
        def gradients(self, model, features, targets, weights, out):
            super().gradients(model, features, targets, weights, out)
            out += np.float32(1e-3) * out.mean(axis=0)


class MeasuresTheStack(Wrapped):
    class Functions(Inner):
        def measure(self, model, features, targets):
            found = super().measure(model, features, targets)
            found[0] += 1e-3 * found[0].mean()
            return found


class DependsOnTheAddress(Wrapped):
    class Functions(Inner):
        def gradients(self, model, features, targets, weights, out):
            super().gradients(model, features, targets, weights, out)
            if features.ctypes.data % 64 == 3 * features.itemsize:
                out += np.float32(1e-3)


class NeedsCompactRows(Wrapped):
    class Functions(Inner):
        def gradients(self, model, features, targets, weights, out):
            flat = out.reshape(-1, out.shape[1])  # A copy, if the rows lie apart.
            flat = flat.reshape(-1)
            super().gradients(model, features, targets, weights, flat.reshape(out.shape))


class AddsToWhatIsThere(Wrapped):
    class Functions(Inner):
        def gradients(self, model, features, targets, weights, out):
            found = np.empty_like(out)
            super().gradients(model, features, targets, weights, found)
            out += found


class WeighsInPlace(Wrapped):
    class Functions(Inner):
        def gradients(self, model, features, targets, weights, out):
            super().gradients(model, features, targets, weights, out)
            features *= weights[..., None]


class Remembers(Wrapped):
    class Functions(Inner):
        calls = 0

        def gradients(self, model, features, targets, weights, out):
            self.calls += 1
            super().gradients(model, features, targets, weights, out)
            out *= self.calls


class DrawsGlobally(Wrapped):
    class Functions(Inner):
        def initial_model(self, generator):
            return np.random.normal(size=self.dimension)  # noqa: NPY002


class StartsInFloat32(Wrapped):
    class Functions(Inner):
        def initial_model(self, generator):
            return super().initial_model(generator).astype(np.float32)


class MeasuresInFloat32(Wrapped):
    class Functions(Inner):
        def measure(self, model, features, targets):
            return super().measure(model, features, targets).astype(np.float32)


class LikelihoodAsAccuracy(Wrapped):
    class Functions(Inner):
        def measure(self, model, features, targets):
            found = super().measure(model, features, targets)
            found[1] = np.exp(-found[0])
            return found


class RoundsInFloat32(Wrapped):
    class Functions(Inner):
        def gradients(self, model, features, targets, weights, out):
            if model.dtype == np.float32:
                features = features.astype(np.float16).astype(np.float32)
            super().gradients(model, features, targets, weights, out)


class WarnsOfOverflow(Wrapped):
    class Functions(Inner):
        def gradients(self, model, features, targets, weights, out):
            super().gradients(model, features, targets, weights, out)
            np.exp(features @ model[: features.shape[-1]])


@dataclass(frozen=True)
class AddsThePenalty(Wrapped):
    l2: float = 0.0

    def build(self, form, backend):
        functions, l2 = SoftmaxRegression().build(form, backend), self.l2

        class Penalized(Inner):
            def gradients(self, model, features, targets, weights, out):
                super().gradients(model, features, targets, weights, out)
                out += l2 * model

        return Penalized(functions)


class NamesAFunction(TwiceTheLoss):
    modules: ClassVar[tuple[str, ...]] = ("mylab.nets:lenet",)


class CountsTooMany(LinearRegression):
    def gradient_work(self, form, num_samples):
        return dataclasses.replace(super().gradient_work(form, num_samples), samples=2)


class HasAnotherDimension(LinearRegression):
    def dimension_of(self, form):
        return 7


class ForgetsThePenalty(LinearRegression):
    def build(self, form, backend):
        return LinearRegression().build(form, backend)


class GivesSlopesOfOtherTargets(LinearRegression):
    def build(self, form, backend):
        inner = super().build(form, backend)

        class Shifted(Inner):
            def slopes(self, products, targets, weights):
                return inner.slopes(products, targets + 1, weights)

        return Shifted(inner)


BROKEN = {
    NoLoss: "protocol",
    TwiceTheLoss: "slope",
    PositiveWeights: "weights",
    MeanOfABatch: "concatenation",
    DependsOnTheOthers: "rows",
    MeasuresTheStack: "rows",
    DependsOnTheAddress: "memory",
    NeedsCompactRows: "memory",
    AddsToWhatIsThere: "out",
    WeighsInPlace: "out",
    Remembers: "repeatable",
    DrawsGlobally: "global_generators",
    StartsInFloat32: "initial_model",
    MeasuresInFloat32: "measure",
    LikelihoodAsAccuracy: "accuracy",
    RoundsInFloat32: "float32",
    WarnsOfOverflow: "diverged",
    AddsThePenalty: "penalty",
    NamesAFunction: "modules",
    CountsTooMany: "gradient_work",
    HasAnotherDimension: "dimension",
    GivesSlopesOfOtherTargets: "slopes",
}


@pytest.mark.parametrize("model", BROKEN)
def test_a_broken_model_is_caught(complaint, model):
    assert f"the law {BROKEN[model]!r}" in complaint(conformance.model(model), BROKEN[model])


def test_an_optimum_of_another_penalty_is_caught(complaint):
    suite = conformance.model(ForgetsThePenalty, make=lambda: ForgetsThePenalty(l2=0.1))
    assert complaint(suite, "optimum")


def test_laws_of_optional_protocols_are_tried_where_a_model_has_them():
    optional = {"dimension", "gradient_work", "penalty", "modules"}
    linear = conformance.laws(conformance.model(LinearRegression)).keys() & optional
    assert linear == {"dimension", "gradient_work", "penalty"}
    assert conformance.laws(conformance.model(TwiceTheLoss)).keys().isdisjoint(optional)


def test_every_law_of_models_is_broken_once():
    own = vars(conformance.models.ModelLaws).keys()
    laws = {name.removeprefix("test_") for name in own if name.startswith("test_")}
    assert laws == {*BROKEN.values(), "optimum"}
