"""Min-max and min-sum against the published bisection and their own constraints."""

import numpy as np
import pytest

from lad_mpi.attacks import AttackContext, MinMax, MinSum
from lad_mpi.errors import ParameterError
from lad_mpi.rng import Streams

H, F = 13, 4
ATTACKS = pytest.mark.parametrize("attack", [MinMax, MinSum])
PERTURBATIONS = pytest.mark.parametrize("perturbation", ["std", "unit", "sign"])


def context():
    return AttackContext(Streams(2), 3, np.arange(F), H + F, F)


def honest_vectors(seed, mean=1.0):
    generator = np.random.default_rng(seed)
    return generator.normal(mean, 1.0, size=(H, 9)) * generator.gamma(1.0, size=9)


def squared_distances(honest, vector):
    return [float(((row - vector) ** 2).sum()) for row in honest]


def hides(attack, honest, vector):
    """Whether a vector keeps to the limit, as the publication states it."""
    among = [squared_distances(honest, row) for row in honest]
    if attack is MinMax:
        return max(squared_distances(honest, vector)) <= max(map(max, among))
    return sum(squared_distances(honest, vector)) <= max(map(sum, among))


def direction_of(honest, perturbation):
    mean = honest.mean(axis=0)
    return {
        "std": -honest.std(axis=0, ddof=1),
        "unit": -mean / np.linalg.norm(mean),
        "sign": -np.sign(mean),
    }[perturbation]


def published_factor(attack, honest, perturbation, start):
    """The bisection of the publication's Algorithm 1, with its variables."""
    mean, direction = honest.mean(axis=0), direction_of(honest, perturbation)
    factor, step, succeeded = start, start, 0.0
    while abs(succeeded - factor) > 1e-9:
        if hides(attack, honest, mean + factor * direction):
            succeeded = factor
            factor += step / 2
        else:
            factor -= step / 2
        step /= 2
    return succeeded


@ATTACKS
@PERTURBATIONS
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mean", [0.0, 5.0])
def test_it_is_what_the_published_bisection_comes_to(attack, perturbation, seed, mean):
    honest = honest_vectors(seed, mean)
    factor = published_factor(attack, honest, perturbation, start=50.0)
    assert 0.0 < factor < 99.0, "the bisection starts too low"
    expected = honest.mean(axis=0) + factor * direction_of(honest, perturbation)
    found = attack(perturbation).craft(honest, context())
    np.testing.assert_allclose(found, [expected] * F, rtol=1e-7, atol=1e-7)


@ATTACKS
@PERTURBATIONS
@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_it_goes_as_far_as_the_limit_allows(attack, perturbation, scale):
    honest = honest_vectors(7)
    found = attack(perturbation).craft(scale * honest, context())[0] / scale
    mean = honest.mean(axis=0)
    assert hides(attack, honest, mean + (1 - 1e-9) * (found - mean))
    assert not hides(attack, honest, mean + (1 + 1e-9) * (found - mean))
    towards = direction_of(honest, perturbation)
    cosine = (found - mean) @ towards / np.linalg.norm(found - mean) / np.linalg.norm(towards)
    assert cosine == pytest.approx(1.0, rel=1e-12)


@ATTACKS
@PERTURBATIONS
def test_moments_of_float32_messages_are_taken_in_float64(attack, perturbation):
    honest = honest_vectors(3).astype(np.float32)
    narrow = attack(perturbation).craft(honest, context())
    wide = attack(perturbation).craft(honest.astype(np.float64), context())
    np.testing.assert_array_equal(narrow, wide.astype(np.float32))


@ATTACKS
@PERTURBATIONS
@pytest.mark.parametrize("value", [0.0, 2.0])
def test_among_equal_messages_it_sends_their_value(attack, perturbation, value):
    honest = np.full((H, 3), value)
    found = attack(perturbation).craft(honest, context())
    np.testing.assert_array_equal(found, np.full((F, 3), value))


@ATTACKS
@pytest.mark.parametrize("perturbation", ["unit", "sign"])
def test_a_zero_mean_has_no_direction(attack, perturbation):
    honest = np.array([[1.0, -2.0], [-1.0, 2.0]])
    found = attack(perturbation).craft(honest, context())
    np.testing.assert_array_equal(found, np.zeros((F, 2)))


@ATTACKS
def test_directions_are_known_by_name(attack):
    with pytest.raises(ParameterError, match="perturbation: must be 'std' or 'unit' or 'sign'"):
        attack("largest")
