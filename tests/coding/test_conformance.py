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


def test_messages_have_the_parts_that_the_code_says(code):
    assignment = code.assign(N, F, Streams(1), 0)
    gradients = np.random.default_rng(0).normal(size=(N, Q))
    messages = assignment.encode(gradients)
    assert len(assignment.weight_parts) == code.message_parts
    assert messages.shape == (N, code.message_parts * Q)
    expected = assignment.mixing_matrix(N) @ gradients
    np.testing.assert_allclose(messages[:, :Q], expected.real, atol=1e-12)
    np.testing.assert_allclose(messages[:, Q:], expected.imag[:, : messages.shape[1] - Q])


@pytest.fixture(params=sorted(kind for kind, cls in CODES.items() if hasattr(cls, "decode")))
def decoder(request):
    return CODES[request.param]()


def test_what_decodes_is_a_decoding_code_and_nothing_else_is(code):
    # Codes without a decoder leave the estimate to a rule.
    assert isinstance(code, DecodingCode) == hasattr(code, "decode")


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 1e-12)])
@pytest.mark.parametrize("num_byzantine", [0, F])
def test_a_decoder_recovers_the_mean_and_leaves_messages_alone(
    decoder, num_byzantine, dtype, tolerance
):
    for size in (N, N + 1):
        decoder.check(size, num_byzantine)
        gradients = np.random.default_rng(0).normal(size=(size, Q))
        assignment = decoder.assign(size, num_byzantine, Streams(1), 0)
        messages = assignment.encode(gradients).astype(dtype)
        before = messages.copy()
        decoded = decode(decoder, messages, assignment, num_byzantine)
        assert decoded.status == DecodeStatus.EXACT
        assert decoded.detail == ""
        assert decoded.gradient.dtype == dtype
        np.testing.assert_allclose(decoded.gradient, gradients.mean(axis=0), atol=tolerance)
        np.testing.assert_array_equal(messages, before)


@pytest.mark.parametrize("corruption", ["flipped", "identical", "tiny", "large", "overflowing"])
@pytest.mark.parametrize("num_wrong", [1, F])
def test_a_decoder_leaves_out_up_to_f_wrong_messages(decoder, num_wrong, corruption):
    rng = np.random.default_rng(1)
    gradients = rng.normal(size=(N, Q))
    assignment = decoder.assign(N, F, Streams(1), 7)
    messages = assignment.encode(gradients)
    wrong = rng.choice(N, num_wrong, replace=False)
    noise = rng.normal(size=(num_wrong, messages.shape[1]))
    messages[wrong] = {
        "flipped": -messages[wrong],
        "identical": noise[:1],
        "tiny": messages[wrong] + 1e-6 * noise,
        "large": 1e10 * noise,
        "overflowing": np.sign(noise) * np.finfo(float).max,
    }[corruption]
    decoded = decode(decoder, messages, assignment, F, iteration=7)
    assert decoded.status == DecodeStatus.EXACT
    assert set(wrong) <= set(decoded.located)
    assert len(decoded.located) <= F
    np.testing.assert_allclose(decoded.gradient, gradients.mean(axis=0), atol=1e-10)


@pytest.mark.parametrize("size", [1.0, 1e308])
def test_a_decoder_that_cannot_says_so_and_stays_finite(decoder, size):
    rng = np.random.default_rng(2)
    assignment = decoder.assign(N, F, Streams(1), 0)
    messages = size * rng.uniform(-1, 1, size=(N, decoder.message_parts * Q))
    decoded = decode(decoder, messages, assignment, F)
    assert decoded.status == DecodeStatus.FAILED
    assert decoded.detail
    assert decoded.gradient.shape == (Q,)
    assert np.isfinite(decoded.gradient).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_messages_near_overflow_never_raise_warn_or_make_the_result_infinite(decoder, dtype):
    for seed in range(40):
        rng = np.random.default_rng(seed)
        assignment = decoder.assign(N, F, Streams(1), 0)
        messages = assignment.encode(rng.normal(size=(N, Q)).astype(dtype))
        wrong = rng.choice(N, rng.integers(1, N), replace=False)
        exponents = rng.uniform(-4, 0, size=(len(wrong), 1))
        signs = rng.choice([-1.0, 1.0], size=(len(wrong), messages.shape[1]))
        messages[wrong] = float(np.finfo(dtype).max) * 10.0**exponents * signs
        decoded = decode(decoder, messages, assignment, F)
        assert np.isfinite(decoded.gradient).all()
        assert decoded.status == DecodeStatus.EXACT or len(wrong) > F


def test_messages_of_zeros_decode_to_zero(decoder):
    assignment = decoder.assign(N, F, Streams(1), 0)
    decoded = decode(decoder, np.zeros((N, decoder.message_parts * Q)), assignment, F)
    assert decoded.status == DecodeStatus.EXACT
    assert not decoded.gradient.any()


def decode(code, messages, assignment, num_byzantine, iteration=0):
    return code.decode(messages, assignment, num_byzantine, streams=Streams(1), iteration=iteration)
