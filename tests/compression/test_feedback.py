"""Error feedback."""

import numpy as np
import pytest

from lad_mpi.compression import CODECS, Cast, Channel, Sign, TopK
from lad_mpi.compression.feedback import correct, keep
from lad_mpi.rng import Streams

WITH_FEEDBACK = {
    "top_k": TopK(3, error_feedback=True),
    "sign": Sign(error_feedback=True),
    "cast": Cast(error_feedback=True),
}
SIGN_IN_BUCKETS = Sign(error_feedback=True, bucket=8)


def channel(iteration, dtype="float64"):
    return Channel(Streams(9), iteration, 0, 4, 10, np.dtype(dtype))


def send(codec, vectors, residuals, wire):
    corrected = correct(vectors, residuals)
    received, _ = codec.decode(codec.encode(corrected, wire), wire)
    return received, keep(corrected, received)


def test_codecs_that_are_biased_have_it_and_others_do_not():
    having = {kind for kind, cls in CODECS.items() if "error_feedback" in cls.__slots__}
    assert having == set(WITH_FEEDBACK) == {k for k, cls in CODECS.items() if not cls.unbiased}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("codec", [*WITH_FEEDBACK.values(), SIGN_IN_BUCKETS], ids=str)
def test_what_was_received_and_what_is_left_is_all_that_there_was(codec, dtype):
    generator = np.random.default_rng(0)
    total, arrived, residuals = np.zeros((4, 10)), np.zeros((4, 10)), None
    for iteration in range(50):
        vectors = generator.standard_normal((4, 10)).astype(dtype)
        before = None if residuals is None else residuals.copy()
        received, later = send(codec, vectors, residuals, channel(iteration, dtype))
        assert received.dtype == later.dtype == np.dtype(dtype)
        if before is not None:
            np.testing.assert_array_equal(residuals, before)
        residuals = later
        total += vectors
        arrived += received
        rounding = 20 * (iteration + 1) * np.finfo(dtype).eps
        np.testing.assert_allclose(arrived + residuals, total, rtol=0, atol=rounding)


@pytest.mark.parametrize(
    "codec", [WITH_FEEDBACK["top_k"], WITH_FEEDBACK["sign"], SIGN_IN_BUCKETS], ids=str
)
def test_a_constant_vector_arrives_on_average_only_with_it(codec):
    vectors = np.tile(np.linspace(-1.0, 2.0, 10), (4, 1))
    sums, residuals = {"with": 0.0, "without": 0.0}, None
    for iteration in range(400):
        received, residuals = send(codec, vectors, residuals, channel(iteration))
        sums["with"] += received / 400
        sums["without"] += send(codec, vectors, None, channel(iteration))[0] / 400
    assert np.abs(sums["with"] - vectors).max() < 0.05
    assert np.abs(sums["without"] - vectors).max() > 0.3


def test_without_residuals_the_vectors_are_sent_as_they_are():
    vectors = np.ones((2, 3))
    np.testing.assert_array_equal(correct(vectors, None), vectors)
    np.testing.assert_array_equal(correct(vectors, np.full((2, 3), 0.5)), 1.5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_residuals_are_the_same_bits_as_zeros(dtype):
    # A checkpoint before the first message holds zeros where a run that goes straight has none.
    vectors = np.array([[0.0, -0.0, -1.5]], dtype=dtype)
    corrected = correct(vectors, None)
    assert corrected.dtype == np.dtype(dtype)
    assert corrected.tobytes() == correct(vectors, np.zeros_like(vectors)).tobytes()
    assert not np.shares_memory(corrected, vectors)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_residual_that_is_not_finite_is_given_up_and_others_are_kept(value):
    vectors = np.ones((2, 3))
    vectors[0, 1] = value
    with np.errstate(all="raise"):
        left = keep(vectors, np.zeros((2, 3)))
    np.testing.assert_array_equal(left, [[0, 0, 0], [1, 1, 1]])


def test_a_sum_that_overflows_neither_raises_nor_warns():
    largest = np.full((1, 2), np.finfo(float).max)
    with np.errstate(all="raise"):
        corrected = correct(largest, largest)
        np.testing.assert_array_equal(keep(corrected, np.zeros((1, 2))), 0)
    assert np.isinf(corrected).all()


def test_what_the_receiver_refuses_is_kept_whole():
    codec = Cast("float16", error_feedback=True)
    wire = Channel(Streams(9), 0, 0, 1, 2, np.dtype("float64"))
    received, left = send(codec, np.array([[1e6, 0.5]]), None, wire)
    assert received.tolist() == [[0, 0]]
    assert left.tolist() == [[1e6, 0.5]]
