"""Mimicry that learns whom to copy."""

from dataclasses import replace

import numpy as np
import pytest

from lad_mpi.attacks import AttackContext, Mimic
from lad_mpi.errors import ParameterError
from lad_mpi.rng import Streams

H, F, Q = 8, 3, 6
CONTEXT = AttackContext(Streams(5), 0, np.arange(H, H + F), H + F, F)


def learn(attack, every, context=CONTEXT):
    """Return what is sent in each iteration, and the state at the end."""
    state = attack.initial_state(every[0][0])
    sent = [
        attack.advance(honest, replace(context, iteration=t), state)
        for t, honest in enumerate(every)
    ]
    return sent, state


def changing(iterations, seed=1):
    """Vectors of devices that differ, with noise in each iteration."""
    generator = np.random.default_rng(seed)
    own = generator.normal(1.0, 1.0, size=(H, Q)) * generator.gamma(1.0, size=Q)
    return own + generator.normal(0.0, 0.5, size=(iterations, H, Q))


@pytest.mark.parametrize("seed", range(5))
def test_each_step_is_the_published_one(seed):
    """Oja's rule, one number at a time, from the same random direction."""
    every = changing(12, seed)
    sent, state = learn(Mimic(warmup=100), every)
    z = CONTEXT.generator(H).standard_normal(Q)
    average = np.zeros(Q)
    for t, honest in enumerate(every):
        average = t / (1 + t) * average + sum(honest) / H / (1 + t)
        step = sum((x - average) * float((x - average) @ z) for x in honest)
        z = t / (1 + t) * z + step / np.linalg.norm(step) / (1 + t)
        z = z / np.linalg.norm(z)
        copied = max(range(H), key=lambda i: abs(float(honest[i] @ z)))
        np.testing.assert_array_equal(sent[t], honest[[copied] * F])
    np.testing.assert_allclose(state["mean"], average, rtol=1e-12)
    np.testing.assert_allclose(state["direction"], z, rtol=1e-9, atol=1e-12)
    assert state["device"].tolist() == [copied]


@pytest.mark.parametrize("scale", [1.0, -1.0, 1e-150, 1e150])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_finds_the_device_farthest_along_the_largest_variance(dtype, scale):
    if dtype == "float32" and abs(scale) != 1.0:
        scale = 1e30 if scale > 1 else 1e-30
    generator = np.random.default_rng(3)
    direction = np.array([3.0, -1.0, 0.0, 2.0, 1.0, 1.0])
    along = np.array([0.5, -1.0, 9.0, 2.0, -4.0, 0.0, 1.0, -2.0])
    noise = 0.01 * generator.normal(size=(30, H, Q))
    every = (scale * (np.outer(along, direction) + noise)).astype(dtype)
    sent, state = learn(Mimic(), every)
    np.testing.assert_array_equal(sent[-1], every[-1][[2] * F])
    cosine = state["direction"] @ direction / np.linalg.norm(direction)
    assert abs(cosine) == pytest.approx(1.0, rel=1e-3)


def test_it_keeps_copying_the_same_device_after_the_warm_up():
    every = changing(20)
    others = every[:, ::-1]
    learning, _ = learn(Mimic(warmup=10), every)
    found, state = learn(Mimic(warmup=10), [*every[:10], *others[10:]])
    (device,) = state["device"]
    np.testing.assert_array_equal(found[9], learning[9])
    for t in range(10, 20):
        np.testing.assert_array_equal(found[t], others[t][[device] * F])


def test_the_state_does_not_change_after_the_warm_up():
    every = changing(9)
    _, after = learn(Mimic(warmup=4), every)
    _, before = learn(Mimic(warmup=4), every[:4])
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)


def test_the_first_direction_is_that_of_the_run():
    """One step from another random direction leads elsewhere, and from the same one not."""
    every = changing(1)
    _, first = learn(Mimic(), every)
    _, again = learn(Mimic(), every)
    _, other = learn(Mimic(), every, replace(CONTEXT, streams=Streams(6)))
    np.testing.assert_array_equal(first["direction"], again["direction"])
    assert (first["direction"] != other["direction"]).all()


def test_craft_is_the_first_iteration():
    every = changing(1)
    (sent,), _ = learn(Mimic(), every)
    later = replace(CONTEXT, iteration=500)
    np.testing.assert_array_equal(Mimic().craft(every[0], later), sent)


def test_among_equal_messages_it_copies_the_first_and_goes_on_learning():
    every = [np.ones((H, Q)), *changing(10)]
    sent, state = learn(Mimic(), every)
    np.testing.assert_array_equal(sent[0], np.ones((F, Q)))
    assert all(np.isfinite(array).all() for array in state.values())
    assert np.linalg.norm(state["direction"]) == pytest.approx(1.0, rel=1e-12)


def test_it_learns_for_an_iteration_at_least():
    with pytest.raises(ParameterError, match="warmup: must be at least 1"):
        Mimic(0)
