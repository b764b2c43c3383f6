"""Codecs whose payloads can be cut by columns."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.compression import (
    Cast,
    Channel,
    Natural,
    NoCompression,
    Qsgd,
    RandK,
    Rejection,
    Sign,
    TopK,
    column_codec,
)
from lad_mpi.rng import Streams

#: Codecs with several units in 45 columns.
CUT = [
    NoCompression(),
    Cast(),
    Cast("float16"),
    Qsgd(1, bucket=8),
    Qsgd(5, bucket=16),
    Qsgd(2**31 - 1, bucket=8),
    Sign(bucket=8),
    Sign(bucket=16),
]
CODECS = pytest.mark.parametrize("codec", CUT, ids=str)
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
COLUMNS = 45


def channel(dtype, rows):
    return Channel(Streams(0), 3, 0, rows, COLUMNS, np.dtype(dtype))


def decode_cut(codec, payloads, wire, cuts):
    """Decode range by range. Return the vectors, and the first reason for each row."""
    decoded = np.full((len(payloads), COLUMNS), 7, dtype=wire.dtype)
    reasons, end = np.zeros(len(payloads), dtype=np.int64), 0
    for start, stop in itertools.pairwise(cuts):
        columns = slice(start, stop)
        where = codec.column_bytes(columns, wire.dtype)
        assert where.start == end
        end = where.stop
        # As in slots: the rows lie apart, and begin at any byte.
        slots = np.full((len(payloads), end - where.start + 3), 255, dtype=np.uint8)
        slots[:, 1:-2] = payloads[:, where]
        with np.errstate(all="raise"):
            part = codec.decode_columns(slots[:, 1:-2], columns, wire, decoded[:, columns])
        assert not decoded[part != 0, columns].any()
        assert np.isfinite(decoded).all()
        reasons = np.where(reasons == 0, part, reasons)
    assert end == payloads.shape[1]
    decoded[reasons != 0] = 0
    return decoded, reasons


def cuts_of(codec):
    """Any cuts that the unit of a codec allows."""
    places = range(codec.column_unit, COLUMNS, codec.column_unit)
    return st.lists(st.sampled_from(places), unique=True).map(
        lambda inner: [0, *sorted(inner), COLUMNS]
    )


def test_whether_messages_can_be_cut_may_depend_on_the_parameters():
    assert [column_codec(codec) for codec in CUT] == CUT
    assert [codec.column_unit for codec in CUT] == [1, 1, 1, 8, 16, 8, 8, 16]
    for codec in (RandK(3), TopK(3), Natural(), Qsgd(4), Sign()):
        assert column_codec(codec) is None


@CODECS
@DTYPES
def test_valid_messages_decode_in_parts_as_in_one_piece(codec, dtype):
    vectors = np.random.default_rng(1).normal(size=(6, COLUMNS)).astype(dtype)
    vectors[1, 0], vectors[2, 21], vectors[4, 44], vectors[4, 2] = np.nan, np.inf, -np.inf, np.nan
    vectors[3, 4], vectors[3, 5], vectors[5, 8:] = -0.0, np.finfo(dtype).tiny / 4, 0.0
    wire, refused = channel(dtype, 6), Rejection.NOT_FINITE
    payloads = codec.encode(vectors, wire)
    whole, rejections = codec.decode(payloads, wire)
    assert rejections.tolist() == [0, refused, refused, 0, refused, 0]

    @given(cuts_of(codec))
    @settings(max_examples=20, deadline=None)
    def holds(cuts):
        decoded, reasons = decode_cut(codec, payloads, wire, cuts)
        np.testing.assert_array_equal(reasons, rejections)
        assert decoded.tobytes() == whole.tobytes()

    holds()


@CODECS
@DTYPES
def test_hostile_messages_are_refused_in_parts_as_in_one_piece(codec, dtype):
    @given(cuts_of(codec), st.integers(0, 2**32 - 1))
    @settings(max_examples=40, deadline=None)
    def holds(cuts, seed):
        generator, wire = np.random.default_rng(seed), channel(dtype, 8)
        payloads = codec.encode(generator.normal(size=(8, COLUMNS)).astype(dtype), wire)
        # Row i gets i bytes of any value, and the last row any bytes.
        for row in range(7):
            places = generator.integers(0, payloads.shape[1], row)
            payloads[row, places] = generator.choice([0, 128, 255, generator.integers(256)], row)
        payloads[7] = generator.integers(0, 256, payloads.shape[1])
        whole, rejections = codec.decode(payloads, wire)
        decoded, reasons = decode_cut(codec, payloads, wire, cuts)
        np.testing.assert_array_equal(reasons, rejections)
        assert decoded.tobytes() == whole.tobytes()

    holds()


@pytest.mark.parametrize(
    "make", [lambda bucket: Qsgd(3, bucket), lambda bucket: Sign(bucket=bucket)]
)
@DTYPES
@pytest.mark.parametrize("bucket", [48, 4096])
def test_one_bucket_with_all_columns_is_the_form_without_buckets(make, dtype, bucket):
    vectors = np.random.default_rng(1).normal(size=(6, COLUMNS)).astype(dtype)
    wire, plain, bucketed = channel(dtype, 6), make(None), make(bucket)
    payloads = bucketed.encode(vectors, wire)
    np.testing.assert_array_equal(payloads, plain.encode(vectors, wire))
    np.testing.assert_array_equal(
        bucketed.decode(payloads, wire)[0], plain.decode(payloads, wire)[0]
    )
    assert bucketed.delta(COLUMNS) == pytest.approx(plain.delta(COLUMNS), nan_ok=True)
