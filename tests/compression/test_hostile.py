"""Hostile payloads: whatever the bytes, decoding ends in a finite vector or a refusal.

Every example is a block of payloads, each with a damage of its own, so the
profile ``long`` decodes 16000 payloads for each codec and dtype, and ``short`` 480.
"""

import dataclasses
import math
import struct

import numpy as np
import pytest
from codecs_on_gpu import assert_unpacks_as_host
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.compression import CODECS, Channel, Rejection
from lad_mpi.compression.bits import packed_bytes
from lad_mpi.rng import Purpose, Streams

ROWS = 8
PAYLOAD_REASONS = {int(reason) for reason in Rejection if reason > Rejection.CHECKSUM}
EVERY_CODEC = pytest.mark.parametrize("kind", sorted(CODECS))
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])

#: Parameters by the name of a field; what is not here is left at its default.
PARAMETERS = {
    "k": lambda dimension: st.integers(1, dimension),
    "format": lambda dimension: st.sampled_from(["float16", "bfloat16"]),
    "bucket": lambda dimension: st.sampled_from([None, 8, 16, 64]),
    "levels": lambda dimension: st.sampled_from([1, 2, 3, 7, 8, 100, 2**15, 2**31 - 1]),
}


@st.composite
def codecs(draw, kind):
    """A codec of a kind, with any parameters that fit, and the dimension that they fit."""
    dimension = draw(st.integers(1, 40))
    fields = [field.name for field in dataclasses.fields(CODECS[kind])]
    values = {name: draw(PARAMETERS[name](dimension)) for name in fields if name in PARAMETERS}
    return CODECS[kind](**values), dimension


def channel(dimension, dtype, rows=None):
    return Channel(Streams(11), 3, 5, ROWS, dimension, np.dtype(dtype), rows)


def random_bytes(payload, dtype, generator):
    payload[:] = generator.integers(0, 256, payload.size)


def nothing(payload, dtype, generator):
    pass


