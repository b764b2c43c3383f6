"""Attacks by devices that act alone."""

import math

import numpy as np
import pytest

from lad_mpi.attacks import AttackContext, Gaussian, Inf, Nan, NoAttack, SignFlip, Zero
from lad_mpi.errors import ParameterError
from lad_mpi.rng import Streams


def context(num_devices, iteration=0):
    return AttackContext(Streams(3), iteration, np.arange(num_devices), 3 * num_devices, 1)


OWN = np.array([[1.0, -2.0], [0.5, 0.0]])


def test_none_sends_the_honest_vector():
    np.testing.assert_array_equal(NoAttack().corrupt(OWN, context(2)), OWN)


def test_sign_flip_scales_each_own_vector():
    np.testing.assert_array_equal(SignFlip().corrupt(OWN, context(2)), [[-2, 4], [-1, 0]])
    np.testing.assert_array_equal(SignFlip(-0.5).corrupt(OWN, context(2)), -0.5 * OWN)


def test_constants():
    np.testing.assert_array_equal(Zero().corrupt(OWN, context(2)), np.zeros((2, 2)))
    np.testing.assert_array_equal(Nan().corrupt(OWN, context(2)), np.full((2, 2), np.nan))
    np.testing.assert_array_equal(Inf().corrupt(OWN, context(2)), np.full((2, 2), np.inf))


def test_gaussian_has_mean_zero_and_its_standard_deviation():
    # Bounds of 6 standard errors on two averages of 40000 draws: a false alarm,
    # had the seed not been fixed, once in 10⁸ runs.
    noise = Gaussian(5.0).corrupt(np.full((40, 1000), 7.0), context(40))
    root = math.sqrt(noise.size)
    assert abs(noise.mean()) < 6 * 5 / root
    assert abs((noise**2).mean() / 25 - 1) < 6 * math.sqrt(2) / root


def test_gaussian_differs_between_devices_and_iterations():
    own = np.zeros((2, 50))
    first = Gaussian().corrupt(own, context(2))
    assert (first[0] != first[1]).all()
    assert (first != Gaussian().corrupt(own, context(2, iteration=1))).all()


def test_gaussian_is_the_same_in_both_precisions():
    wide = Gaussian().corrupt(np.zeros((2, 50)), context(2))
    narrow = Gaussian().corrupt(np.zeros((2, 50), dtype=np.float32), context(2))
    np.testing.assert_array_equal(narrow, wide.astype(np.float32))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_parameters_must_be_finite(value):
    with pytest.raises(ParameterError, match="scale: must be finite"):
        SignFlip(value)
    with pytest.raises(ParameterError, match=r"standard_deviation: must be (finite|above 0)"):
        Gaussian(value)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_standard_deviation_must_be_positive(value):
    with pytest.raises(ParameterError, match=f"must be above 0, not {value}"):
        Gaussian(value)
