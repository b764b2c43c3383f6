"""Scaled signs."""

import math

import numpy as np
import pytest

from lad_mpi.compression import Channel, Rejection, Sign
from lad_mpi.compression.bits import pack_bits
from lad_mpi.compression.rows import PIECE_COORDINATES
from lad_mpi.rng import Streams

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def channel(dimension, num_devices, dtype="float64"):
    return Channel(Streams(9), 1, 0, num_devices, dimension, np.dtype(dtype))


def payload(scale, bits, dtype="float64"):
    number = np.array([scale], np.dtype(dtype).newbyteorder("<")).view(np.uint8)
    return np.concatenate([number, pack_bits(np.array([bits]), 1)[0]])[None]


def decode_one(message, dimension, dtype="float64"):
    with np.errstate(all="raise"):
        vectors, rejections = Sign().decode(message, channel(dimension, len(message), dtype))
    if rejections[0]:
        np.testing.assert_array_equal(vectors, 0)
    return vectors[0], rejections[0]


@DTYPES
@pytest.mark.parametrize("dimension", [1, 7, 8, 9, 101, PIECE_COORDINATES + 3])
def test_against_an_obvious_reference(dimension, dtype):
    vectors = np.random.default_rng(2).standard_normal((3, dimension)).astype(dtype)
    vectors[0, :: max(1, dimension // 3)] = 0
    message = Sign().encode(vectors, channel(dimension, 3, dtype))
    decoded, rejections = Sign().decode(message, channel(dimension, 3, dtype))
    np.testing.assert_array_equal(rejections, 0)
    for sent, vector, row in zip(message, vectors, decoded, strict=True):
        scale = np.dtype(dtype).type(math.fsum(abs(float(x)) for x in vector) / dimension)
        found = abs(row[0])
        assert found == pytest.approx(scale, rel=2 * float(np.finfo(dtype).eps))
        np.testing.assert_array_equal(sent[None], payload(found, vector < 0, dtype))
        np.testing.assert_array_equal(row, np.where(vector < 0, -found, found))


@DTYPES
@pytest.mark.parametrize(
    ("dimension", "bucket"),
    [(7, 8), (9, 8), (101, 16), (200, 72), (PIECE_COORDINATES + 3, 4096), (40_000, 16_392)],
)
def test_buckets_are_vectors_of_their_own(dimension, bucket, dtype):
    vectors = np.random.default_rng(2).standard_normal((3, dimension)).astype(dtype)
    vectors[0, :8], vectors[1, 0], vectors[2, -1] = 0, -np.inf, np.nan
    wire, codec = channel(dimension, 3, dtype), Sign(bucket=bucket)
    parts = [
        Sign().encode(part, channel(part.shape[1], 3, dtype))
        for part in np.split(vectors, range(bucket, dimension, bucket), axis=1)
    ]
    message = codec.encode(vectors, wire)
    np.testing.assert_array_equal(message, np.concatenate(parts, axis=1))
    decoded, rejections = codec.decode(message, wire)
    refused = Rejection.NOT_FINITE
    assert rejections.tolist() == [Rejection.NONE, refused, refused]
    expected = [
        Sign().decode(part, channel(count, 3, dtype))[0][0]
        for part, count in zip(
            parts, np.diff([*range(0, dimension, bucket), dimension]), strict=True
        )
    ]
    np.testing.assert_array_equal(decoded[0], np.concatenate(expected))
    assert not decoded[1:].any()


def test_smaller_buckets_lose_no_more():
    vectors = np.random.default_rng(3).standard_normal((5, 200)) ** 3
    lost = []
    for bucket in (None, 64, 32, 16, 8):
        codec, wire = Sign(bucket=bucket), channel(200, 5)
        decoded, _ = codec.decode(codec.encode(vectors, wire), wire)
        lost.append(((decoded - vectors) ** 2).sum(axis=1))
        largest = bucket or 200
        assert (lost[-1] <= (1 - 1 / largest) * (vectors**2).sum(axis=1)).all()
    assert (np.diff(lost, axis=0) < 0).all()


@DTYPES
def test_it_loses_what_its_law_says(dtype):
    vectors = np.random.default_rng(3).standard_normal((5, 200)).astype(dtype)
    wire = channel(200, 5, dtype)
    decoded, _ = Sign().decode(Sign().encode(vectors, wire), wire)
    squares = (vectors.astype(float) ** 2).sum(axis=1)
    kept = np.abs(vectors.astype(float)).sum(axis=1) ** 2 / 200
    lost = ((decoded.astype(float) - vectors) ** 2).sum(axis=1)
    np.testing.assert_allclose(lost, squares - kept, rtol=1e-5)


@DTYPES
@pytest.mark.parametrize("dimension", [1, 3, 7, 1000, 3 * PIECE_COORDINATES + 1])
def test_equal_magnitudes_arrive_exactly_whatever_their_size(dimension, dtype):
    limits = np.finfo(dtype)
    signs = np.where(np.arange(dimension) % 3 == 1, -1, 1)
    for magnitude in (1 / 3, math.pi, limits.max, limits.tiny, limits.smallest_subnormal):
        vectors = (np.array([magnitude], dtype=dtype) * signs)[None].astype(dtype)
        with np.errstate(all="raise"):
            message = Sign().encode(vectors, channel(dimension, 1, dtype))
        decoded, rejection = decode_one(message, dimension, dtype)
        assert rejection == Rejection.NONE
        np.testing.assert_array_equal(decoded, vectors[0])


@DTYPES
def test_both_zeros_count_as_positive_beside_other_numbers(dtype):
    vectors = np.array([[1.0, -0.0, 0.0, -1.0]], dtype=dtype)
    message = Sign().encode(vectors, channel(4, 1, dtype))
    np.testing.assert_array_equal(message, payload(0.5, [0, 0, 0, 1], dtype))


def test_zero_has_one_message_and_so_has_what_is_too_small():
    smallest = np.finfo(float).smallest_subnormal
    for vector in ([0.0, -0.0, 0.0], [-smallest, 0.0, -0.0]):
        message = Sign().encode(np.array([vector]), channel(3, 1))
        np.testing.assert_array_equal(message, payload(0.0, [0, 0, 0]))
        decoded, rejection = decode_one(message, 3)
        assert rejection == Rejection.NONE
        assert decoded.tobytes() == np.zeros(3).tobytes()


@pytest.mark.parametrize(
    ("scale", "bits", "reason"),
    [
        (2.0, [0, 1, 1], Rejection.NONE),
        (2.0, [0, 0, 0], Rejection.NONE),
        (0.0, [0, 0, 0], Rejection.NONE),
        (0.0, [0, 1, 0], Rejection.SCALE),
        (-0.0, [0, 0, 0], Rejection.SCALE),
        (-2.0, [0, 1, 0], Rejection.SCALE),
        (math.nan, [0, 0, 0], Rejection.NOT_FINITE),
        (math.inf, [0, 0, 0], Rejection.NOT_FINITE),
        (-math.inf, [1, 0, 0], Rejection.NOT_FINITE),
        (np.finfo(float).max, [1, 1, 0], Rejection.NONE),
    ],
)
def test_what_is_refused_and_why(scale, bits, reason):
    decoded, rejection = decode_one(payload(scale, bits), 3)
    assert rejection == reason
    if reason == Rejection.NONE:
        np.testing.assert_array_equal(decoded, scale * (1 - 2.0 * np.array(bits)))


@pytest.mark.parametrize("bit", range(3, 8))
def test_padding_must_be_zero(bit):
    message = payload(2.0, [0, 1, 1])
    message[0, -1] |= 1 << bit
    assert decode_one(message, 3)[1] == Rejection.PADDING
