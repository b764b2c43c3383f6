"""What every code has to promise."""

import dataclasses
import importlib
import pkgutil

import numpy as np
import pytest

import lad_mpi.coding
from lad_mpi.coding import CODES, Code, DecodeStatus, DecodingCode
from lad_mpi.rng import Streams

N, F, Q = 23, 3, 5


@pytest.fixture(params=sorted(CODES))
def code(request):
    return CODES[request.param]()


def test_the_table_is_complete():
    found = set()
    for module in pkgutil.iter_modules(lad_mpi.coding.__path__):
        contents = vars(importlib.import_module(f"lad_mpi.coding.{module.name}"))
        found |= {
            value
            for value in contents.values()
            if dataclasses.is_dataclass(value) and hasattr(value, "kind")
        }
    assert found == set(CODES.values())
    assert all(cls.kind == kind for kind, cls in CODES.items())


def test_it_is_a_frozen_value(code):
    assert isinstance(code, Code)
    assert code == dataclasses.replace(code)
    assert hash(code) == hash(dataclasses.replace(code))


def test_the_assignment_is_a_function_of_seed_and_iteration(code):
    code.check(N, F)
    one = code.assign(N, F, Streams(1), 4)
    two = code.assign(N, F, Streams(1), 4)
    np.testing.assert_array_equal(one.subsets, two.subsets)
    np.testing.assert_array_equal(one.weights, two.weights)
    if not code.varies:
        np.testing.assert_array_equal(one.subsets, code.assign(N, F, Streams(1), 5).subsets)


def test_padding_comes_last_and_subsets_are_distinct(code):
    assignment = code.assign(N, F, Streams(1), 0)
    for row, load in zip(assignment.subsets, assignment.loads, strict=True):
        assert (row[:load] >= 0).all()
        assert (row[load:] == -1).all()
        assert len(set(row[:load])) == load


def test_without_faults_equal_gradients_are_sent_as_they_are(code):
    assignment = code.assign(N, F, Streams(1), 0)
    np.testing.assert_allclose(assignment.mixing_matrix(N).sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_decoder_recovers_the_mean_and_leaves_messages_alone(code, dtype):
    if not isinstance(code, DecodingCode):
        # Codes without a decoder leave the estimate to a rule.
        assert not hasattr(code, "decode")
        return
    gradients = np.random.default_rng(0).normal(size=(N, Q))
    assignment = code.assign(N, F, Streams(1), 0)
    # Members of a group must agree in every bit, as devices that compute alike do.
    messages = np.stack([row @ gradients for row in assignment.mixing_matrix(N)]).astype(dtype)
    before = messages.copy()
    decoded = code.decode(messages, assignment, F)
    assert decoded.status == DecodeStatus.EXACT
    assert decoded.gradient.dtype == dtype
    np.testing.assert_allclose(decoded.gradient, gradients.mean(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(messages, before)
