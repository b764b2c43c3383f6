"""Compiled kernels against NumPy, bit for bit; each codec's own test has its reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.compression import Channel, Qsgd
from lad_mpi.compression.bits import unpack_bits
from lad_mpi.compression.kernels import BLOCK_COORDINATES as BLOCK
from lad_mpi.compression.kernels import random_words
from lad_mpi.rng import Streams


@given(
    seed=st.integers(0, 2**64 - 1),
    iteration=st.integers(0, 2**63 - 1),
    first_device=st.integers(0, 2**31),
    count=st.integers(1, 40),
)
@settings(max_examples=60, deadline=None)
def test_words_are_those_of_the_keyed_streams(seed, iteration, first_device, count):
    wire = Channel(Streams(seed), iteration, first_device, 3, count, np.dtype("float64"))
    np.testing.assert_array_equal(random_words(count, wire), wire.words(count))
    rows = np.array([2, 0])
    some = Channel(Streams(seed), iteration, first_device, 3, count, np.dtype("float64"), rows)
    np.testing.assert_array_equal(random_words(count, some), wire.words(count)[rows])


@pytest.mark.parametrize("width", range(2, 33))
@pytest.mark.parametrize("dimension", [1, 63, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 17])
def test_codes_of_every_width_are_packed_as_numpy_packs_them(width, dimension):
    levels = 2 ** (width - 1) - 1
    assert (2 * levels).bit_length() == width
    codec, wire = Qsgd(levels), Channel(Streams(1), 0, 0, 2, dimension, np.dtype("float64"))
    payloads = codec.encode(np.random.default_rng(0).standard_normal((2, dimension)), wire)
    codes, clean = unpack_bits(payloads[:, 8:], dimension, width)
    assert clean.all()
    assert (codes <= 2 * levels).all()
    norms = payloads[:, :8].copy().view("<f8")
    decoded, rejections = codec.decode(payloads, wire)
    np.testing.assert_array_equal(rejections, 0)
    np.testing.assert_array_equal(decoded, (codes - levels) / levels * norms)
