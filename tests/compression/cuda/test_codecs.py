"""Codecs on a GPU, whose kernels the host carries out here.

What only a card can show is in ``tests/gpu/test_codecs.py``; hostile payloads are in
``tests/compression/test_hostile.py``.
"""

import platform

import numpy as np
import pytest
from codecs_on_gpu import (
    CODECS_THAT_FIT,
    assert_packs_as_host,
    assert_unpacks_as_host,
    channel,
    difficult,
    pack,
    sums_in,
)
from cuda_on_host import HostKernel, backwards

from lad_mpi.compression import CODECS, GpuCodec, Qsgd, Rejection, Sign, TopK
from lad_mpi.compression.cuda import launch
from lad_mpi.compression.cuda.launch import CHUNK, SPAN

ROWS = 5
EVERY_CODEC = pytest.mark.parametrize("kind", list(CODECS_THAT_FIT))
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
DIMENSIONS = pytest.mark.parametrize("dimension", [1, 2, 7, 8, 9, 64, 65, 1000, 1025, 4097])


def normal(num_rows, dimension, dtype):
    return np.random.default_rng(4).standard_normal((num_rows, dimension)).astype(dtype)


def test_every_codec_works_on_a_gpu():
    fitting = [make(30) for make in CODECS_THAT_FIT.values()]
    assert {type(codec) for codec in fitting} == set(CODECS.values())
    assert all(isinstance(codec, GpuCodec) for codec in fitting)


@EVERY_CODEC
@DTYPES
@DIMENSIONS
class TestParity:
    def test_it_packs_as_the_host_does(self, standin_gpu, kind, dtype, dimension):
        codec, wire = CODECS_THAT_FIT[kind](dimension), channel(dimension, dtype, ROWS)
        assert_packs_as_host(standin_gpu, codec, difficult(ROWS, dimension, dtype), wire)
        assert_packs_as_host(standin_gpu, codec, normal(ROWS, dimension, dtype), wire)

    def test_it_unpacks_as_the_host_does(self, standin_gpu, kind, dtype, dimension):
        codec, wire = CODECS_THAT_FIT[kind](dimension), channel(dimension, dtype, ROWS)
        payloads = codec.encode(difficult(ROWS, dimension, dtype), wire)
        assert_unpacks_as_host(standin_gpu, codec, payloads, wire)
        generator = np.random.default_rng(dimension)
        places = generator.integers(0, payloads.shape[1], ROWS)
        payloads[np.arange(ROWS), places] ^= 1 << generator.integers(0, 8, ROWS, dtype=np.uint8)
        assert_unpacks_as_host(standin_gpu, codec, payloads, wire)
        payloads = generator.integers(0, 256, payloads.shape, dtype=np.uint8)
        assert_unpacks_as_host(standin_gpu, codec, payloads, wire)


def flushing(kernel):
    """Let a kernel take small numbers for zeros, and make zeros of them, as on a card."""
    set_modes = HostKernel(
        """extern "C" __global__ void set_modes(unsigned modes)
        {
            asm volatile("ldmxcsr %0" : : "m"(modes));
        }""",
        "set_modes",
    )

    def launch(*arguments):
        set_modes((1,), (1,), (np.uint32(0x9FC0),))
        try:
            assert not (np.full(1, 1e-40, dtype=np.float32) * np.float32(1)).any()
            kernel(*arguments)
        finally:
            set_modes((1,), (1,), (np.uint32(0x1F80),))

    return launch


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="of other processors")
@EVERY_CODEC
def test_numbers_that_cards_take_for_zeros_count(standin_gpu, monkeypatch, kind):
    """CuPy has float32 numbers below 2⁻¹²⁶ flushed in all that it compiles; the host does not."""
    codec, wire = CODECS_THAT_FIT[kind](101), channel(101, "float32", ROWS)
    vectors = (normal(ROWS, 101, "float64") * 2.0**-128).astype(np.float32)
    assert (np.abs(vectors) < 2.0**-126).any(axis=1).all()
    compiled = launch.compiled
    monkeypatch.setattr(launch, "compiled", lambda *names: flushing(compiled(*names)))
    assert_packs_as_host(standin_gpu, codec, vectors, wire)
    assert_unpacks_as_host(standin_gpu, codec, codec.encode(vectors, wire), wire)


