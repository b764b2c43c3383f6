"""The laws of codecs over all of the suite's own, and what these promise beside them."""

import dataclasses
import importlib
import pkgutil

import numpy as np
import pytest

import lad_mpi.compression
from lad_mpi import conformance
from lad_mpi.compression import (
    CODECS,
    Cast,
    Channel,
    Natural,
    NoCompression,
    Qsgd,
    RandK,
    Rejection,
    Sign,
    TopK,
)
from lad_mpi.compression import rows as rows_module
from lad_mpi.rng import Streams

#: A codec of each kind that fits a dimension.
EXAMPLES = {
    "none": lambda dimension: NoCompression(),
    "rand_k": lambda dimension: RandK(max(1, dimension // 3)),
    "qsgd": lambda dimension: Qsgd(5),
    "top_k": lambda dimension: TopK(max(1, dimension // 3)),
    "sign": lambda dimension: Sign(),
    "cast": lambda dimension: Cast(),
    "natural": lambda dimension: Natural(),
}
KINDS = pytest.mark.parametrize("kind", sorted(CODECS))

TestNoCompression = conformance.codec(NoCompression)
TestRandK = conformance.codec(RandK, make=EXAMPLES["rand_k"])
TestQsgd = conformance.codec(Qsgd, make=EXAMPLES["qsgd"])
TestTopK = conformance.codec(TopK, make=EXAMPLES["top_k"])
TestSign = conformance.codec(Sign)
TestCast = conformance.codec(Cast)
TestNatural = conformance.codec(Natural)


class TestQsgdInBuckets(conformance.codec(Qsgd, make=lambda dimension: Qsgd(5, bucket=8))):
    pass


class TestSignInBuckets(conformance.codec(Sign, make=lambda dimension: Sign(bucket=8))):
    pass


class TestCastToFloat16(conformance.codec(Cast, make=lambda dimension: Cast("float16"))):
    pass


def channel(dtype, num_devices=7, *, first_device=0, iteration=3, dimension=101):
    return Channel(Streams(11), iteration, first_device, num_devices, dimension, np.dtype(dtype))


def normal_vectors(dtype):
    return np.random.default_rng(4).standard_normal((7, 101)).astype(dtype)


def test_every_codec_is_put_to_the_test():
    tested = {value.subject for value in globals().values() if hasattr(value, "subject")}
    assert tested == set(CODECS.values())


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
    assert codes == {
        "none": 0,
        "rand_k": 1,
        "qsgd": 2,
        "top_k": 3,
        "sign": 4,
        "cast": 5,
        "natural": 6,
    }


@KINDS
def test_it_has_slots(kind):
    assert not hasattr(EXAMPLES[kind](30), "__dict__")


@KINDS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_does_not_depend_on_the_group_it_is_worked_on_in(monkeypatch, kind, dtype):
    codec = EXAMPLES[kind](101)
    vectors = normal_vectors(dtype)
    whole = codec.encode(vectors, channel(dtype))
    decoded, _ = codec.decode(whole, channel(dtype))
    monkeypatch.setattr(rows_module, "GROUP_COORDINATES", 1)
    np.testing.assert_array_equal(codec.encode(vectors, channel(dtype)), whole)
    head = codec.encode(vectors[:3], channel(dtype, 3))
    tail = codec.encode(vectors[3:], channel(dtype, 4, first_device=3))
    np.testing.assert_array_equal(whole, np.concatenate([head, tail]))
    head, _ = codec.decode(whole[:3], channel(dtype, 3))
    tail, _ = codec.decode(whole[3:], channel(dtype, 4, first_device=3))
    np.testing.assert_array_equal(decoded, np.concatenate([head, tail]))
    np.testing.assert_array_equal(codec.decode(whole, channel(dtype))[0], decoded)


@KINDS
def test_what_is_random_changes_with_the_iteration(kind):
    codec = EXAMPLES[kind](101)
    vectors = normal_vectors("float64")
    first = codec.encode(vectors, channel("float64", iteration=3))
    later = codec.encode(vectors, channel("float64", iteration=4))
    assert (first == later).all() == (kind in {"none", "top_k", "sign", "cast"})


@KINDS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_number_as_large_as_can_be_arrives_or_is_refused(kind, dtype):
    codec, wire = EXAMPLES[kind](1), channel(dtype, dimension=1)
    vectors = np.full((7, 1), np.finfo(dtype).max, dtype=dtype)
    with np.errstate(all="raise"):
        _, rejections = codec.decode(codec.encode(vectors, wire), wire)
    # Their formats end before the dtype does.
    expected = Rejection.NOT_FINITE if kind in {"cast", "natural"} else Rejection.NONE
    np.testing.assert_array_equal(rejections, expected)
