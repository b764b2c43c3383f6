"""The repetition code: exact recovery from any f faults, and honest failure beyond."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.coding import DecodeStatus, DracoRepetition
from lad_mpi.coding.draco_repetition import majority_candidate
from lad_mpi.errors import ParameterError
from lad_mpi.rng import Streams

STREAMS = Streams(3)


@given(
    num_devices=st.integers(1, 60),
    num_byzantine=st.integers(0, 12),
    corruption=st.sampled_from(["identical", "distinct", "tiny", "huge", "zero"]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=120, deadline=None)
def test_up_to_f_faults_of_any_kind_leave_the_exact_gradient(
    num_devices, num_byzantine, corruption, seed
):
    num_byzantine = min(num_byzantine, (num_devices - 1) // 2)
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(num_devices, 4))
    code = DracoRepetition()
    assignment = code.assign(num_devices, num_byzantine, STREAMS, 0)
    messages = assignment.encode(gradients)
    faulty = rng.choice(num_devices, num_byzantine, replace=False)
    noise = rng.normal(size=(num_byzantine, 4))
    messages[faulty] = {
        "identical": np.ones((num_byzantine, 4)),
        "distinct": noise,
        "tiny": np.nextafter(messages[faulty], np.inf),
        "huge": 1e300 * noise,
        "zero": np.zeros((num_byzantine, 4)),
    }[corruption]
    decoded = code.decode(messages, assignment, num_byzantine, streams=STREAMS, iteration=0)
    assert decoded.status == DecodeStatus.EXACT
    np.testing.assert_allclose(decoded.gradient, gradients.mean(axis=0), rtol=1e-12, atol=1e-14)
    assert decoded.located == tuple(sorted(faulty))


def test_the_published_example_has_two_groups_of_fifty():
    code = DracoRepetition()
    assignment = code.assign(100, 20, STREAMS, 0)
    assert code.group_bounds(100, 20).tolist() == [0, 50, 100]
    assert assignment.loads.tolist() == [50] * 100


@given(num_devices=st.integers(1, 200), num_byzantine=st.integers(0, 40))
@settings(max_examples=80, deadline=None)
def test_groups_are_even_large_enough_and_cover_all_subsets_once(num_devices, num_byzantine):
    num_byzantine = min(num_byzantine, (num_devices - 1) // 2)
    assignment = DracoRepetition().assign(num_devices, num_byzantine, STREAMS, 0)
    loads = assignment.loads
    assert loads.min() >= 2 * num_byzantine + 1
    assert loads.max() - loads.min() <= 1
    groups = {tuple(row[row >= 0]) for row in assignment.subsets}
    assert sorted(np.concatenate([np.array(group) for group in groups])) == list(range(num_devices))


def test_more_faults_than_assumed_are_reported_and_not_hidden():
    code = DracoRepetition()
    gradients = np.arange(10.0)[:, None]
    assignment = code.assign(10, 1, STREAMS, 0)
    messages = assignment.encode(gradients)
    messages[0], messages[1] = 98.0, 99.0
    decoded = code.decode(messages, assignment, 1, streams=STREAMS, iteration=0)
    assert decoded.status == DecodeStatus.FAILED
    assert decoded.detail.startswith("group 0")


@pytest.mark.parametrize("load", [4, 101])
def test_a_load_that_cannot_decode_is_refused(load):
    with pytest.raises(ParameterError, match="between 2f\\+1 = 41 and the number of devices 100"):
        DracoRepetition(load).check(100, 20)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=25))
@settings(max_examples=100, deadline=None)
def test_the_candidate_is_the_majority_wherever_there_is_one(values):
    members = np.array(values, dtype=float)[:, None]
    majority = [v for v in set(values) if 2 * values.count(v) > len(values)]
    if majority:
        assert values[majority_candidate(members)] == majority[0]
