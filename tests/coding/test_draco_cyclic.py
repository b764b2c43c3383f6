"""The published cyclic code: its matrix, its decoder, and the precision that it runs out of."""

import numpy as np
import pytest

from lad_mpi.coding import DecodeStatus, DracoCyclic
from lad_mpi.coding.draco_cyclic import encoding_weights
from lad_mpi.errors import ParameterError
from lad_mpi.rng import Streams

CODE = DracoCyclic()
STREAMS = Streams(4)
Q = 50


def trial(num_devices, num_byzantine, corruption, seed, *, num_wrong=None):
    """Return devices in the wrong, what the decoder says, and its relative error."""
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(num_devices, Q))
    assignment = CODE.assign(num_devices, num_byzantine, STREAMS, seed)
    messages = assignment.encode(gradients)
    wrong = rng.choice(
        num_devices, num_byzantine if num_wrong is None else num_wrong, replace=False
    )
    noise = rng.normal(size=(len(wrong), 2 * Q))
    messages[wrong] = {
        "sign_flip": -messages[wrong],
        "identical": np.tile(noise[:1], (len(wrong), 1)),
        "tiny": messages[wrong] + 1e-8 * noise,
        "large": 1e8 * noise,
    }[corruption]
    decoded = CODE.decode(messages, assignment, num_byzantine, streams=STREAMS, iteration=seed)
    truth = gradients.mean(axis=0)
    error = np.linalg.norm(decoded.gradient - truth) / np.linalg.norm(truth)
    return set(wrong), decoded, error


@pytest.mark.parametrize(("num_devices", "num_byzantine"), [(7, 1), (15, 2), (16, 3), (9, 4)])
def test_the_matrix_is_the_published_one(num_devices, num_byzantine):
    fourier = np.exp(
        -2j * np.pi * np.outer(np.arange(num_devices), np.arange(num_devices)) / num_devices
    ) / np.sqrt(num_devices)
    kept = num_devices - 2 * num_byzantine
    support = CODE.assign(num_devices, num_byzantine, STREAMS, 0).subsets
    expected = np.empty((num_devices, num_devices), dtype=complex)
    for subset in range(num_devices):
        others = [i for i in range(num_devices) if subset not in support[i]]
        # Constant term 1 and zeros at the devices that do not hold the subset.
        solution = np.linalg.solve(
            np.vstack([np.eye(kept)[0], fourier[others, :kept]]), np.eye(kept)[0]
        )
        expected[:, subset] = fourier[:, :kept] @ solution
    matrix = CODE.assign(num_devices, num_byzantine, STREAMS, 0).mixing_matrix(num_devices)
    np.testing.assert_allclose(matrix * np.sqrt(num_devices), expected, atol=1e-9)
    np.testing.assert_allclose(fourier[:, kept:].conj().T @ matrix, 0, atol=1e-11)


@pytest.mark.parametrize("corruption", ["sign_flip", "identical", "tiny", "large"])
def test_small_codes_are_exact(corruption):
    for seed in range(20):
        wrong, decoded, error = trial(15, 2, corruption, seed)
        assert decoded.status == DecodeStatus.EXACT
        assert set(decoded.located) == wrong
        assert error < 1e-13


@pytest.mark.parametrize("num_wrong", [0, 1, 4])
def test_fewer_wrong_messages_than_f_are_left_out_too(num_wrong):
    for seed in range(10):
        wrong, decoded, error = trial(45, 5, "sign_flip", seed, num_wrong=num_wrong)
        assert decoded.status == DecodeStatus.EXACT
        assert wrong <= set(decoded.located)
        assert error < 1e-9


def test_more_wrong_messages_than_f_are_reported():
    _, decoded, _ = trial(15, 2, "large", 0, num_wrong=3)
    assert decoded.status == DecodeStatus.FAILED
    assert "inconsistent" in decoded.detail


def test_a_hundred_devices_with_five_faults_keep_half_of_the_digits():
    errors = [trial(100, 5, "sign_flip", seed) for seed in range(20)]
    assert all(decoded.status == DecodeStatus.EXACT for _, decoded, _ in errors)
    assert 1e-9 < np.median([error for *_, error in errors]) < 1e-6


@pytest.mark.parametrize("corruption", ["sign_flip", "identical", "tiny", "large"])
def test_a_hundred_devices_with_twenty_faults_are_beyond_float64_and_the_status_says_so(
    corruption,
):
    assert np.abs(encoding_weights(100, 41)).max() * np.sqrt(100) > 1e12
    for seed in range(20):
        _, decoded, error = trial(100, 20, corruption, seed)
        assert decoded.status == DecodeStatus.FAILED
        assert decoded.detail
        assert error > 1e-5


def test_without_any_wrong_message_rounding_alone_is_named_as_the_reason():
    _, decoded, error = trial(100, 20, "sign_flip", 0, num_wrong=0)
    assert decoded.status == DecodeStatus.FAILED
    assert decoded.detail.startswith("rounding alone")
    assert error > 1e-5


def test_too_few_devices_are_refused():
    with pytest.raises(ParameterError, match="needs 2f\\+1 = 9 devices, and there are 8"):
        CODE.check(8, 4)
