# mypy: disable-error-code="import-untyped, no-untyped-call, untyped-decorator"
"""Compiled kernels of the codecs that draw random numbers or pack bits.

Importing this module imports Numba, so codecs do it in their methods, on the ranks that
compress. Compiled code is cached on disk. Numba only compiles a function again if its own file
changes, so all kernels are in this file: a kernel that calls one in another file could be stale.

A row, or a bucket of it, is worked on in blocks of :data:`BLOCK_COORDINATES` coordinates,
whose random words and codes stay in the first-level cache. The words are those of
:meth:`lad_mpi.rng.Streams.words`, made here because a call into NumPy for them
takes longer than all the rest; in float32 every coordinate has half a word, low
half first, in float64 a whole one. Rows do not interact. Arrays of bytes that are
looked at as words are little-endian, as is every processor that Numba compiles for.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from lad_mpi.compression.base import Rejection
from lad_mpi.rng import Purpose

if TYPE_CHECKING:
    from lad_mpi.compression.base import Channel
    from lad_mpi.types import HostBools, HostBytes, HostFloats, HostInts, HostWords

    #: Seed, purpose and iteration as uint64, and the numbers of the rows' devices.
    _Keys: TypeAlias = tuple[tuple[np.uint64, np.uint64, np.uint64], HostInts]

#: Coordinates worked on at once: a multiple of eight, so that blocks fill whole bytes.
BLOCK_COORDINATES = 1024

_LINE_BYTES = 64
_WORD_BITS = 64
_WORDS_A_CALL = 4  # Philox-4x64 makes so many from one counter
_ROUNDS = 10
_MULTIPLIERS = (np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157))
_KEY_STEPS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B))
_HALF_UNIT = 2.0**-32
_WORD_UNIT = 2.0**-53

# Bits of a magnitude, bits of its fraction, and the exponent field of numbers from a half to one.
_LAYOUT_32 = (np.uint32(2**31 - 1), np.uint32(23), 126)
_LAYOUT_64 = (np.uint64(2**63 - 1), np.uint64(52), 1022)
# Of float64: bits of the fraction, and of all but the sign; exponent field of 2⁻¹²⁶ less one.
_FRACTION_64 = np.uint64(52)
_MAGNITUDE_64 = np.uint64(2**63 - 1)
_EXPONENT_SHIFT = np.uint64(1023 - 127)

# Numba compiles plain integers faster than members of an enumeration.
_NONE = int(Rejection.NONE)
_NOT_FINITE = int(Rejection.NOT_FINITE)
_LEVEL = int(Rejection.LEVEL)
_SCALE = int(Rejection.SCALE)
_PADDING = int(Rejection.PADDING)

# Numba does not type these decorators.
_compile: Any = njit(nogil=True, cache=True)
_intrinsic: Any = intrinsic


def natural_exponents(
    vectors: HostFloats, channel: Channel, payloads: HostBytes, *, first: int
) -> None:
    """Round magnitudes at random to powers of two.

    Parameters
    ----------
    vectors : ndarray, shape (n, Q), float32 or float64
        What is above 2¹²⁷, or not finite, becomes 255.
    channel : Channel
        Whose random words are used.
    payloads : ndarray of uint8, shape (n, first + Q), C-contiguous
        Receives from byte ``first`` on c > 0 for 2^(c − 127), and 0 for 0.
    """
    vectors = np.ascontiguousarray(vectors)
    narrow = vectors.dtype.itemsize == 4
    bits = vectors.view(np.uint32 if narrow else np.uint64)
    (_natural_32 if narrow else _natural_64)(bits, payloads, first, _keys(channel))


def quantize(
    vectors: HostFloats, levels: int, bucket: int, channel: Channel, payloads: HostBytes
) -> None:
    """Round coordinates at random to steps of their bucket's norm, and pack norms and codes.

    Parameters
    ----------
    vectors : ndarray, shape (n, Q), float32 or float64
    levels : int
        s, below 2³¹.
    bucket : int
        Coordinates of a bucket, a multiple of eight or at least Q.
    channel : Channel
        Whose random words are used.
    payloads : ndarray of uint8, shape (n, bytes), C-contiguous
        Receives for each bucket its norm, NaN if it is not finite, and then the signed levels
        plus s, in ⌈log₂(2s+1)⌉ bits each.
    """
    vectors = np.ascontiguousarray(vectors)
    bits = vectors.view(np.uint32 if vectors.itemsize == 4 else np.uint64)
    _quantize((vectors, bits), (levels, bucket), _keys(channel), payloads)


def dequantize(payloads: HostBytes, levels: int, bucket: int, vectors: HostFloats) -> HostInts:
    """Undo :func:`quantize`.

    Parameters
    ----------
    payloads : ndarray of uint8, shape (n, bytes)
        Any bytes.
    levels, bucket : int
        As for :func:`quantize`.
    vectors : ndarray, shape (n, Q), float32 or float64
        Receives the vectors; zeros in refused rows.

    Returns
    -------
    ndarray of int64, shape (n,)
        The first reason to refuse the first bucket that must be refused, or 0.
    """
    reasons = np.zeros(len(vectors), dtype=np.int64)
    payloads = np.ascontiguousarray(payloads)
    # Numba compiles faster code for contiguous arrays, and every single row is one.
    step = len(vectors) if vectors.flags.c_contiguous else 1
    for start in range(0, len(vectors), max(1, step)):
        rows = slice(start, start + step)
        _dequantize(payloads[rows], (levels, bucket), vectors[rows], reasons[rows])
    return reasons


def gather_chosen(vectors: HostFloats, k: int, channel: Channel) -> HostFloats:
    """Return each row's k chosen values, in the order of their indices, shape (n, k)."""
    values = np.empty((len(vectors), k), dtype=vectors.dtype)
    _gather(np.ascontiguousarray(vectors), values, _keys(channel))
    return values


