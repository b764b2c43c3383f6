"""Which accepted payloads decode to the same vector: those that docs/wire-format.md names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lad_mpi.compression import CODECS, Channel, Rejection
from lad_mpi.compression.bits import packed_bytes
from lad_mpi.rng import Streams

DIMENSION = 5
WIDTH = 3  # bits of an index of top_k, and of a code of qsgd with three levels
ONE_TO_ONE = {
    "none": CODECS["none"](),
    "sign": CODECS["sign"](),
    "float16": CODECS["cast"](format="float16"),
    "bfloat16": CODECS["cast"](format="bfloat16"),
    "natural": CODECS["natural"](),
}
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def decode(codec, payloads, dtype):
    """Return vectors, and which payloads were accepted."""
    block = np.array([list(payload) for payload in payloads], dtype=np.uint8)
    wire = Channel(Streams(1), 0, 0, len(block), DIMENSION, np.dtype(dtype))
    vectors, rejections = codec.decode(block, wire)
    return vectors, rejections == Rejection.NONE


def pack(values, codes, dtype):
    number = sum(code << (WIDTH * place) for place, code in enumerate(codes))
    packed = number.to_bytes(packed_bytes(len(codes), WIDTH), "little")
    return np.array(values, dtype=f"<f{np.dtype(dtype).itemsize}").tobytes() + packed


def test_every_codec_is_one_or_the_other():
    assert {codec.kind for codec in ONE_TO_ONE.values()} | {"top_k", "qsgd", "rand_k"} == set(
        CODECS
    )


@DTYPES
@pytest.mark.parametrize("codec", ONE_TO_ONE.values(), ids=ONE_TO_ONE)
def test_payloads_that_differ_decode_to_other_bits(codec, dtype):
    size = codec.payload_bytes(DIMENSION, np.dtype(dtype))

    @given(st.binary(min_size=size, max_size=size), st.integers(0, 8 * size - 1))
    def holds(payload, bit):
        other = bytearray(payload)
        other[bit // 8] ^= 1 << bit % 8
        payloads = [payload, bytes(other), bytes(size)]
        vectors, accepted = decode(codec, payloads, dtype)
        found = {vectors[row].tobytes() for row in np.flatnonzero(accepted)}
        assert accepted[-1]
        assert len(found) == len({payloads[row] for row in np.flatnonzero(accepted)})

    holds()


@DTYPES
@given(values=st.lists(st.sampled_from([0.0, -1.0, 2.0]), min_size=2, max_size=2), data=st.data())
def test_only_places_of_zeros_are_open_in_top_k(dtype, values, data):
    pairs = st.lists(st.integers(0, DIMENSION - 1), min_size=2, max_size=2, unique=True).map(sorted)
    one, other = data.draw(pairs), data.draw(pairs)
    payloads = [pack(values, places, dtype) for places in (one, other)]
    vectors, accepted = decode(CODECS["top_k"](k=2), payloads, dtype)
    assert accepted.all()
    meant = [
        {place: value for place, value in zip(places, values, strict=True) if value}
        for places in (one, other)
    ]
    assert (vectors[0] == vectors[1]).all() == (meant[0] == meant[1])


@DTYPES
@given(
    norms=st.tuples(*[st.sampled_from([0.5, 1.0, 1.5, 3.0])] * 2),
    levels=st.tuples(*[st.lists(st.integers(-3, 3), min_size=5, max_size=5)] * 2),
)
def test_qsgd_decodes_to_the_products_of_norm_and_levels(dtype, norms, levels):
    payloads = [
        pack([norm], [level + 3 for level in steps], dtype)
        for norm, steps in zip(norms, levels, strict=True)
    ]
    vectors, accepted = decode(CODECS["qsgd"](levels=3), payloads, dtype)
    assert accepted.all()
    products = [
        [norm * level for level in steps] for norm, steps in zip(norms, levels, strict=True)
    ]
    if products[0] == products[1]:
        np.testing.assert_allclose(*vectors, rtol=1e-6)
    else:
        assert (vectors[0] != vectors[1]).any()


@DTYPES
def test_the_exceptions_are_there(dtype):
    zeros = [pack([0.0, 2.0], places, dtype) for places in ([0, 4], [3, 4])]
    free = [pack([norm], [3] * 5, dtype) for norm in (0.0, 1.0, 7.0)]
    products = [pack([1.0], [3 + 2] * 5, dtype), pack([2.0], [3 + 1] * 5, dtype)]
    top_k, qsgd = CODECS["top_k"](k=2), CODECS["qsgd"](levels=3)
    for codec, payloads in ((top_k, zeros), (qsgd, free), (qsgd, products)):
        vectors, accepted = decode(codec, payloads, dtype)
        assert accepted.all()
        assert (vectors == vectors[0]).all()


@DTYPES
def test_scaled_values_of_rand_k_may_be_equal(dtype):
    # 5/3 takes numbers just above 1.25 across a power of two, where they lie farther apart.
    eps = np.finfo(dtype).eps
    payloads = [
        np.full(3, 1.25 + step * eps, dtype=f"<f{np.dtype(dtype).itemsize}").tobytes()
        for step in range(16)
    ]
    vectors, accepted = decode(CODECS["rand_k"](k=3), payloads, dtype)
    assert accepted.all()
    # Each device has places of its own.
    assert len(set(vectors.max(axis=1).tolist())) < len(payloads)
