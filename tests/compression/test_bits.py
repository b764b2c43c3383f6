"""Packing integers of a few bits into bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.compression.bits import pack_bits, packed_bytes, unpack_bits


def pack_one_row(values, width):
    """Pack with one big Python integer."""
    whole = sum(int(value) << (width * i) for i, value in enumerate(values))
    return np.frombuffer(whole.to_bytes(-(-len(values) * width // 8), "little"), np.uint8)


def random_values(seed, rows, count, width):
    return np.random.default_rng(seed).integers(0, 1 << width, size=(rows, count))


@pytest.mark.parametrize("width", range(33))
def test_packed_bits_are_one_little_endian_number_a_row(width):
    values = random_values(width, 3, 13, width)
    packed = pack_bits(values, width)
    assert packed.dtype == np.uint8
    assert packed.shape == (3, packed_bytes(13, width))
    for row, expected in zip(packed, values, strict=True):
        np.testing.assert_array_equal(row, pack_one_row(expected, width))


@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(0, 4),
    count=st.integers(1, 40),
    width=st.integers(0, 32),
)
@settings(max_examples=60, deadline=None)
def test_unpacking_inverts_packing(seed, rows, count, width):
    values = random_values(seed, rows, count, width)
    unpacked, clean = unpack_bits(pack_bits(values, width), count, width)
    assert unpacked.dtype == np.int64
    np.testing.assert_array_equal(unpacked, values)
    np.testing.assert_array_equal(clean, np.ones(rows, dtype=bool))


def test_the_largest_value_survives_at_every_width():
    for width in range(33):
        values = np.full((1, 9), (1 << width) - 1)
        np.testing.assert_array_equal(unpack_bits(pack_bits(values, width), 9, width)[0], values)


@pytest.mark.parametrize(("count", "width"), [(1, 1), (3, 1), (100, 7), (5, 3), (3, 5), (1, 31)])
def test_every_padding_bit_is_seen_and_changes_no_value(count, width):
    used, total = count * width, 8 * packed_bytes(count, width)
    assert used < total
    values = random_values(7, 1, count, width)
    for bit in range(used, total):
        packed = pack_bits(values, width)
        packed[0, bit // 8] |= 1 << (bit % 8)
        unpacked, clean = unpack_bits(packed, count, width)
        assert not clean[0]
        np.testing.assert_array_equal(unpacked, values)


def test_bytes_that_do_not_lie_side_by_side_are_read_rightly():
    values = random_values(3, 4, 10, 6)
    wide = np.zeros((4, 50), dtype=np.uint8)
    wide[:, 5:13] = pack_bits(values, 6)
    np.testing.assert_array_equal(unpack_bits(wide[:, 5:13], 10, 6)[0], values)
