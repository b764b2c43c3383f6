"""Each optimizer against its textbook definition, one number at a time."""

import math

import numpy as np
import pytest

from lad_mpi.errors import ParameterError
from lad_mpi.optimizers import Adam, GradientDescent, Momentum

ESTIMATES = np.random.default_rng(4).normal(0.5, 2.0, size=(40, 5))


def directions(optimizer, estimates):
    state = optimizer.initial_state(estimates[0])
    return np.array([optimizer.direction(g, state, t).copy() for t, g in enumerate(estimates)])


def test_gradient_descent_goes_along_the_estimate():
    estimate = ESTIMATES[0]
    assert GradientDescent().initial_state(estimate) == {}
    assert GradientDescent().direction(estimate, {}, 0) is estimate


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.99])
def test_momentum(momentum, nesterov):
    found = directions(Momentum(momentum, nesterov), ESTIMATES)
    for t in range(len(ESTIMATES)):
        for j in range(5):
            # The sum of all estimates so far, each with the power of its age.
            velocity = math.fsum(momentum ** (t - s) * ESTIMATES[s, j] for s in range(t + 1))
            expected = ESTIMATES[t, j] + momentum * velocity if nesterov else velocity
            assert found[t, j] == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_momentum_of_a_constant_estimate_grows_to_its_limit():
    found = directions(Momentum(0.8), np.ones((200, 1)))
    assert found[0, 0] == 1.0
    assert found[-1, 0] == pytest.approx(1.0 / (1.0 - 0.8), rel=1e-12)


@pytest.mark.parametrize(("beta1", "beta2"), [(0.9, 0.999), (0.0, 0.0), (0.5, 0.9)])
def test_adam(beta1, beta2):
    found = directions(Adam(beta1, beta2, epsilon=1e-3), ESTIMATES)
    for j in range(5):
        mean = square = 0.0
        for t in range(len(ESTIMATES)):
            estimate = float(ESTIMATES[t, j])
            mean = beta1 * mean + (1 - beta1) * estimate
            square = beta2 * square + (1 - beta2) * estimate**2
            unbiased_mean = mean / (1 - beta1 ** (t + 1))
            unbiased_square = square / (1 - beta2 ** (t + 1))
            expected = unbiased_mean / (math.sqrt(unbiased_square) + 1e-3)
            assert found[t, j] == pytest.approx(expected, rel=1e-12)


def test_the_first_direction_of_adam_is_the_sign():
    """The correction of the bias makes both means those of one estimate."""
    first = directions(Adam(epsilon=1e-30), ESTIMATES[:1])[0]
    np.testing.assert_allclose(first, np.sign(ESTIMATES[0]), rtol=1e-12)


def test_the_smallest_epsilon_divides_zero_in_float32():
    found = directions(Adam(epsilon=1e-30), np.zeros((3, 2), dtype=np.float32))
    np.testing.assert_array_equal(found, np.zeros((3, 2)))
    with pytest.raises(ParameterError, match="epsilon: must be at least 1e-30"):
        Adam(epsilon=1e-50)


@pytest.mark.parametrize("value", [-0.1, 1.0, math.nan])
def test_decays_are_from_0_to_below_1(value):
    for make in (
        lambda: Momentum(value),
        lambda: Adam(beta1=value),
        lambda: Adam(beta2=value),
    ):
        with pytest.raises(ParameterError, match=r"must be (at least 0|below 1)"):
            make()


@pytest.mark.parametrize("optimizer", [Momentum(), Momentum(nesterov=True), Adam()])
def test_a_gpu_takes_the_same_steps(standin_gpu, optimizer):
    state = optimizer.initial_state(standin_gpu.asarray(ESTIMATES[0]))
    for t, expected in enumerate(directions(optimizer, ESTIMATES)):
        found = optimizer.direction(standin_gpu.asarray(ESTIMATES[t]), state, t)
        np.testing.assert_array_equal(found.get(), expected)
