"""Training on wrong targets."""

import numpy as np
import pytest

from lad_mpi.attacks import LabelFlip


def test_classes_are_reversed():
    targets = np.array([0, 1, 2, 3, 9, 0])
    np.testing.assert_array_equal(LabelFlip().corrupt_targets(targets, 10), [9, 8, 7, 6, 0, 9])


def test_two_classes_are_exchanged():
    np.testing.assert_array_equal(LabelFlip().corrupt_targets(np.array([0, 1, 1]), 2), [1, 0, 0])


def test_the_middle_class_of_an_odd_number_stays():
    np.testing.assert_array_equal(LabelFlip().corrupt_targets(np.array([0, 1, 2]), 3), [2, 1, 0])


def test_numbers_are_reflected_about_their_mean():
    targets = np.array([1.0, 2.0, 6.0])
    found = LabelFlip().corrupt_targets(targets, 0)
    np.testing.assert_allclose(found, [5.0, 4.0, 0.0], rtol=1e-15)
    assert found.mean() == pytest.approx(targets.mean(), rel=1e-15)


@pytest.mark.parametrize("num_classes", [0, 7])
def test_twice_is_not_at_all(num_classes):
    generator = np.random.default_rng(1)
    targets = generator.integers(0, 7, 50) if num_classes else generator.normal(4.0, 1.0, 50)
    once = LabelFlip().corrupt_targets(targets, num_classes)
    twice = LabelFlip().corrupt_targets(once, num_classes)
    np.testing.assert_allclose(twice, targets, rtol=1e-14)
