"""What codecs do on a GPU is what they do on the host, to the bit.

For tests on a card and with the stand-in for one alike: ``gpu`` is a
:class:`lad_mpi.arrays.Backend` of either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.arrays import namespace, to_host
from lad_mpi.compression import Cast, Channel, Natural, NoCompression, Qsgd, RandK, Sign, TopK
from lad_mpi.compression.buckets import bucket_size
from lad_mpi.compression.cuda import qsgd
from lad_mpi.rng import Streams

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.arrays import Backend
    from lad_mpi.compression import GpuCodec
    from lad_mpi.types import Array, HostBytes, HostFloats, HostInts

#: Codecs of every kind that fit a dimension.
CODECS_THAT_FIT: dict[str, Callable[[int], GpuCodec]] = {
    "none": lambda dimension: NoCompression(),
    "bfloat16": lambda dimension: Cast("bfloat16"),
    "float16": lambda dimension: Cast("float16"),
    "rand_k few": lambda dimension: RandK(-(-dimension // 3)),
    "rand_k most": lambda dimension: RandK(-(-dimension * 3 // 4)),
    "qsgd of 2 bits": lambda dimension: Qsgd(1),
    "qsgd of 5 bits": lambda dimension: Qsgd(15),
    "qsgd of 32 bits": lambda dimension: Qsgd(2**31 - 1),
    "qsgd in buckets": lambda dimension: Qsgd(15, bucket=1032),
    "sign": lambda dimension: Sign(),
    "sign in buckets": lambda dimension: Sign(bucket=264),
    "natural": lambda dimension: Natural(),
    "top_k few": lambda dimension: TopK(-(-dimension // 3)),
    "top_k all": TopK,
}
#: Of these the number that each bucket begins with is summed.
SUMMED = (Qsgd, Sign)
#: Lengths of what stands before each payload, the second of which aligns nothing.
SHIFTS = (0, 3)

_HEADER_BYTES = 32
_UNTOUCHED = 0xA5


def channel(
    dimension: int, dtype: Any, num_devices: int, *, first_device: int = 5, rows: Any = None
) -> Channel:
    return Channel(
        Streams(2**63 + 11), 3, first_device, num_devices, dimension, np.dtype(dtype), rows
    )


def difficult(num_rows: int, dimension: int, dtype: Any, seed: int = 0) -> HostFloats:
    """Return vectors of all sizes, with zeros of both signs, ties, and ends of all ranges.

    Row 1 is zero, and row 2 as small as can be, where there are so many.
    """
    generator, limits = np.random.default_rng(seed), np.finfo(dtype)
    shape = (num_rows, dimension)
    vectors = generator.standard_normal(shape) * 10.0 ** generator.choice([-44, -30, 0, 4], shape)
    edges = [0.0, -0.0, limits.tiny, limits.smallest_subnormal, -limits.smallest_subnormal]
    edges += [65504.0, 65519.0, 65520.0, 2.0**-14, 2.0**-24, 2.0**-25, 3 * 2.0**-26, 2.0**-126]
    edges += [2.0**-133, 2.0**-134, 3 * 2.0**-135, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 2.0**-11]
    edges += [1 + 3 * 2.0**-11, (1 + 2.0**-8) * (1 + 2.0**-40), 2.0**126, -(2.0**127), 1.0, -1.0]
    vectors = np.where(generator.random(shape) < 0.3, generator.choice(edges, shape), vectors)
    vectors[1:2] = 0.0
    vectors[2:3] = limits.smallest_subnormal
    return vectors.astype(dtype)


def layouts(gpu: Backend, vectors: HostFloats) -> dict[str, Array]:
    """Return the same vectors in several layouts of memory."""
    num_rows, dimension = vectors.shape
    wide = gpu.xp.zeros((2 * num_rows, 3 * dimension), dtype=vectors.dtype)
    wide[::-2, 1::3] = gpu.asarray(vectors, dtype=vectors.dtype)
    turned = gpu.asarray(np.ascontiguousarray(vectors.T), dtype=vectors.dtype)
    return {
        "rows": gpu.asarray(vectors, dtype=vectors.dtype),
        "columns": turned.T,
        "strides": wide[::-2, 1::3],
    }


def slots(gpu: Backend, payloads: HostBytes, shift: int) -> tuple[Array, Array]:
    """Return memory as of messages, beginning at an odd place, and the payloads in it."""
    num_rows, size = payloads.shape
    slot = _HEADER_BYTES + size
    memory = gpu.xp.full(shift + num_rows * slot, _UNTOUCHED, dtype=np.uint8)
    inside = memory[shift:].reshape(num_rows, slot)[:, _HEADER_BYTES:]
    inside[...] = gpu.asarray(payloads, dtype=np.uint8)
    return memory, inside


def pack(
    gpu: Backend, codec: GpuCodec, vectors: Array, wire: Channel, *, shift: int = 0
) -> HostBytes:
    """Pack by the GPU, and see that all of the payloads and nothing else is written."""

    def packed(before: int) -> HostBytes:
        size = codec.payload_bytes(wire.dimension, wire.dtype)
        memory, payloads = slots(gpu, np.full((len(vectors), size), before, np.uint8), shift)
        codec.encode_on_gpu(vectors, wire, payloads)
        found = to_host(payloads.copy())
        payloads[...] = _UNTOUCHED
        assert (to_host(memory) == _UNTOUCHED).all()
        return found

    first = packed(0)
    np.testing.assert_array_equal(packed(255), first)
    return first


def assert_packs_as_host(gpu: Backend, codec: GpuCodec, vectors: HostFloats, wire: Channel) -> None:
    """Whatever the layout of vectors and slots."""
    expected = codec.encode(vectors, wire)
    for name, on_gpu in layouts(gpu, vectors).items():
        for shift in SHIFTS:
            found = pack(gpu, codec, on_gpu, wire, shift=shift)
            if isinstance(codec, SUMMED):
                _assert_sums_agree(codec, found, expected, wire)
            if isinstance(codec, Qsgd):
                # Beside the norms that the host has found.
                norms = as_bits(sums_in(codec, expected, wire))
                _, payloads = slots(gpu, found, shift)
                given = gpu.asarray(norms, dtype=norms.dtype)
                sizes = codec.levels, bucket_size(wire.dimension, codec.bucket)
                qsgd.quantize(on_gpu, given, sizes, wire, payloads)
                found = to_host(payloads.copy())
            elif isinstance(codec, Sign):
                places = sum_bytes(codec, wire)
                found[:, places] = expected[:, places]
            np.testing.assert_array_equal(found, expected, err_msg=name)


def assert_unpacks_as_host(
    gpu: Backend, codec: GpuCodec, payloads: HostBytes, wire: Channel
) -> HostInts:
    """Whatever the layout of slots; return the rejections."""
    expected, reasons = codec.decode(payloads, wire)
    for shift in SHIFTS:
        memory, inside = slots(gpu, payloads, shift)
        before = to_host(memory).copy()
        vectors, rejections = codec.decode_on_gpu(inside, wire)
        assert namespace(vectors) is gpu.xp
        assert vectors.flags.c_contiguous
        assert (vectors.shape, vectors.dtype) == (expected.shape, wire.dtype)
        assert isinstance(rejections, np.ndarray)
        assert rejections.dtype == np.int64
        np.testing.assert_array_equal(rejections, reasons)
        np.testing.assert_array_equal(as_bits(to_host(vectors)), as_bits(expected))
        np.testing.assert_array_equal(to_host(memory), before)
    return reasons


def as_bits(values: HostFloats) -> Any:
    """Return numbers so that −0.0 is not 0.0, and NaN is itself."""
    return values.view(f"u{values.itemsize}")


def sum_bytes(codec: Qsgd | Sign, wire: Channel) -> HostInts:
    """Return the places of a payload's bytes that hold the sums of its buckets."""
    starts = range(0, wire.dimension, bucket_size(wire.dimension, codec.bucket))
    first = np.array([codec.payload_bytes(start, wire.dtype) for start in starts])
    return (first[:, None] + np.arange(wire.dtype.itemsize)).ravel()


def sums_in(codec: Qsgd | Sign, payloads: HostBytes, wire: Channel) -> HostFloats:
    """Return the sums of the buckets of all payloads, one after the other."""
    return np.ascontiguousarray(payloads[:, sum_bytes(codec, wire)]).view(wire.dtype).ravel()


def _assert_sums_agree(
    codec: Qsgd | Sign, found: HostBytes, expected: HostBytes, wire: Channel
) -> None:
    numbers, wanted = (sums_in(codec, payloads, wire) for payloads in (found, expected))
    # The host adds so many numbers one after the other that its own error shows.
    of_sums = 2 * np.sqrt(wire.dimension) * np.finfo(np.float64).eps
    limits = np.finfo(wire.dtype)
    tolerance = max(4 * limits.eps, of_sums)
    np.testing.assert_allclose(numbers, wanted, rtol=tolerance, atol=limits.smallest_subnormal)