@EVERY_CODEC
@DTYPES
class TestBlocks:
    def test_many_parts_of_a_row(self, standin_gpu, kind, dtype):
        dimension = 4 * SPAN + 3
        codec, wire = CODECS_THAT_FIT[kind](dimension), channel(dimension, dtype, 2)
        vectors = difficult(2, dimension, dtype)
        assert_packs_as_host(standin_gpu, codec, vectors, wire)
        assert_unpacks_as_host(standin_gpu, codec, codec.encode(vectors, wire), wire)

    def test_no_order_of_threads_matters(self, standin_gpu, kind, dtype):
        dimension = 2 * CHUNK + 1
        codec, wire = CODECS_THAT_FIT[kind](dimension), channel(dimension, dtype, ROWS)
        on_gpu = standin_gpu.asarray(difficult(ROWS, dimension, dtype), dtype=dtype)
        forwards = pack(standin_gpu, codec, on_gpu, wire)
        with backwards():
            np.testing.assert_array_equal(pack(standin_gpu, codec, on_gpu, wire), forwards)
            assert_unpacks_as_host(standin_gpu, codec, forwards, wire)

    def test_a_row_does_not_depend_on_its_block(self, standin_gpu, kind, dtype):
        codec, gpu = CODECS_THAT_FIT[kind](101), standin_gpu
        on_gpu = gpu.asarray(difficult(7, 101, dtype), dtype=dtype)
        whole = pack(gpu, codec, on_gpu, channel(101, dtype, 7))
        head = pack(gpu, codec, on_gpu[:3], channel(101, dtype, 3))
        tail = pack(gpu, codec, on_gpu[3:], channel(101, dtype, 4, first_device=8))
        np.testing.assert_array_equal(whole, np.concatenate([head, tail]))
        assert_unpacks_as_host(gpu, codec, whole[3:], channel(101, dtype, 4, first_device=8))

    def test_some_rows_of_a_block(self, standin_gpu, kind, dtype):
        codec, gpu, rows = CODECS_THAT_FIT[kind](101), standin_gpu, np.array([1, 2, 6])
        vectors = difficult(7, 101, dtype)
        whole = pack(gpu, codec, gpu.asarray(vectors, dtype=dtype), channel(101, dtype, 7))
        wire = channel(101, dtype, 7, rows=rows)
        some = pack(gpu, codec, gpu.asarray(vectors[rows], dtype=dtype), wire)
        np.testing.assert_array_equal(some, whole[rows])
        assert_unpacks_as_host(gpu, codec, some, wire)

    def test_no_rows(self, standin_gpu, kind, dtype):
        codec, wire = CODECS_THAT_FIT[kind](30), channel(30, dtype, 7, rows=np.arange(0))
        payloads = pack(standin_gpu, codec, standin_gpu.xp.zeros((0, 30), dtype=dtype), wire)
        assert payloads.shape == (0, codec.payload_bytes(30, np.dtype(dtype)))
        assert_unpacks_as_host(standin_gpu, codec, payloads, wire)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_what_is_not_finite_is_sent_and_refused(self, standin_gpu, kind, dtype, value):
        codec, wire = CODECS_THAT_FIT[kind](30), channel(30, dtype, ROWS)
        vectors = normal(ROWS, 30, dtype)
        vectors[2], vectors[4, 11] = value, value
        assert_packs_as_host(standin_gpu, codec, vectors, wire)
        payloads = pack(standin_gpu, codec, standin_gpu.asarray(vectors, dtype=dtype), wire)
        reasons = assert_unpacks_as_host(standin_gpu, codec, payloads, wire)
        assert reasons[2] == Rejection.NOT_FINITE


