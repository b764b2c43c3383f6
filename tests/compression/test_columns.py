"""Codecs whose payloads can be taken apart by columns."""

import itertools

import numpy as np
import pytest

from lad_mpi.compression import CODECS, Channel, ColumnCodec, Rejection
from lad_mpi.rng import Streams

BY_COLUMNS = {kind: cls for kind, cls in CODECS.items() if hasattr(cls, "decode_columns")}
CUTS = [[0, 12], [0, 1, 12], [0, 5, 6, 11, 12], list(range(13))]


def test_vectors_as_they_are_can_be_taken_apart_and_packed_bits_cannot():
    assert sorted(BY_COLUMNS) == ["cast", "none"]
    assert all(isinstance(cls(), ColumnCodec) for cls in BY_COLUMNS.values())


@pytest.mark.parametrize("cuts", CUTS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", sorted(BY_COLUMNS))
def test_columns_decode_to_the_bits_of_the_whole(kind, dtype, cuts):
    codec, wire = BY_COLUMNS[kind](), Channel(Streams(0), 3, 0, 6, 12, np.dtype(dtype))
    vectors = np.random.default_rng(1).normal(size=(6, 12)).astype(dtype)
    vectors[1, 0], vectors[2, 5], vectors[4, 11], vectors[4, 2] = np.nan, np.inf, -np.inf, np.nan
    vectors[3, 4], vectors[3, 5] = -0.0, np.finfo(dtype).tiny / 4
    payloads = codec.encode(vectors, wire)
    refused = Rejection.NOT_FINITE
    whole, rejections = codec.decode(payloads, wire)
    assert rejections.tolist() == [0, refused, refused, 0, refused, 0]
    decoded, reasons, end = np.full_like(vectors, 7), np.zeros(6, dtype=int), 0
    for start, stop in itertools.pairwise(cuts):
        columns = slice(start, stop)
        where = codec.column_bytes(columns, np.dtype(dtype))
        assert where.start == end
        end = where.stop
        # As they lie in slots: rows that are apart, and begin at any byte.
        slots = np.zeros((6, where.stop - where.start + 3), dtype=np.uint8)
        slots[:, 1:-2] = payloads[:, where]
        part = codec.decode_columns(slots[:, 1:-2], columns, wire, decoded[:, columns])
        assert not decoded[part != 0, columns].any()
        reasons = np.where(reasons == 0, part, reasons)
    assert end == codec.payload_bytes(12, np.dtype(dtype))
    np.testing.assert_array_equal(reasons, rejections)
    decoded[reasons != 0] = 0
    assert decoded.tobytes() == whole.tobytes()
