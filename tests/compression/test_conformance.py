"""What every codec has to promise."""

import dataclasses
import importlib
import math
import pkgutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lad_mpi.compression
from lad_mpi.compression import CODECS, Channel, Codec, NoCompression, Qsgd, RandK, Rejection, TopK
from lad_mpi.compression import rows as rows_module
from lad_mpi.rng import Streams

#: A codec of each kind that fits a dimension.
EXAMPLES = {
    "none": lambda dimension: NoCompression(),
    "rand_k": lambda dimension: RandK(max(1, dimension // 3)),
    "qsgd": lambda dimension: Qsgd(5),
    "top_k": lambda dimension: TopK(max(1, dimension // 3)),
}
DIMENSIONS = (1, 2, 7, 64, 101)
DTYPES = ("float32", "float64")
KINDS = pytest.mark.parametrize("kind", sorted(CODECS))


def channel(dimension, dtype, num_devices=7, *, first_device=0, iteration=3, rows=None):
    return Channel(
        Streams(11), iteration, first_device, num_devices, dimension, np.dtype(dtype), rows
    )


def normal_vectors(num_rows, dimension, dtype):
    return np.random.default_rng(4).standard_normal((num_rows, dimension)).astype(dtype)


def test_the_table_is_complete():
    found = set()
    for module in pkgutil.iter_modules(lad_mpi.compression.__path__):
        contents = vars(importlib.import_module(f"lad_mpi.compression.{module.name}"))
        found |= {
            value
            for value in contents.values()
            if dataclasses.is_dataclass(value) and hasattr(value, "kind")
        }
    assert found == set(CODECS.values())
    assert all(cls.kind == kind for kind, cls in CODECS.items())
    assert set(EXAMPLES) == set(CODECS)


def test_wire_codes_never_change():
    codes = {kind: cls.wire_code for kind, cls in CODECS.items()}
    assert codes == {"none": 0, "rand_k": 1, "qsgd": 2, "top_k": 3}


@KINDS
def test_it_is_a_frozen_value(kind):
    codec = EXAMPLES[kind](30)
    assert isinstance(codec, Codec)
    assert codec == dataclasses.replace(codec)
    assert hash(codec) == hash(dataclasses.replace(codec))
    assert not hasattr(codec, "__dict__")


@KINDS
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_shapes_and_dtypes(kind, dtype, dimension):
    codec = EXAMPLES[kind](dimension)
    codec.check(dimension)
    vectors = normal_vectors(7, dimension, dtype)
    payloads = codec.encode(vectors, channel(dimension, dtype))
    assert payloads.dtype == np.uint8
    assert payloads.shape == (7, codec.payload_bytes(dimension, np.dtype(dtype)))
    decoded, rejections = codec.decode(payloads, channel(dimension, dtype))
    assert decoded.dtype == np.dtype(dtype)
    assert decoded.shape == vectors.shape
    assert rejections.dtype == np.int64
    np.testing.assert_array_equal(rejections, np.zeros(7))


@KINDS
def test_arguments_are_neither_changed_nor_returned(kind):
    codec = EXAMPLES[kind](30)
    vectors = normal_vectors(7, 30, "float64")
    vectors[2] = np.nan
    vectors.setflags(write=False)
    payloads = codec.encode(vectors, channel(30, "float64"))
    assert not np.shares_memory(payloads, vectors)
    payloads.setflags(write=False)
    decoded, _ = codec.decode(payloads, channel(30, "float64"))
    assert decoded.flags.writeable
    assert not np.shares_memory(decoded, payloads)


@KINDS
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("group", [1, 1 << 17])
def test_a_row_does_not_depend_on_its_block(monkeypatch, kind, dtype, group):
    monkeypatch.setattr(rows_module, "GROUP_COORDINATES", group)
    codec = EXAMPLES[kind](101)
    vectors = normal_vectors(7, 101, dtype)
    whole = codec.encode(vectors, channel(101, dtype))
    head = codec.encode(vectors[:3], channel(101, dtype, 3))
    tail = codec.encode(vectors[3:], channel(101, dtype, 4, first_device=3))
    np.testing.assert_array_equal(whole, np.concatenate([head, tail]))
    decoded, _ = codec.decode(whole, channel(101, dtype))
    head, _ = codec.decode(whole[:3], channel(101, dtype, 3))
    tail, _ = codec.decode(whole[3:], channel(101, dtype, 4, first_device=3))
    np.testing.assert_array_equal(decoded, np.concatenate([head, tail]))


@KINDS
def test_named_rows_of_a_block_are_those_of_the_whole(kind):
    codec = EXAMPLES[kind](101)
    vectors = normal_vectors(7, 101, "float64")
    rows = np.array([1, 2, 6])
    whole = codec.encode(vectors, channel(101, "float64"))
    some = codec.encode(vectors[rows], channel(101, "float64", rows=rows))
    np.testing.assert_array_equal(some, whole[rows])
    decoded, _ = codec.decode(whole, channel(101, "float64"))
    part, _ = codec.decode(some, channel(101, "float64", rows=rows))
    np.testing.assert_array_equal(part, decoded[rows])


@KINDS
def test_no_rows_are_no_trouble(kind):
    codec = EXAMPLES[kind](30)
    empty = channel(30, "float64", rows=np.array([], dtype=np.int64))
    payloads = codec.encode(np.zeros((0, 30)), empty)
    assert payloads.shape == (0, codec.payload_bytes(30, np.dtype("float64")))
    decoded, rejections = codec.decode(payloads, empty)
    assert decoded.shape == (0, 30)
    assert rejections.shape == (0,)


@KINDS
def test_the_memory_order_of_vectors_does_not_matter(kind):
    codec = EXAMPLES[kind](101)
    vectors = normal_vectors(7, 101, "float64")
    np.testing.assert_array_equal(
        codec.encode(np.asfortranarray(vectors), channel(101, "float64")),
        codec.encode(vectors, channel(101, "float64")),
    )


@KINDS
def test_randomness_is_a_function_of_the_iteration(kind):
    codec = EXAMPLES[kind](101)
    vectors = normal_vectors(7, 101, "float64")
    first = codec.encode(vectors, channel(101, "float64", iteration=3))
    again = codec.encode(vectors, channel(101, "float64", iteration=3))
    later = codec.encode(vectors, channel(101, "float64", iteration=4))
    np.testing.assert_array_equal(first, again)
    assert (first == later).all() == (kind in {"none", "top_k"})


@KINDS
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_zero_stays_zero(kind, dimension):
    codec = EXAMPLES[kind](dimension)
    payloads = codec.encode(np.zeros((7, dimension)), channel(dimension, "float64"))
    decoded, rejections = codec.decode(payloads, channel(dimension, "float64"))
    np.testing.assert_array_equal(decoded, 0)
    np.testing.assert_array_equal(rejections, 0)


@KINDS
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_sent_quietly_and_refused(kind, dtype, value):
    codec = EXAMPLES[kind](30)
    vectors = normal_vectors(7, 30, dtype)
    healthy, _ = codec.decode(codec.encode(vectors, channel(30, dtype)), channel(30, dtype))
    vectors[2] = value
    vectors[4, 11] = value  # rand_k may leave it out, and then the rest is welcome
    with np.errstate(all="raise"):
        payloads = codec.encode(vectors, channel(30, dtype))
        decoded, rejections = codec.decode(payloads, channel(30, dtype))
    assert rejections[2] == Rejection.NOT_FINITE
    assert rejections[4] in {Rejection.NONE, Rejection.NOT_FINITE}
    np.testing.assert_array_equal(decoded[2], 0)
    assert np.isfinite(decoded).all()
    others = [0, 1, 3, 5, 6]
    np.testing.assert_array_equal(rejections[others], 0)
    np.testing.assert_array_equal(decoded[others], healthy[others])


@KINDS
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("end", ["max", "tiny", "smallest_subnormal"])
@pytest.mark.parametrize("dimension", [1, 4, 30])
def test_the_ends_of_the_number_range(kind, dtype, end, dimension):
    codec = EXAMPLES[kind](dimension)
    vectors = np.full((7, dimension), getattr(np.finfo(dtype), end), dtype=dtype)
    vectors[:, 1::2] *= -1
    with np.errstate(all="raise"):
        payloads = codec.encode(vectors, channel(dimension, dtype))
        decoded, rejections = codec.decode(payloads, channel(dimension, dtype))
    assert np.isfinite(decoded).all()
    if end != "max" or dimension == 1:
        np.testing.assert_array_equal(rejections, 0)
    else:
        assert set(rejections.tolist()) <= {Rejection.NONE, Rejection.NOT_FINITE}
    # Signs survive wherever anything does.
    assert (decoded * np.sign(vectors) >= 0).all()


@KINDS
@pytest.mark.parametrize("dtype", DTYPES)
@given(
    seed=st.integers(0, 2**32),
    dimension=st.integers(1, 40),
    damage=st.sampled_from(["everything", "one byte", "one bit", "ones", "zeros"]),
)
@settings(max_examples=40, deadline=None)
def test_no_payload_makes_decoding_fail(kind, dtype, seed, dimension, damage):
    codec = EXAMPLES[kind](dimension)
    wire = channel(dimension, dtype)
    generator = np.random.default_rng(seed)
    payloads = codec.encode(normal_vectors(7, dimension, dtype), wire)
    if damage == "everything":
        payloads = generator.integers(0, 256, payloads.shape, dtype=np.uint8)
    elif damage == "ones":
        payloads = np.full_like(payloads, 255)
    elif damage == "zeros":
        payloads = np.zeros_like(payloads)
    else:
        places = generator.integers(0, payloads.shape[1], 7)
        masks = generator.integers(1, 256, 7) if damage == "one byte" else 1 << (np.arange(7) + 1)
        payloads[np.arange(7), places] ^= masks.astype(np.uint8)
    with np.errstate(all="raise"):
        decoded, rejections = codec.decode(payloads, wire)
    assert np.isfinite(decoded).all()
    assert set(rejections.tolist()) <= set(map(int, Rejection))
    np.testing.assert_array_equal(decoded[rejections != 0], 0)
    # What was accepted is an ordinary vector: it can be sent on.
    with np.errstate(all="raise"):
        again, _ = codec.decode(codec.encode(decoded, wire), wire)
    assert np.isfinite(again).all()


@KINDS
def test_bias_and_variance_are_as_stated(kind):
    # Bounds of 6 standard errors on at most 12 + 1 averages of 20000 draws each:
    # a false alarm, had the seed not been fixed, once in 10⁷ runs.
    replicates, dimension = 20_000, 12
    codec = EXAMPLES[kind](dimension)
    wire = channel(dimension, "float64", replicates)
    vector = np.linspace(-2.0, 3.0, dimension)
    payloads = codec.encode(np.tile(vector, (replicates, 1)), wire)
    errors = codec.decode(payloads, wire)[0] - vector
    root = math.sqrt(replicates)
    standard_errors = errors.std(axis=0, ddof=1) / root
    centred = np.abs(errors.mean(axis=0)) <= 6 * standard_errors + 1e-12
    assert centred.all() == codec.unbiased
    if not codec.unbiased:
        assert math.isnan(codec.delta(dimension))
        assert not codec.delta_is_exact
        return
    relative = (errors**2).sum(axis=1) / (vector @ vector)
    slack = 6 * relative.std(ddof=1) / root + 1e-12
    assert relative.mean() <= codec.delta(dimension) + slack
    if codec.delta_is_exact:
        assert relative.mean() >= codec.delta(dimension) - slack
