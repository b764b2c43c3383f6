"""Messages unpacked as they arrive give the same results as complete messages."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.compression import Channel, NoCompression, Qsgd, Rejection
from lad_mpi.rng import Streams
from lad_mpi.wire import HEADER_BYTES, ArrivingMessages, MessageFormat

N, Q = 5, 13


def channel(dtype="float64"):
    return Channel(Streams(1), 6, 10, N, Q, np.dtype(dtype))


def packed(dtype="float64", vectors=None):
    messages = MessageFormat(NoCompression(), Q, np.dtype(dtype))
    if vectors is None:
        vectors = np.random.default_rng(0).normal(size=(N, Q)).astype(dtype)
    slots = np.zeros((N, messages.slot_bytes), dtype=np.uint8)
    messages.pack(vectors, channel(dtype), slots)
    return messages, slots


def cut(inner):
    return [slice(a, b) for a, b in itertools.pairwise([0, *inner, Q])]


def arrive(messages, slots, slices, dtype="float64"):
    """Unpack slots whose bytes are only filled in as they arrive."""
    seen = np.full_like(slots, 0xA5)
    edges = messages.edges(slices)
    assert (edges[0], edges[-1]) == (0, messages.slot_bytes)
    arriving = ArrivingMessages(
        messages, seen, channel(dtype), np.full((N, Q), np.nan, dtype=dtype)
    )
    handed_on = []
    for columns, (start, stop) in zip(slices, itertools.pairwise(edges), strict=True):
        seen[:, start:stop] = slots[:, start:stop]
        arriving.extend(columns)
        assert np.isfinite(arriving.vectors[:, : columns.stop]).all()
        handed_on.append(arriving.vectors[:, columns].copy())
    vectors, rejections = arriving.finish()
    assert vectors is arriving.vectors
    return vectors, rejections, arriving.used_refused, np.concatenate(handed_on, axis=1)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_messages_in_any_slices_give_the_results_of_one_piece(data):
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    vectors = np.random.default_rng(0).normal(size=(N, Q)).astype(dtype)
    spoilt = data.draw(st.sets(st.tuples(st.integers(0, N - 1), st.integers(0, Q - 1)), max_size=3))
    for row, column in spoilt:
        vectors[row, column] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    messages, slots = packed(dtype, vectors)
    flips = st.tuples(st.integers(0, N - 1), st.integers(0, 8 * messages.slot_bytes - 1))
    for row, bit in data.draw(st.sets(flips, max_size=3)):
        slots[row, bit // 8] ^= 1 << (bit % 8)
    slices = cut(sorted(data.draw(st.sets(st.integers(1, Q - 1)))))
    expected, reasons = messages.unpack(slots, channel(dtype))
    vectors, rejections, used_refused, handed_on = arrive(messages, slots, slices, dtype)
    np.testing.assert_array_equal(rejections, reasons)
    assert vectors.tobytes() == expected.tobytes()
    # The columns handed on are the final ones, unless used_refused is set.
    assert used_refused or handed_on.tobytes() == expected.tobytes()


def test_a_message_with_a_wrong_header_counts_as_zero_from_the_start():
    messages, slots = packed()
    slots[3, 13] ^= 1
    _, rejections, used_refused, handed_on = arrive(messages, slots, cut([4, 9]))
    assert rejections.tolist() == [0, 0, 0, Rejection.DEVICE, 0]
    assert not used_refused
    assert not handed_on[3].any()


@pytest.mark.parametrize(("column", "late"), [(0, False), (3, False), (4, True), (12, True)])
def test_values_that_are_not_finite_are_never_handed_on(column, late):
    vectors = np.ones((N, Q))
    vectors[2, column] = np.nan
    messages, slots = packed(vectors=vectors)
    _, rejections, used_refused, handed_on = arrive(messages, slots, cut([4, 9]))
    assert rejections.tolist() == [0, 0, Rejection.NOT_FINITE, 0, 0]
    assert used_refused == late
    assert np.isfinite(handed_on).all()


def test_a_wrong_checksum_is_noticed_at_the_end():
    messages, slots = packed()
    slots[1, HEADER_BYTES] ^= 1
    vectors, rejections, used_refused, _ = arrive(messages, slots, cut([4, 9]))
    assert rejections.tolist() == [0, Rejection.CHECKSUM, 0, 0, 0]
    assert used_refused
    assert not vectors[1].any()


def test_codecs_without_columns_are_not_split():
    messages = MessageFormat(Qsgd(levels=3), Q, np.dtype("float64"))
    assert not messages.in_columns
    with pytest.raises(TypeError, match="qsgd"):
        messages.edges(cut([4]))
