"""Attacks by colluding devices that see the honest messages."""

import math
import statistics

import numpy as np
import pytest

from lad_mpi.attacks import Alie, AttackContext, Ipm, MimicFixed
from lad_mpi.attacks.base import moments
from lad_mpi.errors import ParameterError
from lad_mpi.rng import Streams

HONEST = np.array([[1.0, 10.0], [2.0, 10.0], [6.0, 40.0]])


def context(num_devices=5, num_byzantine=2):
    devices = np.arange(num_devices - num_byzantine, num_devices)
    return AttackContext(Streams(0), 0, devices, num_devices, num_byzantine)


def test_ipm_sends_the_negated_mean():
    np.testing.assert_array_equal(Ipm().craft(HONEST, context()), [[-6, -40]] * 2)
    np.testing.assert_array_equal(Ipm(0.1).craft(HONEST, context()), [[-0.1 * 3, -0.1 * 20]] * 2)


def test_alie_shifts_the_mean_by_standard_deviations():
    mean = [statistics.fmean(column) for column in HONEST.T]
    spread = [statistics.pstdev(column) for column in HONEST.T]
    expected = [m - 1.5 * s for m, s in zip(mean, spread, strict=True)]
    np.testing.assert_allclose(Alie(1.5).craft(HONEST, context()), [expected] * 2, rtol=1e-14)


@pytest.mark.parametrize(
    ("num_devices", "num_byzantine", "fraction"),
    [
        (50, 24, 24 / 26),  # the example of the paper: 2 supporters are needed
        (100, 20, 49 / 80),
        (5, 2, 2 / 3),
        (3, 1, 1 / 2),
        (4, 1, 1 / 3),
    ],
)
def test_alie_takes_the_published_quantile(num_devices, num_byzantine, fraction):
    where = context(num_devices, num_byzantine)
    honest = np.array([[-1.0], [1.0]])  # mean 0, standard deviation 1
    z = -float(Alie().craft(honest, where)[0, 0])
    assert 0.5 * (1 + math.erf(z / math.sqrt(2))) == pytest.approx(fraction, abs=1e-12)


@pytest.mark.parametrize(("num_devices", "num_byzantine"), [(2, 1), (4, 3), (10, 6)])
def test_alie_says_when_the_quantile_is_undefined(num_devices, num_byzantine):
    where = context(num_devices, num_byzantine)
    with pytest.raises(ParameterError, match="z: has no published quantile") as caught:
        Alie().craft(HONEST, where)
    assert "give z" in caught.value.hint
    assert Alie(1.0).craft(HONEST, where).shape == (num_byzantine, 2)


@pytest.mark.parametrize("num_devices", [1, 2, 9])
def test_alie_without_faults_sends_nothing(num_devices):
    assert Alie().craft(HONEST, context(num_devices, 0)).shape == (0, 2)


def test_moments_of_float32_messages_are_taken_in_float64():
    # In float32 every 1 would be lost beside 1e8, and the mean would be 0.
    honest = np.tile(np.float32([[1e8], [1.0], [-1e8]]), (100, 1))
    crafted = Ipm(3.0).craft(honest, context())
    assert crafted.dtype == np.float32
    np.testing.assert_array_equal(crafted, [[-1.0]] * 2)


def test_mimic_fixed_copies_one_honest_device():
    np.testing.assert_array_equal(MimicFixed().craft(HONEST, context()), HONEST[[0, 0]])
    np.testing.assert_array_equal(MimicFixed(2).craft(HONEST, context()), HONEST[[2, 2]])


def test_mimic_fixed_refuses_a_device_that_does_not_exist():
    with pytest.raises(ParameterError, match="device: must be at least 0, not -1"):
        MimicFixed(-1)
    with pytest.raises(ParameterError) as caught:
        MimicFixed(3).craft(HONEST, context())
    assert str(caught.value) == "device: must be below the number of honest devices 3, not 3"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_factors_must_be_finite(value):
    with pytest.raises(ParameterError, match="tau: must be finite"):
        Ipm(value)
    with pytest.raises(ParameterError, match="z: must be finite"):
        Alie(value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(16, 40_001), (1, 2**19), (3, 5)])
def test_moments_are_those_of_numpy_at_any_size(shape, dtype):
    honest = np.random.default_rng(5).normal(1e3, 1.0, size=shape).astype(dtype)
    means, deviations = moments(honest)
    np.testing.assert_allclose(means, honest.mean(axis=0, dtype=np.float64), rtol=1e-14)
    expected = honest.std(axis=0, dtype=np.float64)
    np.testing.assert_allclose(deviations, expected, rtol=1e-9, atol=1e-12)
