"""No compression."""

import numpy as np
import pytest

from lad_mpi.compression import Channel, NoCompression, Rejection
from lad_mpi.rng import Streams


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_bit_survives(dtype):
    wire = Channel(Streams(0), 0, 0, 2, 3, np.dtype(dtype))
    vectors = np.array([[1 / 3, -0.0, 1e-40], [-7.0, 1e30, 0.0]]).astype(dtype)
    codec = NoCompression()
    payloads = codec.encode(vectors, wire)
    assert payloads.tobytes() == vectors.astype(np.dtype(dtype).newbyteorder("<")).tobytes()
    decoded, rejections = codec.decode(payloads, wire)
    assert decoded.tobytes() == vectors.tobytes()
    assert rejections.tolist() == [0, 0]
    np.testing.assert_array_equal(codec.encode(decoded, wire), payloads)
    assert codec.delta(3) == 0
    assert codec.payload_bytes(3, np.dtype(dtype)) == 3 * np.dtype(dtype).itemsize


def test_one_value_that_is_not_finite_refuses_its_row_only():
    wire = Channel(Streams(0), 0, 0, 3, 5, np.dtype("float64"))
    vectors = np.ones((3, 5))
    vectors[1, 4] = np.inf
    decoded, rejections = NoCompression().decode(NoCompression().encode(vectors, wire), wire)
    assert rejections.tolist() == [0, Rejection.NOT_FINITE, 0]
    np.testing.assert_array_equal(decoded, [[1] * 5, [0] * 5, [1] * 5])
