"""A card packs and unpacks what the host does, to the bit."""

import numpy as np
import pytest
from codecs_on_gpu import (
    CODECS_THAT_FIT,
    assert_packs_as_host,
    assert_unpacks_as_host,
    channel,
    difficult,
    pack,
)

from lad_mpi.compression import NoCompression, Qsgd, Sign, TopK

ROWS = 5
EVERY_CODEC = pytest.mark.parametrize("kind", list(CODECS_THAT_FIT))
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


@EVERY_CODEC
@DTYPES
@pytest.mark.parametrize("dimension", [1, 7, 9, 65, 1025, 20_001])
def test_any_dimension(gpu, kind, dtype, dimension):
    codec, wire = CODECS_THAT_FIT[kind](dimension), channel(dimension, dtype, ROWS)
    vectors = difficult(ROWS, dimension, dtype)
    assert_packs_as_host(gpu, codec, vectors, wire)
    assert_unpacks_as_host(gpu, codec, codec.encode(vectors, wire), wire)


@EVERY_CODEC
@DTYPES
def test_large_arrays_of_long_rows(gpu, kind, dtype):
    dimension = 1_000_003
    codec, wire = CODECS_THAT_FIT[kind](dimension), channel(dimension, dtype, 3)
    vectors = np.random.default_rng(0).standard_normal((3, dimension)).astype(dtype)
    assert_packs_as_host(gpu, codec, vectors, wire)
    assert_unpacks_as_host(gpu, codec, codec.encode(vectors, wire), wire)


@EVERY_CODEC
@DTYPES
def test_large_arrays_of_many_rows(gpu, kind, dtype):
    codec, wire = CODECS_THAT_FIT[kind](33), channel(33, dtype, 70_000)
    vectors = np.random.default_rng(0).standard_normal((70_000, 33)).astype(dtype)
    assert_packs_as_host(gpu, codec, vectors, wire)
    assert_unpacks_as_host(gpu, codec, codec.encode(vectors, wire), wire)


@EVERY_CODEC
@DTYPES
@pytest.mark.parametrize("dimension", [1, 30, 1025])
def test_damaged_and_random_payloads(gpu, kind, dtype, dimension):
    codec, wire = CODECS_THAT_FIT[kind](dimension), channel(dimension, dtype, 500)
    payloads = codec.encode(difficult(500, dimension, dtype), wire)
    generator = np.random.default_rng(dimension)
    places = generator.integers(0, payloads.shape[1], 500)
    payloads[np.arange(500), places] ^= 1 << generator.integers(0, 8, 500, dtype=np.uint8)
    assert_unpacks_as_host(gpu, codec, payloads, wire)
    limits, size = np.finfo(dtype), wire.dtype.itemsize
    edges = [0.0, -0.0, -1.0, np.nan, np.inf, -np.inf, limits.max, limits.tiny]
    edges += [limits.smallest_subnormal, -limits.smallest_subnormal]
    chosen = generator.choice(np.array(edges, dtype=dtype), (500, 1)).view(np.uint8)
    width = min(size, payloads.shape[1])
    payloads[:, :width] = chosen[:, :width]
    assert_unpacks_as_host(gpu, codec, payloads, wire)
    for filled in (0, 255):
        assert_unpacks_as_host(gpu, codec, np.full_like(payloads, filled), wire)
    payloads = generator.integers(0, 256, payloads.shape, dtype=np.uint8)
    assert_unpacks_as_host(gpu, codec, payloads, wire)


@EVERY_CODEC
@DTYPES
def test_some_rows_of_a_block(gpu, kind, dtype):
    codec, rows = CODECS_THAT_FIT[kind](101), np.array([1, 2, 6])
    vectors = difficult(7, 101, dtype)
    whole = pack(gpu, codec, gpu.asarray(vectors, dtype=dtype), channel(101, dtype, 7))
    wire = channel(101, dtype, 7, rows=rows)
    some = pack(gpu, codec, gpu.asarray(vectors[rows], dtype=dtype), wire)
    np.testing.assert_array_equal(some, whole[rows])
    assert_unpacks_as_host(gpu, codec, some, wire)


@EVERY_CODEC
@DTYPES
def test_no_rows(gpu, kind, dtype):
    codec, wire = CODECS_THAT_FIT[kind](30), channel(30, dtype, 7, rows=np.arange(0))
    payloads = pack(gpu, codec, gpu.xp.zeros((0, 30), dtype=dtype), wire)
    assert_unpacks_as_host(gpu, codec, payloads, wire)


@EVERY_CODEC
@DTYPES
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_what_is_not_finite_is_sent_and_refused(gpu, kind, dtype, value):
    codec, wire = CODECS_THAT_FIT[kind](30), channel(30, dtype, ROWS)
    vectors = np.random.default_rng(4).standard_normal((ROWS, 30)).astype(dtype)
    vectors[2], vectors[4, 11] = value, value
    assert_packs_as_host(gpu, codec, vectors, wire)
    payloads = pack(gpu, codec, gpu.asarray(vectors, dtype=dtype), wire)
    assert assert_unpacks_as_host(gpu, codec, payloads, wire)[2]


@DTYPES
@pytest.mark.parametrize("k", [1, 700, 1025, 20_000])
def test_the_first_of_equal_magnitudes_are_sent(gpu, dtype, k):
    vectors = np.random.default_rng(k).integers(-2, 3, (ROWS, 30_000)).astype(dtype)
    vectors[0], vectors[1], vectors[2, 1500] = -1.0, 0.0, np.nan
    assert_packs_as_host(gpu, TopK(k), vectors, channel(30_000, dtype, ROWS))


@DTYPES
def test_exact_sums_have_the_bits_of_the_host(gpu, dtype):
    wire = channel(4096, dtype, 4)
    vectors = np.random.default_rng(0).choice([-1.0, 1.0], (4, 4096))
    vectors *= np.array([[1.0], [2.0**-60], [2.0**60], [1.5]])
    vectors = vectors.astype(dtype)
    on_gpu = gpu.asarray(vectors, dtype=dtype)
    for codec in (Qsgd(7), Sign(), Qsgd(7, bucket=1024), Sign(bucket=1024)):
        np.testing.assert_array_equal(pack(gpu, codec, on_gpu, wire), codec.encode(vectors, wire))


def test_large_arrays_of_more_bits_than_32_bits_count(gpu):
    """A row of codes of 512 MiB; where the vectors are constant the norm is known."""
    dimension = 2**27 + 1025
    codec, wire = Qsgd(2**31 - 1), channel(dimension, "float32", 1)
    vectors = np.full((1, dimension), 0.5, dtype=np.float32)
    expected = codec.encode(vectors, wire)
    found = pack(gpu, codec, gpu.asarray(vectors, dtype=np.float32), wire)
    np.testing.assert_array_equal(found, expected)
    assert_unpacks_as_host(gpu, codec, expected, wire)


def test_large_arrays_of_more_bytes_than_32_bits_count(gpu):
    dimension = 2**30 + 1025
    free, _ = gpu.xp.cuda.runtime.memGetInfo()
    if free < 2**34:
        pytest.skip(f"the GPU has {free / 2**30:.0f} GiB to spare")
    wire, codec = channel(dimension, "float32", 1), NoCompression()
    vectors = gpu.xp.arange(dimension, dtype=np.float32).reshape(1, dimension)
    payloads = gpu.xp.zeros((1, 4 * dimension), dtype=np.uint8)
    codec.encode_on_gpu(vectors, wire, payloads)
    decoded, rejections = codec.decode_on_gpu(payloads, wire)
    assert not rejections.any()
    assert bool((decoded == vectors).all())