def flipped_bits(payload, dtype, generator):
    for bit in generator.integers(0, 8 * payload.size, generator.integers(1, 5)):
        payload[bit // 8] ^= 1 << (bit % 8)


def edge_values(payload, dtype, generator):
    """Scalars at the ends of the range and beyond, in some places or in all."""
    limits = np.finfo(dtype)
    edges = [math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, limits.max, limits.min]
    edges += [limits.tiny, limits.smallest_subnormal, -limits.smallest_subnormal]
    count = payload.size // np.dtype(dtype).itemsize
    scalars = payload[: count * np.dtype(dtype).itemsize].view(f"<f{np.dtype(dtype).itemsize}")
    places = generator.random(count) < generator.choice([0.1, 1.0])
    scalars[places] = generator.choice(edges, count)[places]


def one_edge_value(payload, dtype, generator):
    """One such scalar, first in the payload: a norm, a scale, or a value."""
    edge_values(payload[: np.dtype(dtype).itemsize], dtype, generator)


def filled_tail(payload, dtype, generator):
    payload[generator.integers(payload.size) :] = generator.choice([0, 255])


def filled(payload, dtype, generator):
    payload[:] = generator.integers(0, 256)


def dirty_last_byte(payload, dtype, generator):
    payload[-1] |= generator.integers(1, 256)


def repeated_piece(payload, dtype, generator):
    size = generator.integers(1, 1 + max(1, payload.size // 2))
    source, target = generator.integers(0, payload.size - size + 1, 2)
    payload[target : target + size] = payload[source : source + size].copy()


DAMAGES = [
    random_bytes,
    nothing,
    flipped_bits,
    edge_values,
    one_edge_value,
    filled_tail,
    filled,
    dirty_last_byte,
    repeated_piece,
]


@st.composite
def blocks(draw, kind, dtype):
    """A codec, and payloads for it: valid ones of vectors of all sizes, damaged or not."""
    codec, dimension = draw(codecs(kind))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    vectors = generator.standard_normal((ROWS, dimension))
    vectors *= 10.0 ** generator.choice([-44, -30, 0, 0, 30], (ROWS, 1))
    vectors[generator.random(vectors.shape) < 0.2] = 0
    payloads = codec.encode(vectors.astype(dtype), channel(dimension, dtype))
    damages = draw(st.lists(st.sampled_from(DAMAGES), min_size=ROWS, max_size=ROWS))
    for payload, damage in zip(payloads, damages, strict=True):
        damage(payload, dtype, generator)
    return codec, dimension, payloads


def decode(codec, payloads, wire):
    with np.errstate(all="raise"):
        return codec.decode(payloads, wire)


def test_the_long_profile_decodes_a_hundred_thousand_payloads():
    combinations = 2 * len(CODECS)
    long = settings.get_profile("long").max_examples
    short = settings.get_profile("short").max_examples
    assert combinations * ROWS * long >= 100_000
    assert 2000 <= combinations * ROWS * short <= 10_000


@EVERY_CODEC
@DTYPES
def test_no_payload_raises_or_is_half_accepted(kind, dtype):
    @given(blocks(kind, dtype))
    def holds(block):
        codec, dimension, payloads = block
        before = payloads.copy()
        vectors, rejections = decode(codec, payloads, channel(dimension, dtype))
        np.testing.assert_array_equal(payloads, before)
        assert vectors.shape == (ROWS, dimension)
        assert vectors.dtype == np.dtype(dtype)
        assert np.isfinite(vectors).all()
        assert set(rejections.tolist()) <= PAYLOAD_REASONS | {0}
        assert not vectors[rejections != 0].any()
        check_against_reference(kind, codec, payloads, channel(dimension, dtype))

    holds()


@EVERY_CODEC
@DTYPES
def test_nothing_beyond_a_payload_is_read(kind, dtype):
    """Each payload alone, between poisons, decodes as it does in its block."""

    @given(blocks(kind, dtype), st.sampled_from([0, 1, 127, 128, 255]), st.integers(0, 7))
    @settings(max_examples=max(1, settings().max_examples // 4))
    def holds(block, poison, shift):
        codec, dimension, payloads = block
        whole = decode(codec, payloads, channel(dimension, dtype))
        size = payloads.shape[1]
        for row in range(ROWS):
            # Off the borders of words too, as no allocator would place it.
            memory = np.full(64 + shift + size + 64, poison, dtype=np.uint8)
            payload = memory[64 + shift : 64 + shift + size]
            payload[:] = payloads[row]
            wire = channel(dimension, dtype, rows=np.array([row]))
            alone = decode(codec, payload.reshape(1, size), wire)
            assert (memory[: 64 + shift] == poison).all()
            assert (memory[64 + shift + size :] == poison).all()
            np.testing.assert_array_equal(alone[0][0], whole[0][row])
            assert alone[1][0] == whole[1][row]

    holds()


@EVERY_CODEC
@DTYPES
def test_a_gpu_decodes_to_the_same_bits(kind, dtype, standin_gpu):
    @given(blocks(kind, dtype))
    def holds(block):
        codec, dimension, payloads = block
        assert_unpacks_as_host(standin_gpu, codec, payloads, channel(dimension, dtype))

    holds()


def check_against_reference(kind, codec, payloads, wire):
    """Hold acceptance, reason and vector against a reading by the book, one byte at a time."""
    vectors, rejections = decode(codec, payloads, wire)
    for row, payload in enumerate(payloads):
        faults, expected, again = REFERENCES[kind](codec, payload.tobytes(), wire, row)
        if faults:
            assert Rejection(rejections[row]) in faults
            continue
        assert rejections[row] == Rejection.NONE
        limits = np.finfo(wire.dtype)
        np.testing.assert_allclose(
            vectors[row], expected, rtol=4 * limits.eps, atol=limits.smallest_subnormal
        )
        written = again(vectors[row].tolist())
        if written is not None:
            assert written == payload.tobytes()


def scalars(payload, dtype, count):
    letter = "f" if dtype.itemsize == 4 else "d"
    return list(struct.unpack(f"<{count}{letter}", payload[: count * dtype.itemsize]))


def write_scalars(values, dtype):
    return struct.pack(f"<{len(values)}{'f' if dtype.itemsize == 4 else 'd'}", *values)


def codes(payload, count, width):
    """Integers of so many bits, least significant bit first, and what is left of the bytes."""
    number = int.from_bytes(payload, "little")
    found = [number >> (place * width) & ((1 << width) - 1) for place in range(count)]
    return found, number >> (count * width)


def write_codes(values, width):
    number = sum(value << (place * width) for place, value in enumerate(values))
    return number.to_bytes(packed_bytes(len(values), width), "little")


def finite(values):
    return all(math.isfinite(value) for value in values)


def read_none(codec, payload, wire, row):
    values = scalars(payload, wire.dtype, wire.dimension)
    faults = set() if finite(values) else {Rejection.NOT_FINITE}
    return faults, values, lambda decoded: write_scalars(decoded, wire.dtype)


def floyd(words, dimension, k):
    """Draw k of the numbers below a dimension by Floyd's algorithm, with big integers."""
    chosen = set()
    for last, word in zip(range(dimension - k, dimension), words, strict=True):
        drawn = word * (last + 1) >> 64
        chosen.add(last if drawn in chosen else drawn)
    return chosen


def read_rand_k(codec, payload, wire, row):
    values = scalars(payload, wire.dtype, codec.k)
    # Of more than half, those that are left out are drawn.
    draws = min(codec.k, wire.dimension - codec.k)
    words = wire.streams.words(
        Purpose.COMPRESSION,
        wire.iteration,
        draws,
        first_device=wire.first_device,
        num_devices=wire.num_devices,
    )[row].tolist()
    drawn = floyd(words, wire.dimension, draws)
    chosen = sorted(drawn if draws == codec.k else {*range(wire.dimension)} - drawn)
    scale = wire.dimension / codec.k
    with np.errstate(all="ignore"):
        scaled = [float(wire.dtype.type(value * scale)) for value in values]
    expected = [0.0] * wire.dimension
    for place, value in zip(chosen, scaled, strict=True):
        expected[place] = value
    faults = set() if finite(scaled) else {Rejection.NOT_FINITE}

    def again(decoded):
        # A power of two changes no digit, so what was scaled can be scaled back.
        if math.frexp(scale)[0] != 0.5:
            return None
        return write_scalars([decoded[place] / scale for place in chosen], wire.dtype)

    return faults, expected, again


def read_qsgd(codec, payload, wire, row):
    width = math.ceil(math.log2(2 * codec.levels + 1))
    size = wire.dtype.itemsize
    (norm,) = scalars(payload, wire.dtype, 1)
    found, rest = codes(payload[size:], wire.dimension, width)
    steps = [code - codec.levels for code in found]
    faults = set()
    if not math.isfinite(norm):
        faults.add(Rejection.NOT_FINITE)
    if math.copysign(1, norm) < 0 or (norm == 0 and any(steps)):
        faults.add(Rejection.SCALE)
    if max(steps) > codec.levels:
        faults.add(Rejection.LEVEL)
    if rest:
        faults.add(Rejection.PADDING)
    expected = [] if faults else [step / codec.levels * norm for step in steps]

    def again(decoded):
        # The norm is not to be had from the vector, nor are the levels where they are as
        # fine as the numbers, or underflow.
        limits = np.finfo(wire.dtype)
        if norm < float(limits.tiny) * codec.levels or 8 * codec.levels * limits.eps > 1:
            return None
        levels = [round(value / norm * codec.levels) for value in decoded]
        return payload[:size] + write_codes([level + codec.levels for level in levels], width)

    return faults, expected, again


def by_buckets(read, width_of):
    """Read one bucket after the other. The first one with a fault decides."""

    def read_all(codec, payload, wire, row):
        size = codec.bucket or wire.dimension
        expected, writers, place = [], [], 0
        for first in range(0, wire.dimension, size):
            part = dataclasses.replace(wire, dimension=min(size, wire.dimension - first))
            start = place
            place += wire.dtype.itemsize + packed_bytes(part.dimension, width_of(codec))
            faults, values, again = read(codec, payload[start:place], part, row)
            if faults:
                return faults, [], None
            expected += values
            writers.append((slice(first, first + part.dimension), again))
        assert place == len(payload)

        def write(decoded):
            written = [again(decoded[columns]) for columns, again in writers]
            return None if None in written else b"".join(written)

        return set(), expected, write

    return read_all


def read_top_k(codec, payload, wire, row):
    width = (wire.dimension - 1).bit_length()
    size = codec.k * wire.dtype.itemsize
    values = scalars(payload, wire.dtype, codec.k)
    indices, rest = codes(payload[size:], codec.k, width)
    faults = set()
    if not finite(values):
        faults.add(Rejection.NOT_FINITE)
    if sorted(set(indices)) != indices or max(indices) >= wire.dimension:
        faults.add(Rejection.INDEX)
    if rest:
        faults.add(Rejection.PADDING)
    expected = [0.0] * wire.dimension
    for place, value in zip(indices, values, strict=True) if not faults else ():
        expected[place] = value

    def again(decoded):
        # Where a zero was sent is not to be had from the vector.
        places = [j for j in range(wire.dimension) if decoded[j] != 0 or j in indices]
        return write_scalars([decoded[j] for j in places], wire.dtype) + write_codes(places, width)

    return faults, expected, again


def read_sign(codec, payload, wire, row):
    size = wire.dtype.itemsize
    (scale,) = scalars(payload, wire.dtype, 1)
    bits, rest = codes(payload[size:], wire.dimension, 1)
    faults = set()
    if not math.isfinite(scale):
        faults.add(Rejection.NOT_FINITE)
    if math.copysign(1, scale) < 0 or (scale == 0 and any(bits)):
        faults.add(Rejection.SCALE)
    if rest:
        faults.add(Rejection.PADDING)
    expected = [-scale if bit else scale for bit in bits]

    def again(decoded):
        written = write_codes([int(value < 0) for value in decoded], 1)
        return write_scalars([abs(decoded[0])], wire.dtype) + written

    return faults, expected, again


def read_cast(codec, payload, wire, row):
    if codec.format == "float16":
        values = list(struct.unpack(f"<{wire.dimension}e", payload))

        def again(decoded):
            return struct.pack(f"<{wire.dimension}e", *decoded)

    else:
        pairs = [payload[place : place + 2] for place in range(0, len(payload), 2)]
        values = [struct.unpack("<f", b"\0\0" + pair)[0] for pair in pairs]

        def again(decoded):
            return b"".join(struct.pack("<f", value)[2:] for value in decoded)

    return (set() if finite(values) else {Rejection.NOT_FINITE}), values, again


def read_natural(codec, payload, wire, row):
    split = packed_bytes(wire.dimension, 1)
    signs, rest = codes(payload[:split], wire.dimension, 1)
    exponents = list(payload[split:])
    faults = {Rejection.PADDING} if rest else set()
    if max(exponents) == 255:
        faults.add(Rejection.NOT_FINITE)
    magnitudes = [2.0 ** (code - 127) if code else 0.0 for code in exponents]
    expected = [-value if sign else value for sign, value in zip(signs, magnitudes, strict=True)]

    def again(decoded):
        written = write_codes([int(math.copysign(1, value) < 0) for value in decoded], 1)
        # frexp has fractions from a half on, where the format has them from one on.
        return written + bytes(math.frexp(value)[1] + 126 if value else 0 for value in decoded)

    return faults, expected, again


#: By kind: the faults of a payload, its vector, and what writes the payload again from that.
REFERENCES = {
    "none": read_none,
    "rand_k": read_rand_k,
    "qsgd": by_buckets(read_qsgd, lambda codec: (2 * codec.levels).bit_length()),
    "top_k": read_top_k,
    "sign": by_buckets(read_sign, lambda codec: 1),
    "cast": read_cast,
    "natural": read_natural,
}