@DTYPES
@pytest.mark.parametrize("codec", [Qsgd(7), Sign()], ids=["qsgd", "sign"])
class TestSums:
    def test_what_is_exact_has_the_bits_of_the_host(self, standin_gpu, codec, dtype):
        """Of few digits every sum is exact, and of equal magnitudes the mean is."""
        wire = channel(4096, dtype, 4)
        vectors = np.random.default_rng(0).choice([-1.0, 1.0], (4, 4096))
        vectors *= np.array([[1.0], [2.0**-60], [2.0**60], [1.5]])
        if isinstance(codec, Qsgd):
            vectors[:, ::2] *= 2
        vectors = vectors.astype(dtype)
        found = pack(standin_gpu, codec, standin_gpu.asarray(vectors, dtype=dtype), wire)
        np.testing.assert_array_equal(found, codec.encode(vectors, wire))

    @pytest.mark.parametrize("dimension", [1, 2, 9, 1025, SPAN + 1])
    def test_ends_of_range(self, standin_gpu, codec, dtype, dimension):
        limits, wire = np.finfo(dtype), channel(dimension, dtype, 4)
        sizes = [limits.max, limits.max / 2**7, limits.tiny, limits.smallest_subnormal]
        vectors = np.repeat(np.array(sizes, dtype=dtype)[:, None], dimension, axis=1)
        payloads = pack(standin_gpu, codec, standin_gpu.asarray(vectors, dtype=dtype), wire)
        numbers = sums_in(codec, payloads, wire)
        expected = sums_in(codec, codec.encode(vectors, wire), wire)
        np.testing.assert_allclose(numbers, expected, rtol=4 * limits.eps)
        finite = np.isfinite(numbers)
        assert finite[1:].all()
        assert isinstance(codec, Sign) or finite[0] == (dimension == 1)
        within = np.greater_equal if isinstance(codec, Qsgd) else np.equal
        assert within(numbers, vectors[:, 0])[finite].all()

    def test_a_norm_is_no_smaller_and_a_mean_no_larger_than_any_magnitude(
        self, standin_gpu, codec, dtype
    ):
        wire = channel(65, dtype, 200)
        vectors = normal(200, 65, dtype)
        vectors[:, 1:] *= np.array(1e-9, dtype=dtype)
        vectors[100:] = vectors[100:, :1]
        payloads = pack(standin_gpu, codec, standin_gpu.asarray(vectors, dtype=dtype), wire)
        numbers, largest = sums_in(codec, payloads, wire), np.abs(vectors).max(axis=1)
        compare = np.greater_equal if isinstance(codec, Qsgd) else np.less_equal
        assert compare(numbers, largest).all()


@DTYPES
def test_where_a_mean_vanishes_no_signs_are_sent(standin_gpu, dtype):
    wire = channel(3 * CHUNK, dtype, 2)
    vectors = np.zeros((2, 3 * CHUNK), dtype=dtype)
    vectors[0, [0, 2000]] = -np.finfo(dtype).smallest_subnormal
    vectors[1, [0, 2000]] = -1.0
    payloads = pack(standin_gpu, Sign(), standin_gpu.asarray(vectors, dtype=dtype), wire)
    np.testing.assert_array_equal(payloads, Sign().encode(vectors, wire))
    assert not payloads[0].any()


@DTYPES
@pytest.mark.parametrize("k", [1, 2, 700, 1024, 1025, 3000])
def test_the_first_of_equal_magnitudes_are_sent(standin_gpu, dtype, k):
    vectors = np.random.default_rng(k).integers(-2, 3, (ROWS, 3000)).astype(dtype)
    vectors[0] = -1.0
    vectors[1], vectors[2, 1500] = 0.0, np.nan
    vectors[2, 7:9] = np.inf
    assert_packs_as_host(standin_gpu, TopK(k), vectors, channel(3000, dtype, ROWS))


@DTYPES
def test_indices_out_of_place_are_refused(standin_gpu, dtype):
    """Written where they say, they might overwrite each other, or what is not theirs."""
    codec, wire = TopK(1500), channel(3000, dtype, 4)
    payloads = codec.encode(normal(4, 3000, dtype), wire)
    indices = payloads[:, 1500 * wire.dtype.itemsize :]
    indices[0] = 0
    indices[1] = 255
    indices[2, -1] |= 0xF0
    reasons = assert_unpacks_as_host(standin_gpu, codec, payloads, wire)
    assert reasons.tolist() == [Rejection.INDEX, Rejection.INDEX, Rejection.INDEX, Rejection.NONE]
