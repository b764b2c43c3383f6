"""The models agree with their definitions, written sample by sample, and with textbooks."""

import math
from itertools import pairwise

import numpy as np
import pytest

from lad_mpi.arrays import open_backend
from lad_mpi.errors import DataError, ParameterError
from lad_mpi.models import LinearRegression, LogisticRegression, Mlp, SoftmaxRegression
from lad_mpi.parameters import field_types
from lad_mpi.types import SampleForm

G, N, P, C = 3, 5, 4, 3
FLOAT64 = open_backend("numpy", "float64")
RNG = np.random.default_rng(11)
FEATURES = RNG.normal(size=(G, N, P))
WEIGHTS = RNG.normal(size=(G, N))
NUMBERS = RNG.normal(size=(G, N))
CLASSES = RNG.integers(C, size=(G, N))
TWO = RNG.integers(2, size=(G, N))


def softmax(scores):
    exponentials = [math.exp(score) for score in scores]
    return [value / sum(exponentials) for value in exponentials]


def linear(x, z, y):
    residual = sum(x * z) - y
    return residual**2 / 2, residual * z


def logistic(x, z, y):
    probability = 1 / (1 + math.exp(-sum(x * z)))
    return -math.log(probability if y else 1 - probability), (probability - y) * z


def softmax_regression(x, z, y):
    rows = [x[c * P : (c + 1) * P] for c in range(C)]
    probabilities = softmax([sum(row * z) for row in rows])
    gradient = [(probabilities[c] - (c == y)) * z for c in range(C)]
    return -math.log(probabilities[y]), np.concatenate(gradient)


PHI = {
    "relu": (lambda a: max(a, 0.0), lambda a: float(a > 0)),
    "tanh": (math.tanh, lambda a: 1 - math.tanh(a) ** 2),
}


def mlp(x, z, y, model):
    """Backpropagation as in Bishop, section 5.3: unit by unit."""
    phi, slope = PHI[model.activation]
    sizes = [len(z), *model.hidden, C if model.loss == "cross_entropy" else 1]
    numbers = list(x)
    layers = []
    for inputs, outputs in pairwise(sizes):
        rows = [[numbers.pop(0) for _ in range(inputs)] for _ in range(outputs)]
        layers.append((rows, [numbers.pop(0) for _ in range(outputs)]))
    units, sums = [list(z)], []
    for k, (rows, biases) in enumerate(layers):
        sums.append(
            [sum(w * h for w, h in zip(row, units[k], strict=True)) + b
             for row, b in zip(rows, biases, strict=True)]
        )  # fmt: skip
        units.append([phi(a) for a in sums[k]])
    output = sums[-1]
    if model.loss == "cross_entropy":
        probabilities = softmax(output)
        value = -math.log(probabilities[y])
        deltas = [probabilities[c] - (c == y) for c in range(C)]
    else:
        value, deltas = (output[0] - y) ** 2 / 2, [output[0] - y]
    parts = []
    for k in reversed(range(len(layers))):
        parts.insert(0, [delta * h for delta in deltas for h in units[k]] + deltas)
        if k:
            deltas = [
                slope(sums[k - 1][j])
                * sum(delta * row[j] for delta, row in zip(deltas, layers[k][0], strict=True))
                for j in range(sizes[k])
            ]
    return value, np.concatenate(parts)


def network(*parameters):
    model = Mlp(*parameters)
    targets, classes = (CLASSES, C) if model.task == "classification" else (NUMBERS, 0)
    return model, lambda x, z, y: mlp(x, z, y, model), targets, classes


CASES = {
    "linear": (LinearRegression(), linear, NUMBERS, 0),
    "logistic": (LogisticRegression(), logistic, TWO, 2),
    "softmax": (SoftmaxRegression(), softmax_regression, CLASSES, C),
    "no hidden layer": network((), "relu"),
    "relu": network((5,), "relu"),
    "tanh": network((5,), "tanh"),
    "two layers": network((4, 3), "relu"),
    "two layers of tanh": network((4, 3), "tanh"),
    "numbers": network((5,), "relu", "squared_error"),
    "numbers, two layers": network((2, 3), "tanh", "squared_error"),
}


