"""Casting to 16 bits."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.compression import Cast, Channel, Rejection
from lad_mpi.errors import ParameterError
from lad_mpi.rng import Streams

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
FORMATS = pytest.mark.parametrize("name", ["float16", "bfloat16"])
#: Bits of the fraction, and exponent of the smallest normal number.
SHAPES = {"float16": (10, -14), "bfloat16": (7, -126)}


def channel(dimension, num_devices=1, dtype="float64"):
    return Channel(Streams(9), 1, 0, num_devices, dimension, np.dtype(dtype))


def round_trip(codec, values, dtype):
    wire = channel(len(values), 1, dtype)
    with np.errstate(all="raise"):
        payload = codec.encode(np.array([values], dtype=dtype), wire)
        vectors, rejections = codec.decode(payload, wire)
    return payload, vectors[0], rejections[0]


def nearest(value, name):
    """Round to a short number by exact fractions, ties to even; infinite beyond the largest."""
    fraction_bits, smallest = SHAPES[name]
    exact = abs(Fraction(value))
    exponent = smallest
    while exact >= Fraction(2) ** (exponent + 1):
        exponent += 1
    unit = Fraction(2) ** (exponent - fraction_bits)
    rounded = round(exact / unit) * unit  # of fractions, ties go to even
    if rounded >= Fraction(2) ** (2 - smallest):
        return math.copysign(math.inf, value)
    return math.copysign(float(rounded), value)


@FORMATS
@DTYPES
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_it_rounds_to_nearest_ties_to_even(name, dtype, data):
    width = 8 * np.dtype(dtype).itemsize
    infinity = {"float16": 0x7C00, "bfloat16": 0x7F80}[name]
    near = data.draw(st.integers(0, infinity - 2))
    # A short number, the middle between it and the next, and what is next to that middle.
    numbers = np.array([near, near + 1], dtype=np.uint16)
    wide = (numbers.view(np.float16) if name == "float16" else widened(numbers)).astype(float)
    middle = np.dtype(dtype).type((wide[0] + wide[1]) / 2)
    free = data.draw(st.floats(width=width, allow_nan=False, allow_infinity=False))
    values = [middle, np.nextafter(middle, np.dtype(dtype).type(0)), free]
    values.append(np.nextafter(middle, np.dtype(dtype).type(np.inf)))
    for value in values:
        expected = nearest(float(value), name)
        _, decoded, rejection = round_trip(Cast(name), [value], dtype)
        if math.isinf(expected):
            assert rejection == Rejection.NOT_FINITE
        else:
            assert rejection == Rejection.NONE
            assert float(decoded[0]) == expected
            assert np.signbit(decoded[0]) == np.signbit(value)


def widened(numbers):
    return (numbers.astype(np.uint32) << 16).view(np.float32)


@FORMATS
@DTYPES
def test_every_short_number_is_sent_exactly_and_every_other_pattern_refused(name, dtype):
    numbers = np.arange(2**16, dtype="<u2")
    payloads = numbers.view(np.uint8).reshape(-1, 2)
    wire = channel(1, len(payloads), dtype)
    with np.errstate(all="raise"):
        vectors, rejections = Cast(name).decode(payloads, wire)
        again = Cast(name).encode(vectors, wire)
    wide = numbers.view("<f2").astype(float) if name == "float16" else widened(numbers)
    finite = np.isfinite(wide)
    np.testing.assert_array_equal(rejections, np.where(finite, 0, int(Rejection.NOT_FINITE)))
    np.testing.assert_array_equal(vectors[:, 0], np.where(finite, wide, 0))
    np.testing.assert_array_equal(again[finite], payloads[finite])


@FORMATS
def test_an_infinity_in_one_place_refuses_its_row_only(name):
    wire = channel(40_000, 2)
    vectors = np.ones((2, 40_000))
    vectors[1, 39_999] = 1e39
    decoded, rejections = Cast(name).decode(Cast(name).encode(vectors, wire), wire)
    assert rejections.tolist() == [0, Rejection.NOT_FINITE]
    assert decoded.sum(axis=1).tolist() == [40_000, 0]


def test_ends_of_the_formats():
    assert round_trip(Cast("float16"), [65519.99], "float64")[1][0] == 65504
    assert round_trip(Cast("float16"), [65520.0], "float64")[2] == Rejection.NOT_FINITE
    largest = float(2**8 - 1) * 2.0**120
    assert round_trip(Cast("bfloat16"), [largest], "float64")[1][0] == largest
    assert round_trip(Cast("bfloat16"), [largest * 1.004], "float64")[2] == Rejection.NOT_FINITE


def test_what_a_cast_to_float32_on_the_way_would_get_wrong():
    # Just above the middle of two bfloat16 numbers, by less than float32 can tell.
    value = 1 + 2.0**-8 + 2.0**-40
    assert round_trip(Cast("bfloat16"), [value], "float64")[1][0] == 1 + 2.0**-7
    assert round_trip(Cast("bfloat16"), [1 + 2.0**-8], "float64")[1][0] == 1.0


def test_a_format_that_does_not_exist_is_refused():
    with pytest.raises(ParameterError) as caught:
        Cast("float8")
    assert str(caught.value) == "format: must be 'bfloat16' or 'float16', not 'float8'"


@pytest.mark.parametrize(("name", "bits"), [("bfloat16", 8), ("float16", 11)])
@DTYPES
def test_relative_errors_reach_their_bound_and_are_not_beyond_it(name, bits, dtype):
    # Over the normal range of both formats; 1 + 2^−bits lies in the middle of two numbers.
    vectors = 2.0 ** np.random.default_rng(5).uniform(-14, 15, (1, 20_000))
    vectors[0, 0] = 1 + 2.0**-bits
    vectors = vectors.astype(dtype)
    wire = channel(20_000, 1, dtype)
    decoded, _ = Cast(name).decode(Cast(name).encode(vectors, wire), wire)
    errors = np.abs(decoded.astype(float) / vectors - 1)
    assert errors.max() <= 2.0**-bits
    assert errors[0, 0] == pytest.approx(2.0**-bits, rel=0.01)
