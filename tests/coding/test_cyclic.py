"""The cyclic code: the task matrix of the paper, and who draws what."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.coding import Cyclic
from lad_mpi.errors import ParameterError
from lad_mpi.rng import Purpose, Streams

STREAMS = Streams(7)


@given(
    num_devices=st.integers(1, 40),
    load=st.integers(1, 40),
    kind=st.sampled_from(["random", "fixed"]),
)
@settings(max_examples=60, deadline=None)
def test_every_subset_is_held_by_load_devices_and_every_device_holds_load(num_devices, load, kind):
    load = min(load, num_devices)
    matrix = Cyclic(load, kind).assign(num_devices, 0, STREAMS, 3).mixing_matrix(num_devices) * load
    np.testing.assert_allclose(matrix.sum(axis=0), load)
    np.testing.assert_allclose(matrix.sum(axis=1), load)
    assert set(np.unique(matrix.round(12))) <= {0.0, 1.0}


def test_the_assignment_is_the_cyclic_matrix_with_permuted_subsets_and_devices():
    num_devices, load, iteration = 9, 4, 5
    order = STREAMS.permutation(Purpose.SUBSET_ORDER, iteration, num_devices)
    rows = STREAMS.permutation(Purpose.DEVICE_ROWS, iteration, num_devices)
    assignment = Cyclic(load).assign(num_devices, 2, STREAMS, iteration)
    for device in range(num_devices):
        expected = [order[(rows[device] + j) % num_devices] for j in range(load)]
        assert assignment.subsets[device].tolist() == expected
    np.testing.assert_array_equal(assignment.weights, np.full((num_devices, 1), 1 / load))


def test_fixed_assignment_needs_only_the_devices_own_neighbourhood():
    code = Cyclic(3, "fixed")
    first = code.assign(5, 0, STREAMS, 0)
    assert not code.varies
    assert first.subsets.tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 0], [4, 0, 1]]
    np.testing.assert_array_equal(first.subsets, code.assign(5, 0, STREAMS, 8).subsets)


def test_random_assignment_changes_with_iteration_and_seed_only():
    code = Cyclic(2)
    one = code.assign(20, 0, Streams(1), 0).subsets
    np.testing.assert_array_equal(one, code.assign(20, 0, Streams(1), 0).subsets)
    assert (one != code.assign(20, 0, Streams(1), 1).subsets).any()
    assert (one != code.assign(20, 0, Streams(2), 0).subsets).any()


@pytest.mark.parametrize("load", [0, -1])
def test_a_load_below_one_is_refused(load):
    with pytest.raises(ParameterError, match="at least 1"):
        Cyclic(load)


def test_a_load_above_the_number_of_devices_is_refused():
    with pytest.raises(ParameterError, match="between 1 and the number of devices 10, not 11"):
        Cyclic(11).check(10, 2)