@pytest.mark.parametrize("case", CASES)
def test_gradients_and_losses_are_those_of_the_definition(case):
    model, definition, targets, classes = CASES[case]
    functions = model.build(SampleForm((P,), classes), FLOAT64)
    x = np.random.default_rng(2).normal(size=functions.dimension)
    out = np.empty((G, functions.dimension))
    functions.gradients(x, FEATURES, targets, WEIGHTS, out)
    losses = functions.measure(x, FEATURES, targets)[0]
    for g in range(G):
        expected = np.zeros(functions.dimension)
        for i in range(N):
            loss, gradient = definition(x, FEATURES[g, i], targets[g, i])
            assert losses[g, i] == pytest.approx(loss, rel=1e-12)
            expected += WEIGHTS[g, i] * gradient
        np.testing.assert_allclose(out[g], expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("case", ["softmax", "no hidden layer", "relu", "two layers of tanh"])
def test_a_sample_is_correct_if_its_class_has_the_least_loss(case):
    model, definition, targets, classes = CASES[case]
    functions = model.build(SampleForm((P,), classes), FLOAT64)
    x = np.random.default_rng(2).normal(size=functions.dimension)
    accuracy = functions.measure(x, FEATURES, targets)[1]
    for g, i in np.ndindex(G, N):
        losses = [definition(x, FEATURES[g, i], c)[0] for c in range(C)]
        assert accuracy[g, i] == (np.argmin(losses) == targets[g, i])


def test_two_classes_of_the_softmax_are_a_logistic_regression():
    x = np.random.default_rng(3).normal(size=P)
    both = np.concatenate([np.zeros(P), x])
    form = SampleForm((P,), 2)
    one, two = (model().build(form, FLOAT64) for model in (LogisticRegression, SoftmaxRegression))
    np.testing.assert_allclose(
        one.measure(x, FEATURES, TWO), two.measure(both, FEATURES, TWO), rtol=1e-12
    )
    of_one, of_two = np.empty((G, P)), np.empty((G, 2 * P))
    one.gradients(x, FEATURES, TWO, WEIGHTS, of_one)
    two.gradients(both, FEATURES, TWO, WEIGHTS, of_two)
    np.testing.assert_allclose(of_two, np.hstack([-of_one, of_one]), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cls", [LogisticRegression, SoftmaxRegression])
def test_scores_far_beyond_the_range_of_exponentials_have_exact_losses(cls, dtype):
    functions = cls().build(SampleForm((1,), 2), open_backend("numpy", dtype))
    x = np.array([1.0] if cls is LogisticRegression else [0.0, 1.0], dtype)
    features = np.array([[[5000.0], [-4000.0]]], dtype)
    out = np.empty((1, functions.dimension), dtype)
    # Of the two samples, one is certain, and the other one is certainly wrong.
    for label, losses, slope in ((1, [0, 4000], 4000), (0, [5000, 0], 5000)):
        targets = np.full((1, 2), label)
        np.testing.assert_array_equal(functions.measure(x, features, targets)[0, 0], losses)
        functions.gradients(x, features, targets, np.ones((1, 2), dtype), out)
        assert out[0, -1] == slope


def test_the_optimum_is_that_of_the_normal_equations():
    weights = np.abs(WEIGHTS[0]) / np.abs(WEIGHTS[0]).sum()
    A, b = FEATURES[0], NUMBERS[0]
    for l2 in (0.0, 0.3):
        found = LinearRegression(l2).build(SampleForm((P,)), FLOAT64).optimum(A, b, weights)
        normal = A.T @ (weights[:, None] * A) + l2 * np.eye(P)
        np.testing.assert_allclose(found, np.linalg.solve(normal, A.T @ (weights * b)), rtol=1e-9)


def test_the_optimum_of_fewer_samples_than_features_is_the_one_of_least_norm():
    functions = LinearRegression().build(SampleForm((P,)), FLOAT64)
    found = functions.optimum(FEATURES[0, :2], NUMBERS[0, :2], np.full(2, 0.5))
    np.testing.assert_allclose(found, np.linalg.pinv(FEATURES[0, :2]) @ NUMBERS[0, :2], rtol=1e-9)


def test_a_feature_that_is_zero_everywhere_gets_no_weight():
    features = FEATURES[0].copy()
    features[:, 1] = 0.0
    functions = LinearRegression().build(SampleForm((P,)), FLOAT64)
    found = functions.optimum(features, NUMBERS[0], np.full(N, 1 / N))
    assert np.abs(found[1]) < 1e-12 < np.abs(found[0])


def test_no_optimum_is_computed_if_it_would_take_long():
    functions = LinearRegression().build(SampleForm((10**5,)), FLOAT64)
    features = np.broadcast_to(0.0, (10**5, 10**5))
    assert functions.optimum(features, np.zeros(10**5), np.zeros(10**5)) is None


@pytest.mark.parametrize(
    ("activation", "variances"),
    [("relu", (2 / 200, 2 / 300, 2 / 410)), ("tanh", (2 / 500, 2 / 700, 2 / 410))],
)
def test_weights_start_with_the_variances_of_he_and_of_glorot(activation, variances):
    sizes = (200, 300, 400, 10)
    functions = Mlp((300, 400), activation).build(SampleForm((200,), 10), FLOAT64)
    x = functions.initial_model(np.random.default_rng(0))
    start = 0
    for (inputs, outputs), variance in zip(pairwise(sizes), variances, strict=True):
        weights = x[start : start + inputs * outputs]
        biases = x[start + inputs * outputs :][:outputs]
        # Six standard deviations of a sample variance.
        assert np.mean(weights**2) == pytest.approx(variance, rel=6 * (2 / weights.size) ** 0.5)
        assert (biases == 0).all()
        start += (inputs + 1) * outputs
    assert start == functions.dimension


def test_work_counts_the_products_of_matrices():
    form = SampleForm((28, 28), 10)
    assert LinearRegression().gradient_work(form, 25).operations == 2 * (2 * 25 * 784)
    assert SoftmaxRegression().gradient_work(form, 25).operations == 2 * (2 * 25 * 784 * 10)
    # Two products with the first matrix, and three with the second.
    expected = 2 * (2 * 25 * 784 * 100) + 3 * (2 * 25 * 100 * 10)
    assert Mlp((100,)).gradient_work(form, 25).operations == expected
    assert Mlp((100,)).dimension_of(form) == 79510


def test_ten_classes_are_refused_by_logistic_regression_with_the_way_out():
    with pytest.raises(DataError, match="the data have 10") as refused:
        LogisticRegression().build(SampleForm((P,), 10), FLOAT64)
    assert "softmax_regression" in refused.value.hint


@pytest.mark.parametrize("cls", [LogisticRegression, SoftmaxRegression, Mlp])
@pytest.mark.parametrize(("classes", "found"), [(0, "numbers to predict"), (1, "one class only")])
def test_a_classifier_refuses_data_without_two_classes(cls, classes, found):
    with pytest.raises(DataError, match=found):
        cls().build(SampleForm((P,), classes), FLOAT64)


def test_a_network_of_numbers_does_not_ask_for_classes():
    assert Mlp(loss="squared_error").task == "regression"
    assert Mlp(loss="squared_error").build(SampleForm((P,)), FLOAT64).dimension == 64 * P + 129


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"hidden": (5, 0)}, "hidden"),
        ({"hidden": (2**40,)}, "hidden"),
        ({"activation": "sigmoid"}, "activation"),
        ({"loss": "hinge"}, "loss"),
        ({"l2": -1.0}, "l2"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, found):
    with pytest.raises(ParameterError) as refused:
        Mlp(**parameters)
    assert refused.value.parameter == found


@pytest.mark.parametrize("cls", [LinearRegression, LogisticRegression, SoftmaxRegression])
def test_a_negative_penalty_is_refused(cls):
    assert "l2" in field_types(cls)
    with pytest.raises(ParameterError, match="l2"):
        cls(l2=-0.5)
