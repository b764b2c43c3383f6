"""Cutting blocks of devices into groups, numbers into bytes."""

import numpy as np
import pytest

from lad_mpi.compression import Channel, Rejection
from lad_mpi.compression import rows as rows_module
from lad_mpi.compression.rows import from_bytes, groups, refuse, to_bytes
from lad_mpi.rng import Streams


def channel(num_devices, dimension, rows=None):
    return Channel(Streams(5), 3, 2, num_devices, dimension, np.dtype("float64"), rows)


@pytest.mark.parametrize("rows", [None, np.array([0, 1, 4, 9]), np.array([7]), np.array([9, 2])])
@pytest.mark.parametrize("size", [1, 20, 70, 10**6])
def test_groups_draw_what_the_whole_block_draws(monkeypatch, rows, size):
    monkeypatch.setattr(rows_module, "GROUP_COORDINATES", size)
    whole = channel(10, 10, rows)
    num_rows = 10 if rows is None else len(rows)
    covered = np.zeros(num_rows, dtype=int)
    for part, sub in groups(whole):
        covered[part] += 1
        assert (part.stop - part.start) * 10 <= max(size, 10)
        np.testing.assert_array_equal(sub.words(6), whole.words(6)[part])
    np.testing.assert_array_equal(covered, 1)


def test_no_rows_make_no_groups():
    assert list(groups(channel(10, 4, np.array([], dtype=np.int64)))) == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_travel_little_endian_and_are_copied(dtype):
    values = np.array([[1.0, -0.0, 5e-324], [np.inf, 3.5, -2.0]]).astype(dtype)
    payload = to_bytes(values)
    assert payload.tobytes() == values.astype(np.dtype(dtype).newbyteorder("<")).tobytes()
    back = from_bytes(payload, np.dtype(dtype))
    assert back.dtype == np.dtype(dtype)
    assert back.tobytes() == values.tobytes()
    assert not np.shares_memory(payload, values)
    assert not np.shares_memory(payload, back)


def test_the_first_complaint_prevails_and_refused_rows_are_zero():
    vectors = np.ones((4, 2))
    rejections = refuse(
        vectors,
        (np.array([False, True, True, False]), Rejection.SCALE),
        (np.array([False, False, True, True]), Rejection.PADDING),
    )
    expected = [Rejection.NONE, Rejection.SCALE, Rejection.SCALE, Rejection.PADDING]
    assert rejections.tolist() == expected
    np.testing.assert_array_equal(vectors, [[1, 1], [0, 0], [0, 0], [0, 0]])
