"""Sparsification by size."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.compression import Channel, Rejection, TopK
from lad_mpi.compression.bits import pack_bits, unpack_bits
from lad_mpi.errors import ParameterError
from lad_mpi.rng import Streams


def channel(dimension, num_devices, dtype="float64"):
    return Channel(Streams(0), 0, 0, num_devices, dimension, np.dtype(dtype))


def payload(values, indices, width):
    return np.concatenate(
        [np.array(values, "<f8").view(np.uint8), pack_bits(np.array([indices]), width)[0]]
    )[None]


def decode_one(codec, message, dimension):
    with np.errstate(all="raise"):
        vectors, rejections = codec.decode(message, channel(dimension, 1))
    if rejections[0]:
        np.testing.assert_array_equal(vectors, 0)
    return vectors[0], rejections[0]


def reference(vector, k):
    """Sort by magnitude, then by index."""
    order = sorted(range(len(vector)), key=lambda j: (-abs(vector[j]), j))
    kept = np.zeros_like(vector)
    kept[order[:k]] = vector[order[:k]]
    return kept, sorted(order[:k])


@given(data=st.data(), dimension=st.integers(1, 20), integers=st.booleans())
@settings(max_examples=60, deadline=None)
def test_against_an_obvious_reference(data, dimension, integers):
    # Small integers make many ties.
    k = data.draw(st.integers(1, dimension))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    vectors = generator.standard_normal((5, dimension))
    if integers:
        vectors = generator.integers(-2, 3, (5, dimension)).astype(float)
    wire = channel(dimension, 5)
    payloads = TopK(k).encode(vectors, wire)
    decoded, rejections = TopK(k).decode(payloads, wire)
    np.testing.assert_array_equal(rejections, 0)
    sent, _ = unpack_bits(payloads[:, 8 * k :], k, (dimension - 1).bit_length())
    for i in range(5):
        kept, indices = reference(vectors[i], k)
        np.testing.assert_array_equal(decoded[i], kept)
        assert sent[i].tolist() == indices


def test_what_was_accepted_is_sent_on_byte_for_byte():
    vectors = np.random.default_rng(1).standard_normal((6, 50))
    codec, wire = TopK(9), channel(50, 6)
    payloads = codec.encode(vectors, wire)
    np.testing.assert_array_equal(codec.encode(codec.decode(payloads, wire)[0], wire), payloads)


@pytest.mark.parametrize(
    ("values", "indices", "reason"),
    [
        ([1.0, 2.0], [0, 4], Rejection.NONE),
        ([1.0, 2.0], [3, 3], Rejection.INDEX),
        ([1.0, 2.0], [4, 1], Rejection.INDEX),
        ([1.0, 2.0], [0, 5], Rejection.INDEX),
        ([1.0, 2.0], [6, 7], Rejection.INDEX),
        ([1.0, math.nan], [0, 4], Rejection.NOT_FINITE),
        ([-math.inf, 2.0], [0, 4], Rejection.NOT_FINITE),
    ],
)
def test_what_is_refused_and_why(values, indices, reason):
    decoded, rejection = decode_one(TopK(2), payload(values, indices, 3), 5)
    assert rejection == reason
    if reason == Rejection.NONE:
        np.testing.assert_array_equal(decoded, [1, 0, 0, 0, 2])


def test_padding_must_be_zero():
    message = payload([1.0, 2.0], [0, 4], 3)
    message[0, -1] |= 0x80
    assert decode_one(TopK(2), message, 5)[1] == Rejection.PADDING


def test_a_vector_of_one_coordinate_needs_no_index():
    assert TopK(1).payload_bytes(1, np.dtype("float64")) == 8
    decoded, _ = decode_one(TopK(1), TopK(1).encode(np.array([[-2.5]]), channel(1, 1)), 1)
    assert decoded.tolist() == [-2.5]


@pytest.mark.parametrize(
    ("dimension", "bits"), [(1, 0), (2, 1), (3, 2), (100, 7), (128, 7), (129, 8), (2**20 + 1, 21)]
)
def test_the_payload_is_k_values_and_their_indices(dimension, bits):
    for k in (1, min(dimension, 30)):
        expected = math.ceil(k * bits / 8)
        assert TopK(k).payload_bytes(dimension, np.dtype("float64")) == 8 * k + expected
        assert TopK(k).payload_bytes(dimension, np.dtype("float32")) == 4 * k + expected


def test_it_contracts():
    vectors = np.random.default_rng(6).standard_normal((20, 40))
    wire = channel(40, 20)
    decoded, _ = TopK(10).decode(TopK(10).encode(vectors, wire), wire)
    lost = ((decoded - vectors) ** 2).sum(axis=1)
    assert (lost <= (1 - 10 / 40) * (vectors**2).sum(axis=1)).all()


def test_a_k_that_cannot_be_is_refused():
    with pytest.raises(ParameterError, match="at least 1, not 0"):
        TopK(0)
    TopK(100).check(100)
    with pytest.raises(ParameterError) as caught:
        TopK(120).check(100)
    assert str(caught.value) == "k: must be at most the dimension 100, not 120"
