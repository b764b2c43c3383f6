"""The centred cyclic code: its spectrum, its decoder, and where that ends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.coding import DecodeStatus, DracoCyclicReal
from lad_mpi.coding.checks import fourier_checks, honest_combination
from lad_mpi.coding.draco_cyclic_real import window_weights
from lad_mpi.errors import ParameterError
from lad_mpi.rng import Purpose, Streams

CODE = DracoCyclicReal()
Q = 50
SIZES = [(15, 2), (45, 5), (100, 5), (100, 20)]


def corrupt(honest, corruption, rng):
    noise = rng.normal(size=honest.shape)
    return {
        "sign_flip": -honest,
        "identical": np.tile(noise[:1], (len(honest), 1)),
        "shared": honest + noise[:1],
        "tiny": honest + 1e-8 * noise,
        "large": 1e8 * noise,
        "scattered": honest + 10.0 ** rng.uniform(-8, 20, (len(honest), 1)) * noise,
    }[corruption]


def trial(num_devices, num_byzantine, corruption, seed, *, num_wrong=None, contiguous=False):
    """Return devices in the wrong, what the decoder says, and its relative error."""
    rng, streams = np.random.default_rng(seed), Streams(seed)
    gradients = rng.normal(size=(num_devices, Q))
    assignment = CODE.assign(num_devices, num_byzantine, streams, seed)
    messages = assignment.encode(gradients)
    count = num_byzantine if num_wrong is None else num_wrong
    wrong = rng.choice(num_devices, count, replace=False)
    if contiguous:
        wrong = np.argsort(assignment.subsets[:, 0])[(seed + np.arange(count)) % num_devices]
    if count:
        messages[wrong] = corrupt(messages[wrong], corruption, rng)
    decoded = CODE.decode(messages, assignment, num_byzantine, streams=streams, iteration=seed)
    truth = gradients.mean(axis=0)
    error = np.linalg.norm(decoded.gradient - truth) / np.linalg.norm(truth)
    return set(wrong), decoded, error


@given(num_byzantine=st.integers(0, 30), margin=st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_the_weights_are_positive_of_sum_one_and_their_spectrum_has_a_centred_stopband(
    num_byzantine, margin
):
    size = 2 * num_byzantine + margin
    assignment = CODE.assign(size, num_byzantine, Streams(0), 0)
    assert assignment.loads[0] == 2 * num_byzantine + 1 + (size % 2 == 0)
    weights = window_weights(size, assignment.loads[0])
    assert (weights > 0).all()
    np.testing.assert_allclose(weights, weights[::-1], rtol=1e-9)
    spectrum = np.abs(np.fft.fft(weights, size))
    half_width = (assignment.loads[0] - 1) / 2
    stopped = np.abs(np.arange(size) - size / 2) < half_width
    assert stopped.sum() == assignment.loads[0] - 1
    assert (spectrum[stopped] < 1e-13).all()
    assert spectrum[0] == pytest.approx(1.0)


def test_devices_take_the_rows_of_a_permutation_that_changes_every_iteration():
    streams = Streams(5)
    assignment = CODE.assign(15, 2, streams, 8)
    rows = streams.permutation(Purpose.DEVICE_ROWS, 8, 15)
    np.testing.assert_array_equal(assignment.subsets, (rows[:, None] + np.arange(5)) % 15)
    assert CODE.varies
    assert (assignment.subsets != CODE.assign(15, 2, streams, 9).subsets).any()


@pytest.mark.parametrize(("num_devices", "num_byzantine"), SIZES)
@pytest.mark.parametrize(
    "corruption", ["sign_flip", "identical", "shared", "tiny", "large", "scattered"]
)
def test_wrong_rows_at_random_are_all_located_and_the_gradient_is_exact(
    num_devices, num_byzantine, corruption
):
    for seed in range(100 if num_byzantine == 20 else 30):
        wrong, decoded, error = trial(num_devices, num_byzantine, corruption, seed)
        assert decoded.status == DecodeStatus.EXACT, seed
        assert set(decoded.located) == wrong
        assert error < 1e-10


@pytest.mark.parametrize("num_wrong", [0, 1, 10, 19])
@pytest.mark.parametrize("corruption", ["sign_flip", "shared"])
def test_fewer_wrong_rows_than_f_are_located_and_no_others(num_wrong, corruption):
    for seed in range(10):
        wrong, decoded, error = trial(100, 20, corruption, seed, num_wrong=num_wrong)
        assert decoded.status == DecodeStatus.EXACT, seed
        assert set(decoded.located) == wrong
        assert error < 1e-10


@pytest.mark.parametrize("corruption", ["sign_flip", "identical", "large", "shared"])
def test_more_wrong_rows_than_f_are_reported(corruption):
    for seed in range(4):
        _, decoded, _ = trial(45, 5, corruption, seed, num_wrong=7)
        assert decoded.status == DecodeStatus.FAILED
        assert "inconsistent" in decoded.detail
        assert len(decoded.located) <= 5


def test_contiguous_rows_defeat_the_decoder_which_says_so():
    for seed in range(2):
        wrong, decoded, error = trial(100, 20, "shared", seed, contiguous=True)
        assert set(decoded.located) != wrong
        assert decoded.status == DecodeStatus.FAILED
        assert error > 1e-3


def test_contiguous_rows_are_nearly_invisible_to_the_checks():
    checks, _ = fourier_checks(np.arange(100), 30, 41)
    scattered = np.random.default_rng(0).choice(100, 20, replace=False)

    def least_visible(rows):
        return np.linalg.svd(checks[:, rows], compute_uv=False)[-1]

    assert least_visible(np.arange(20)) < 2e-9
    assert least_visible(scattered) > 1e-3


def test_errors_below_rounding_are_left_in_and_do_no_harm():
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(45, Q))
    assignment = CODE.assign(45, 5, Streams(0), 0)
    messages = assignment.encode(gradients)
    messages[:5] = np.nextafter(messages[:5], np.inf)
    decoded = CODE.decode(messages, assignment, 5, streams=Streams(0), iteration=0)
    assert decoded.status == DecodeStatus.EXACT
    np.testing.assert_allclose(decoded.gradient, gradients.mean(axis=0), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("scale", [1e-200, 1e-6, 1e150])
def test_the_unit_of_the_messages_does_not_matter(scale):
    gradients = scale * np.random.default_rng(0).normal(size=(45, Q))
    assignment = CODE.assign(45, 5, Streams(0), 0)
    messages = assignment.encode(gradients)
    messages[3:8] *= -1
    decoded = CODE.decode(messages, assignment, 5, streams=Streams(0), iteration=0)
    assert decoded.status == DecodeStatus.EXACT
    assert decoded.located == (3, 4, 5, 6, 7)
    np.testing.assert_allclose(decoded.gradient / scale, gradients.mean(axis=0) / scale, atol=1e-12)


def test_the_combination_is_what_subtracting_the_least_squares_errors_gives():
    rng = np.random.default_rng(0)
    checks, _ = fourier_checks(rng.permutation(45), 18, 10)
    located = np.array([2, 11, 30])
    messages = rng.normal(size=(45, 3))
    errors = np.linalg.lstsq(checks[:, located], checks @ messages, rcond=None)[0]
    expected = (messages.sum(axis=0) - errors.sum(axis=0)) / 45
    weights = honest_combination(checks, located)
    np.testing.assert_allclose(weights @ messages, expected, atol=1e-13)
    assert not weights[located].any()


def test_more_load_than_needed_still_decodes():
    code = DracoCyclicReal(load=21)
    code.check(45, 5)
    gradients = np.random.default_rng(0).normal(size=(45, Q))
    assignment = code.assign(45, 5, Streams(0), 0)
    messages = assignment.encode(gradients)
    messages[10:15] += 1.0
    decoded = code.decode(messages, assignment, 5, streams=Streams(0), iteration=0)
    assert decoded.located == (10, 11, 12, 13, 14)
    np.testing.assert_allclose(decoded.gradient, gradients.mean(axis=0), atol=1e-13)


@pytest.mark.parametrize(
    ("load", "num_devices"), [(40, 101), (39, 101), (43, 100), (40, 100), (102, 100)]
)
def test_a_load_that_cannot_decode_is_refused(load, num_devices):
    with pytest.raises(ParameterError, match="between 2f\\+1 = 41 and the number of devices"):
        DracoCyclicReal(load).check(num_devices, 20)
