"""Random sparsification."""

import itertools
import math

import numpy as np
import pytest

from lad_mpi.compression import Channel, RandK, Rejection
from lad_mpi.errors import ParameterError
from lad_mpi.rng import Streams


def channel(dimension, num_devices, dtype="float64"):
    return Channel(Streams(8), 2, 0, num_devices, dimension, np.dtype(dtype))


@pytest.mark.parametrize(("dimension", "k"), [(1, 1), (7, 3), (64, 64), (100, 30)])
def test_against_an_obvious_reference(dimension, k):
    wire = channel(dimension, 5)
    vectors = np.random.default_rng(0).standard_normal((5, dimension))
    payloads = RandK(k).encode(vectors, wire)
    decoded, _ = RandK(k).decode(payloads, wire)
    for i, words in enumerate(wire.words(dimension)):
        chosen = sorted(sorted(range(dimension), key=lambda j: words[j])[:k])
        assert payloads[i].tobytes() == vectors[i, chosen].astype("<f8").tobytes()
        expected = np.zeros(dimension)
        expected[chosen] = vectors[i, chosen] * (dimension / k)
        np.testing.assert_array_equal(decoded[i], expected)


class EqualWords:
    """Streams whose random words are all the same."""

    def words(self, purpose, iteration, count, *, first_device=0, num_devices=1):
        return np.full((num_devices, count), 2**63, dtype=np.uint64)


def test_exactly_k_are_sent_even_if_random_words_coincide():
    wire = Channel(EqualWords(), 0, 0, 2, 9, np.dtype("float64"))
    payloads = RandK(4).encode(np.tile(np.arange(9.0), (2, 1)), wire)
    decoded, _ = RandK(4).decode(payloads, wire)
    np.testing.assert_array_equal(decoded, [[0.0, 2.25, 4.5, 6.75, 0, 0, 0, 0, 0]] * 2)


def test_all_coordinates_are_sent_unchanged_when_k_is_the_dimension():
    vectors = np.random.default_rng(1).standard_normal((4, 33)).astype(np.float32)
    wire = channel(33, 4, "float32")
    decoded, _ = RandK(33).decode(RandK(33).encode(vectors, wire), wire)
    assert decoded.tobytes() == vectors.tobytes()
    assert RandK(33).delta(33) == 0


def test_every_coordinate_and_every_pair_is_chosen_as_often_as_any_other():
    # Bounds of 6 standard errors on 8 + 28 frequencies: a false alarm, had the
    # seed not been fixed, about once in 10⁷ runs.
    replicates, dimension, k = 20_000, 8, 3
    wire = channel(dimension, replicates)
    codec = RandK(k)
    decoded, _ = codec.decode(codec.encode(np.ones((replicates, dimension)), wire), wire)
    chosen = decoded != 0
    np.testing.assert_array_equal(chosen.sum(axis=1), k)
    frequencies = [(chosen[:, j].mean(), k / dimension) for j in range(dimension)]
    pair = k * (k - 1) / (dimension * (dimension - 1))
    frequencies += [
        ((chosen[:, i] & chosen[:, j]).mean(), pair)
        for i, j in itertools.combinations(range(dimension), 2)
    ]
    for found, expected in frequencies:
        assert abs(found - expected) < 6 * math.sqrt(expected * (1 - expected) / replicates)


def test_a_value_that_overflows_by_the_scaling_is_refused():
    wire = channel(4, 1)
    payload = np.array([[1e308]]).view(np.uint8)
    with np.errstate(all="raise"):
        decoded, rejections = RandK(1).decode(payload, wire)
    assert rejections.tolist() == [Rejection.NOT_FINITE]
    np.testing.assert_array_equal(decoded, 0)


def test_the_payload_is_k_values():
    assert RandK(30).payload_bytes(100, np.dtype("float64")) == 240
    assert RandK(30).payload_bytes(10**6, np.dtype("float32")) == 120
    assert RandK(30).delta(100) == pytest.approx(7 / 3)


def test_a_k_that_cannot_be_is_refused():
    with pytest.raises(ParameterError, match="at least 1, not 0"):
        RandK(0)
    RandK(100).check(100)
    with pytest.raises(ParameterError) as caught:
        RandK(120).check(100)
    assert str(caught.value) == "k: must be at most the dimension 100, not 120"
