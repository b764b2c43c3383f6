"""A step of the server: step size, schedule and weight decay."""

import numpy as np
import pytest

from lad_mpi.errors import ParameterError
from lad_mpi.optimizers import Adam, Constant, Cosine, GradientDescent, Momentum, Updates

METHODS = [GradientDescent(), Momentum(), Momentum(nesterov=True), Adam()]
ITERATIONS = 25


CURVATURE = np.array([1.0, 0.5, 0.1, 0.0])


def minimise(updates, model, state, iterations):
    """Minimise a quadratic with a minimum off the origin."""
    curvature = CURVATURE.astype(model.dtype)
    for t in iterations:
        updates.apply(model, curvature * (model - 1), state, t, ITERATIONS)
    return model, state


def trained(updates, dtype="float64", stop=ITERATIONS):
    model = np.array([1.0, -2.0, 3.0, 4.0], dtype=dtype)
    return minimise(updates, model, updates.method.initial_state(model), range(stop))


def test_the_default_is_gradient_descent():
    model, estimate = np.ones(3), np.array([1.0, -2.0, 0.5])
    Updates().apply(model, estimate, {}, 0, 10)
    np.testing.assert_array_equal(model, 1.0 - 1e-3 * estimate)


@pytest.mark.parametrize("method", METHODS)
def test_a_step_is_the_definition(method):
    updates = Updates(method, step_size=0.2, weight_decay=0.3, schedule=Cosine(warmup=2))
    model = np.array([1.0, -2.0, 3.0, 4.0])
    state, other = method.initial_state(model), method.initial_state(model)
    for t in range(ITERATIONS):
        estimate = np.sin(np.arange(4) + t)
        direction = method.direction(estimate, other, t)
        step = 0.2 * Cosine(warmup=2).factor(t, ITERATIONS)
        expected = model - step * (direction + 0.3 * model)
        updates.apply(model, estimate, state, t, ITERATIONS)
        np.testing.assert_allclose(model, expected, rtol=1e-14)


def test_weight_decay_of_gradient_descent_is_a_penalty():
    decayed, _ = trained(Updates(GradientDescent(), 0.1, weight_decay=0.2))
    model = np.array([1.0, -2.0, 3.0, 4.0])
    for _ in range(ITERATIONS):
        model -= 0.1 * (CURVATURE * (model - 1) + 0.2 * model)
    np.testing.assert_allclose(decayed, model, rtol=1e-13)


@pytest.mark.parametrize("method", METHODS)
def test_weight_decay_is_not_part_of_the_state(method):
    updates = Updates(method, 0.1, weight_decay=0.5)
    model = np.ones(3)
    state = method.initial_state(model)
    for t in range(5):
        updates.apply(model, np.zeros(3), state, t, 5)
    np.testing.assert_allclose(model, 0.95**5, rtol=1e-14)
    assert all(not array.any() for array in state.values())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_float32_is_kept(method, decay):
    updates = Updates(method, 0.1, decay, Cosine(warmup=3))
    model, state = trained(updates, "float32")
    assert model.dtype == np.float32
    assert all(array.dtype == np.float32 for array in state.values())
    np.testing.assert_allclose(model, trained(updates)[0], rtol=2e-5)


class OfNumPy(Constant):
    """A schedule of another package that computes with NumPy."""

    def factor(self, iteration, iterations):
        return np.float64(1.0) / (iteration + 3)


class OfPython(Constant):
    def factor(self, iteration, iterations):
        return 1.0 / (iteration + 3)


def test_a_schedule_may_return_a_number_of_numpy():
    first = trained(Updates(Momentum(), 0.1, 0.1, OfNumPy()), "float32")[0]
    second = trained(Updates(Momentum(), 0.1, 0.1, OfPython()), "float32")[0]
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stop", [1, 12])
def test_a_resumed_run_has_the_same_bits(method, stop):
    updates = Updates(method, 0.1, 0.01, Cosine(warmup=3))
    whole, _ = trained(updates)
    model, state = trained(updates, stop=stop)
    saved = {name: array.copy() for name, array in state.items()}
    resumed, _ = minimise(updates, model.copy(), saved, range(stop, ITERATIONS))
    np.testing.assert_array_equal(resumed, whole)


def test_a_step_that_overflows_is_left_to_the_run():
    model = np.full(2, 1e300)
    with np.errstate(all="raise"):
        Updates(step_size=1e10).apply(model, np.array([1e300, -1e300]), {}, 0, 1)
    np.testing.assert_array_equal(model, [-np.inf, np.inf])


@pytest.mark.parametrize("method", METHODS)
def test_a_gpu_takes_the_same_steps(standin_gpu, method):
    updates = Updates(method, 0.1, 0.01, Cosine(warmup=3))
    model = standin_gpu.asarray(np.array([1.0, -2.0, 3.0, 4.0]))
    curvature = standin_gpu.asarray(CURVATURE)
    state = method.initial_state(model)
    for t in range(ITERATIONS):
        updates.apply(model, curvature * (model - 1), state, t, ITERATIONS)
    np.testing.assert_array_equal(model.get(), trained(updates)[0])


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ParameterError, match="step_size: must be above 0"):
        Updates(step_size=0.0)
    with pytest.raises(ParameterError, match="weight_decay: must be at least 0"):
        Updates(weight_decay=-1.0)


def test_updates_are_part_of_the_identity_of_a_run():
    assert Updates(Adam(), schedule=Cosine()) == Updates(Adam(), schedule=Cosine())
    assert hash(Updates()) == hash(Updates())
    assert Updates(Adam()) != Updates(Momentum())