def scatter_chosen(
    payloads: HostBytes, factor: float, channel: Channel
) -> tuple[HostFloats, HostBools]:
    """Undo :func:`gather_chosen` and multiply. Other coordinates are zero.

    Parameters
    ----------
    payloads : ndarray of uint8, shape (n, bytes of k numbers)
        The values, in the dtype of the channel; any bytes.
    factor : float
        Rounded to that dtype before it multiplies.
    channel : Channel
        Whose random words are used.

    Returns
    -------
    vectors : ndarray, shape (n, Q), of the channel's dtype
    finite : ndarray of bool, shape (n,)
        Whether all products are.
    """
    values = np.ascontiguousarray(payloads).view(channel.dtype.newbyteorder("<"))
    # The kernel reads whole numbers; most payloads lie so that this copies nothing.
    values = np.require(values, dtype=channel.dtype, requirements=("C", "A"))
    vectors = np.zeros((len(values), channel.dimension), dtype=channel.dtype)
    finite = np.ones(len(values), dtype=np.bool_)
    _scatter(values, channel.dtype.type(factor), vectors, finite, _keys(channel))
    return vectors, finite


def chosen_marks(k: int, channel: Channel) -> HostWords:
    """Mark what :func:`gather_chosen` chooses, one bit a coordinate.

    Returns
    -------
    ndarray of uint64, shape (n, ⌈Q/64⌉)
        Bit j % 64 of word j // 64 is that of coordinate j; bits beyond Q are zero.
    """
    stream, devices = _keys(channel)
    marks = np.empty((len(devices), -(-channel.dimension // _WORD_BITS)), dtype=np.uint64)
    _mark_rows(marks, (channel.dimension, k), stream, devices)
    return marks


def random_words(count: int, channel: Channel) -> HostWords:
    """Draw what ``channel.words(count)`` draws, uint64, shape (n, count)."""
    stream, devices = _keys(channel)
    calls = -(-count // _WORDS_A_CALL)
    words = np.empty((len(devices), calls * _WORDS_A_CALL), dtype=np.uint64)
    for row, device in zip(words, devices, strict=True):
        _draw(row, calls, np.uint64(0), (stream, np.uint64(device)))
    return words[:, :count]


def _keys(channel: Channel) -> _Keys:
    stream = (
        np.uint64(channel.streams.seed),
        np.uint64(Purpose.COMPRESSION),
        np.uint64(channel.iteration),
    )
    return stream, channel.devices


@_intrinsic
def _high_product(typing: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
    """Return the high word of the product of two words."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(word, wide) for word in arguments))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), emit


@_intrinsic
def _opaque(typing: Any, word: Any) -> Any:  # noqa: ARG001
    """Return a word in a way that hides it from the optimiser."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        integer = ir.IntType(64)
        # Empty inline assembly, whose result is in the register of its argument.
        kind = ir.FunctionType(integer, [integer])
        return builder.asm(kind, "", "=r,0", arguments, side_effect=False)

    return types.uint64(types.uint64), emit


@_intrinsic
def _lowest_bit(typing: Any, word: Any) -> Any:  # noqa: ARG001
    """Return the number of zeros below the lowest set bit of a word that is not zero."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), emit


@_intrinsic
def _prefetch(typing: Any, row: Any, place: Any) -> Any:  # noqa: ARG001
    """Prefetch the cache line of a number in a row; beyond the end this does nothing."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        prefetch = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [pointer, flag, flag, flag]),
            "llvm.prefetch.p0",
        )
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        line = builder.bitcast(builder.gep(data, [arguments[1]]), pointer)
        # For reading, into all levels of the data cache.
        builder.call(prefetch, [line, flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(row, types.int64), emit


@_compile
def _prefetch_block(row: Any, start: int) -> None:
    """Prefetch a block of a row, because loading it takes longer than the work on it."""
    for place in range(
        start, min(start + BLOCK_COORDINATES, len(row)), _LINE_BYTES // row.itemsize
    ):
        _prefetch(row, place)


@_compile
def _draw(words: Any, calls: int, first: Any, origin: Any) -> None:
    """Fill the beginning of an array with the words of some calls of Philox-4x64-10."""
    stream, device = origin
    seed, purpose, iteration = stream
    for call in range(calls):
        # NumPy counts before each call, not after it. Several calls at once in vector
        # registers, which have no wide products, would take half as long again.
        a, b = _opaque(first + np.uint64(call) + np.uint64(1)), device
        c, d = np.uint64(0), iteration
        key, other_key = seed, purpose
        for _ in range(_ROUNDS):
            high, low = _high_product(_MULTIPLIERS[0], a), _MULTIPLIERS[0] * a
            other_high, other_low = _high_product(_MULTIPLIERS[1], c), _MULTIPLIERS[1] * c
            a, b, c, d = other_high ^ b ^ key, other_low, high ^ d ^ other_key, low
            key += _KEY_STEPS[0]
            other_key += _KEY_STEPS[1]
        words[4 * call] = a
        words[4 * call + 1] = b
        words[4 * call + 2] = c
        words[4 * call + 3] = d


@_compile
def _natural_32(bits: Any, payloads: Any, first: int, keys: Any) -> None:
    stream, devices = keys
    num_rows, dimension = bits.shape
    words = np.empty(BLOCK_COORDINATES // 2, np.uint64)
    halves = words.view(np.uint32)
    for i in range(num_rows):
        origin = stream, np.uint64(devices[i])
        for start in range(0, dimension, BLOCK_COORDINATES):
            count = min(BLOCK_COORDINATES, dimension - start)
            calls = (count + 7) // 8
            _prefetch_block(bits[i], start + BLOCK_COORDINATES)
            _draw(words, calls, np.uint64(start // 8), origin)
            source = bits[i, start : start + count]
            target = payloads[i, first + start : first + start + count]
            for j in range(count):
                magnitude = source[j] & np.uint32(0x7FFFFFFF)
                # The fraction carries into the exponent with a probability equal to itself.
                code = (magnitude + (halves[j] >> np.uint32(9))) >> np.uint32(23)
                if magnitude > np.uint32(254 << 23):
                    code = np.uint32(255)
                target[j] = code


@_compile
def _natural_64(bits: Any, payloads: Any, first: int, keys: Any) -> None:
    stream, devices = keys
    num_rows, dimension = bits.shape
    words = np.empty(BLOCK_COORDINATES, np.uint64)
    smallest = (_EXPONENT_SHIFT + np.uint64(1)) << _FRACTION_64
    largest = (_EXPONENT_SHIFT + np.uint64(254)) << _FRACTION_64
    for i in range(num_rows):
        origin = stream, np.uint64(devices[i])
        for start in range(0, dimension, BLOCK_COORDINATES):
            count = min(BLOCK_COORDINATES, dimension - start)
            calls = (count + 3) // 4
            _prefetch_block(bits[i], start + BLOCK_COORDINATES)
            _draw(words, calls, np.uint64(start // 4), origin)
            source = bits[i, start : start + count]
            target = payloads[i, first + start : first + start + count]
            for j in range(count):
                magnitude = source[j] & _MAGNITUDE_64
                # The fraction carries into the exponent with a probability equal to itself.
                carried = (magnitude + (words[j] >> np.uint64(12))) >> _FRACTION_64
                code = carried - _EXPONENT_SHIFT
                if magnitude < smallest:
                    # Of the float64 number 2¹²⁶|v|, all of it is fraction.
                    fraction = _from_bits(magnitude) * 2.0**126
                    code = np.uint64(1) if _unit(words[j]) < fraction else np.uint64(0)
                elif magnitude > largest:
                    code = np.uint64(255)
                target[j] = code


@_intrinsic
def _from_bits(typing: Any, word: Any) -> Any:  # noqa: ARG001
    """Return the float64 number of a word."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), emit


@_compile
def _unit(word: Any) -> Any:
    """Turn a word into a number in [0, 1), as :func:`lad_mpi.rng.unit_interval` does."""
    return np.float64(word >> np.uint64(11)) * _WORD_UNIT


@_compile
def _square(value: Any, scale: float) -> Any:
    scaled = np.float64(value) * scale
    return scaled * scaled


@_compile
def _norm(row: Any, bits: Any, layout: Any) -> Any:
    """Return the Euclidean norm in float64, never below the largest magnitude; NaN if infinite."""
    magnitude, fraction_bits, bias = layout
    exponent, scale = 0, 1.0
    # Squares of float32 numbers neither overflow nor vanish in float64.
    if row.itemsize == 8:
        # Magnitudes are ordered as their bits are, and those the compiler looks at in vectors.
        largest = magnitude & ~magnitude
        for j in range(len(bits)):
            largest = max(largest, bits[j] & magnitude)
        # Scaled by a power of two, which is exact, those of float64 do not either.
        exponent = max(np.int64(largest >> fraction_bits) - bias, -1000)
        scale = math.ldexp(1.0, -exponent)
    a = b = c = d = e = f = g = h = 0.0
    eights = len(row) // 8 * 8
    for start in range(0, eights, BLOCK_COORDINATES):
        _prefetch_block(row, start + BLOCK_COORDINATES)
        for j in range(start, min(start + BLOCK_COORDINATES, eights), 8):
            # Eight sums, because one would wait for itself at every step.
            a += _square(row[j], scale)
            b += _square(row[j + 1], scale)
            c += _square(row[j + 2], scale)
            d += _square(row[j + 3], scale)
            e += _square(row[j + 4], scale)
            f += _square(row[j + 5], scale)
            g += _square(row[j + 6], scale)
            h += _square(row[j + 7], scale)
    for j in range(eights, len(row)):
        a += _square(row[j], scale)
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    # NaN, and infinity times a scale of zero, have made the sum NaN.
    return math.ldexp(math.sqrt(total), exponent) if math.isfinite(total) else np.nan


@_compile
def _quantize(values: Any, sizes: tuple[int, int], keys: Any, payloads: Any) -> None:
    vectors, bits = values
    levels, bucket = sizes
    stream, devices = keys
    num_rows, dimension = vectors.shape
    narrow, size = vectors.itemsize == 4, vectors.itemsize
    norm = np.empty(1, vectors.dtype)
    block = _block(bucket)
    scratch = (
        np.empty(block, np.uint64),
        np.empty(block),
        np.empty(block, np.uint32),
        np.empty(block // 2, np.uint64),
    )
    for i in range(num_rows):
        origin, place = (stream, np.uint64(devices[i])), 0
        for first in range(0, dimension, bucket):
            stop = min(first + bucket, dimension)
            row, row_bits = vectors[i, first:stop], bits[i, first:stop]
            if narrow:
                norm[0] = _norm(row, row_bits, _LAYOUT_32)
            else:
                norm[0] = _norm(row, row_bits, _LAYOUT_64)
            if not math.isfinite(norm[0]):
                norm[0] = np.nan
            end = place + size + (len(row) * _width(levels) + 7) // 8
            payloads[i, place : place + size] = norm.view(np.uint8)
            target = payloads[i, place + size : end]
            source = vectors[i], first, stop
            _quantize_bucket(source, (levels, norm), origin, target, scratch)
            place = end


@_compile
def _quantize_bucket(source: Any, step: Any, origin: Any, target: Any, scratch: Any) -> None:
    """Round some columns of a vector at random to steps of their norm, and pack the codes."""
    vector, first, stop = source
    levels, rounded = step
    words, uniforms, codes, packed = scratch
    block = len(words)
    halves = words.view(np.uint32)
    narrow = vector.itemsize == 4
    coordinates_a_call = 8 if narrow else 4
    width, most, norm = _width(levels), np.float64(levels), np.float64(rounded[0])
    # What has no norm is sent with all levels 0.
    sendable = math.isfinite(norm) and norm > 0.0
    # Levels over a norm this small might overflow.
    scale = 2.0**600 if norm < 2.0**-900 else 1.0
    factor = levels / (norm * scale) if sendable else 0.0
    for start in range(first, stop, block):
        count = min(block, stop - start)
        calls = (count + coordinates_a_call - 1) // coordinates_a_call
        row = vector[start : start + count]
        _prefetch_block(vector, start + BLOCK_COORDINATES)
        if sendable:
            _draw(words, calls, np.uint64(start // coordinates_a_call), origin)
            if narrow:
                for j in range(count):
                    uniforms[j] = halves[j] * _HALF_UNIT
            else:
                for j in range(count):
                    uniforms[j] = _unit(words[j])
            for j in range(count):
                value = np.float64(row[j])
                position = min(abs(value) * scale * factor, most)
                below = np.int32(position)
                level = below + np.int32(uniforms[j] < position - below)
                # A level and s fit 31 bits each, and their sum 32.
                codes[j] = levels + level if value >= 0.0 else levels - level
        else:
            codes[:count] = np.uint32(levels)
        codes[count:] = np.uint32(0)
        _pack(codes, width, packed)
        _copy_bytes(packed, target, (start - first) // 8 * width, block // 8 * width)


@_compile
def _dequantize(payloads: Any, sizes: tuple[int, int], vectors: Any, reasons: Any) -> None:
    levels, bucket = sizes
    num_rows, dimension = vectors.shape
    size = vectors.itemsize
    norm = np.empty(1, vectors.dtype)
    norm_bytes = norm.view(np.uint8)
    codes = np.empty(_block(bucket), np.uint64)
    for i in range(num_rows):
        place = 0
        for first in range(0, dimension, bucket):
            row = vectors[i, first : min(first + bucket, dimension)]
            end = place + size + (len(row) * _width(levels) + 7) // 8
            norm_bytes[:] = payloads[i, place : place + size]
            reason = _dequantize_bucket(payloads[i, place + size : end], levels, norm, row, codes)
            place = end
            if reason:
                reasons[i] = reason
                vectors[i, :] = 0
                break


@_compile
def _dequantize_bucket(source: Any, levels: int, sent: Any, row: Any, codes: Any) -> int:
    """Unpack codes and multiply by their norm; return the reason to refuse them, or 0."""
    width, block, norm = _width(levels), len(codes), np.float64(sent[0])
    highest, lowest, rest = np.uint64(0), np.uint64(2**63), np.uint64(0)
    for start in range(0, len(row), block):
        count = min(block, len(row) - start)
        _fetch_bytes(source, start // 8 * width, block // 8 * width, codes)
        _unpack(codes, width)
        part = row[start : start + count]
        for j in range(count):
            highest = max(highest, codes[j])
            lowest = min(lowest, codes[j])
            step = np.int64(codes[j]) - levels
            part[j] = step / levels * norm
        for j in range(count, block):
            rest |= codes[j]
    moved = highest != np.uint64(levels) or lowest != np.uint64(levels)
    if not math.isfinite(norm):
        return _NOT_FINITE
    if math.copysign(1.0, norm) < 0.0 or (norm == 0.0 and moved):
        return _SCALE
    if highest > np.uint64(2 * levels):
        return _LEVEL
    return _NONE if rest == np.uint64(0) else _PADDING


@_compile
def _block(bucket: int) -> int:
    """Return how many coordinates of a bucket to work on at once, a multiple of 64."""
    return min(BLOCK_COORDINATES, (bucket + 63) // 64 * 64)


@_compile
def _width(levels: int) -> int:
    width = 0
    while (2 * levels) >> width:
        width += 1
    return width


@_compile
def _pack(codes: Any, width: int, packed: Any) -> None:
    """Pack the codes of a block without gaps, and overwrite them."""
    count = len(codes)
    # Pairs of neighbours at once, as often as these fit the room of one.
    while width <= 16:
        shift = np.uint32(width)
        count //= 2
        for j in range(count):
            codes[j] = codes[2 * j] | (codes[2 * j + 1] << shift)
        width *= 2
    word, fill, place = np.uint64(0), 0, 0
    for j in range(count):
        code = np.uint64(codes[j])
        word |= code << np.uint64(fill)
        fill += width
        if fill >= 64:
            packed[place] = word
            place += 1
            fill -= 64
            word = code >> np.uint64(width - fill)
    # A block ends with a whole word.


@_compile
def _unpack(codes: Any, width: int) -> None:
    """Undo :func:`_pack`."""
    count, doublings = len(codes), 0
    while width <= 16:
        width *= 2
        count //= 2
        doublings += 1
    # Backwards, so that nothing is overwritten before it is read.
    mask = np.uint64((1 << width) - 1)
    for j in range(count - 1, -1, -1):
        place, shift = (j * width) // 64, (j * width) % 64
        code = codes[place] >> np.uint64(shift)
        if shift + width > 64:
            code |= codes[place + 1] << np.uint64(64 - shift)
        codes[j] = code & mask
    for _ in range(doublings):
        width //= 2
        mask = np.uint64((1 << width) - 1)
        for j in range(count - 1, -1, -1):
            pair = codes[j]
            codes[2 * j + 1] = pair >> np.uint64(width)
            codes[2 * j] = pair & mask
        count *= 2


@_compile
def _copy_bytes(words: Any, row: Any, start: int, length: int) -> None:
    """Copy the bytes of a block of codes to their place in a row, up to the end of the row."""
    count = min(length, len(row) - start)
    row[start : start + count] = words.view(np.uint8)[:count]


@_compile
def _fetch_bytes(row: Any, start: int, length: int, words: Any) -> None:
    """Copy the bytes of a block of codes from a row; zero beyond the end of the row."""
    count = min(length, len(row) - start)
    whole = words.view(np.uint8)
    whole[:count] = row[start : start + count]
    whole[count:] = np.uint8(0)


@_compile
def _gather(vectors: Any, values: Any, keys: Any) -> None:
    stream, devices = keys
    num_rows, dimension = vectors.shape
    marks, words = (
        np.empty((dimension + 63) // 64, np.uint64),
        np.empty(BLOCK_COORDINATES, np.uint64),
    )
    for i in range(num_rows):
        _choose(marks, words, (dimension, values.shape[1]), stream, devices[i])
        taken = 0
        for place in range(len(marks)):
            word = marks[place]
            while word:
                values[i, taken] = vectors[i, 64 * place + np.int64(_lowest_bit(word))]
                word &= word - np.uint64(1)
                taken += 1


@_compile
def _scatter(values: Any, factor: Any, vectors: Any, finite: Any, keys: Any) -> None:
    stream, devices = keys
    num_rows, dimension = vectors.shape
    marks, words = (
        np.empty((dimension + 63) // 64, np.uint64),
        np.empty(BLOCK_COORDINATES, np.uint64),
    )
    for i in range(num_rows):
        _choose(marks, words, (dimension, values.shape[1]), stream, devices[i])
        taken = 0
        all_finite = True
        for place in range(len(marks)):
            word = marks[place]
            while word:
                value = values[i, taken] * factor
                all_finite &= math.isfinite(value)
                vectors[i, 64 * place + np.int64(_lowest_bit(word))] = value
                word &= word - np.uint64(1)
                taken += 1
        finite[i] = all_finite


@_compile
def _mark_rows(marks: Any, sizes: tuple[int, int], stream: Any, devices: Any) -> None:
    words = np.empty(BLOCK_COORDINATES, np.uint64)
    for i in range(len(marks)):
        _choose(marks[i], words, sizes, stream, devices[i])


@_compile
def _choose(marks: Any, words: Any, sizes: tuple[int, int], stream: Any, device: int) -> None:
    """Mark k of Q coordinates, one bit each."""
    dimension, k = sizes
    marks[:] = np.uint64(0)
    # If k is more than half, draw the coordinates that are left out.
    draws = min(k, dimension - k)
    origin = stream, np.uint64(device)
    for start in range(0, draws, BLOCK_COORDINATES):
        count = min(BLOCK_COORDINATES, draws - start)
        _draw(words, (count + 3) // 4, np.uint64(start // 4), origin)
        _mark_drawn(marks, words, count, dimension - draws + start)
    if draws < k:
        for place in range(len(marks)):
            marks[place] = ~marks[place]
        unused = np.uint64(64 * len(marks) - dimension)
        marks[-1] = marks[-1] << unused >> unused


@_compile
def _mark_drawn(marks: Any, words: Any, count: int, first: int) -> None:
    """Mark, for each j from the first on, a random number up to j, or j if it is marked."""
    six, low, one = np.uint64(6), np.uint64(63), np.uint64(1)
    # The word with j is kept in a register: loads of it would wait for stores to it.
    held = np.uint64(first) >> six
    tail = marks[held]
    for step in range(count):
        last = np.uint64(first + step)
        drawn = _high_product(words[step], last + one)
        if last >> six != held:
            marks[held] = tail
            held = last >> six
            tail = marks[held]
        place, bit = drawn >> six, one << (drawn & low)
        # No branch on the marks, which a processor cannot predict.
        if place == held:
            taken = tail >> (drawn & low) & one
            tail |= bit
        else:
            word = marks[place]
            taken = word >> (drawn & low) & one
            marks[place] = word | bit
        tail |= taken << (last & low)
    marks[held] = tail
