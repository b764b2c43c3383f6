"""CRC-32 of messages in GPU memory.

The kernel is in ``checksums.cu``. It reads a message once, with coalesced loads, and
multiplies words by tables of a few kilobytes, which are computed here.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from lad_mpi.arrays import namespace

if TYPE_CHECKING:
    import numpy.typing as npt

    from lad_mpi.types import Array

    HostPolynomials: TypeAlias = npt.NDArray[np.uint32]

#: Name of the kernel in the source.
KERNEL = "add_checksums"
#: Compiler options for CuPy.
OPTIONS = ("--std=c++14",)
#: Threads per block, and 32-bit words per thread.
THREADS = 256
WORDS_A_THREAD = 64

_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31
_WORD_BITS = 32
_ALL_ONES = 0xFFFFFFFF
#: Enough powers x^(2^k) for any number of bits that fits in memory.
_NUM_POWERS = 64


def checksums(slots: Array, start: int) -> Array:
    """Return the CRC-32 of the bytes of every slot from ``start``, as :func:`zlib.crc32`.

    Parameters
    ----------
    slots : CuPy array of uint8, shape (n, slot_bytes), C-contiguous
        The messages.
    start : int
        The first byte to include, below ``slot_bytes``.

    Returns
    -------
    CuPy array of uint32, shape (n,)
    """
    xp = namespace(slots)
    num_rows, row_bytes = slots.shape
    length = row_bytes - start
    sums = xp.full(num_rows, _crc_of_zeros(length), dtype=np.uint32)
    if not num_rows:
        return sums
    words_a_block = THREADS * WORDS_A_THREAD
    blocks_a_row = -(-length // (4 * words_a_block))
    arguments = (
        slots,
        np.int64(row_bytes),
        np.int64(start),
        np.int64(blocks_a_row),
        *_tables_on_gpu(xp, _current_gpu(xp)),
        sums,
    )
    compiled(xp)((num_rows * blocks_a_row,), (THREADS,), arguments)
    return sums


def source() -> str:
    """Return the CUDA C++ source of the kernel :data:`KERNEL`."""
    constants = {"THREADS": THREADS, "WORDS_A_THREAD": WORDS_A_THREAD}
    lines = [f"constexpr int {name} = {value};" for name, value in constants.items()]
    text = files(__package__).joinpath("checksums.cu").read_text(encoding="utf-8")
    return "\n".join([*lines, text])


@lru_cache(maxsize=1)
def compiled(xp: Any) -> Any:
    """Return the kernel. CuPy compiles it at the first launch."""
    return xp.RawKernel(source(), KERNEL, options=OPTIONS)


def _current_gpu(xp: Any) -> int:
    return int(xp.cuda.Device().id)


@lru_cache(maxsize=16)
def _tables_on_gpu(xp: Any, gpu: int) -> tuple[Array, Array, Array]:  # noqa: ARG001
    shift, places, powers = tables()
    return xp.asarray(shift), xp.asarray(places), xp.asarray(powers)


@cache
def tables() -> tuple[HostPolynomials, HostPolynomials, HostPolynomials]:
    """Return the tables of the kernel; see ``checksums.cu``.

    Returns
    -------
    shift : ndarray of uint32, shape (1024,)
    places : ndarray of uint32, shape (THREADS,)
    powers : ndarray of uint32, shape (64,)
    """
    powers = [_ONE >> 1]
    while len(powers) < _NUM_POWERS:
        powers.append(_product(powers[-1], powers[-1]))
    stride = _power(_WORD_BITS * THREADS, powers)
    # The polynomials are reflected: the lowest byte of a word has the highest powers.
    shift = [_product(value << (8 * byte), stride) for byte in range(4) for value in range(256)]
    word = _power(_WORD_BITS, powers)
    places = [_ONE]
    while len(places) < THREADS:
        places.append(_product(places[-1], word))
    return _words(shift), _words(places[::-1]), _words(powers)


def _crc_of_zeros(length: int) -> int:
    """Return the CRC-32 of ``length`` zero bytes, to which the kernel adds a sum over words."""
    powers = [int(power) for power in tables()[2]]
    return _product(_power(8 * length, powers), _ALL_ONES) ^ _ALL_ONES


def _power(exponent: int, powers: list[int]) -> int:
    """Return x^exponent, given the powers x^(2^k)."""
    result = _ONE
    for k, power in enumerate(powers):
        if exponent >> k & 1:
            result = _product(power, result)
    return result


def _product(a: int, b: int) -> int:
    """Multiply two reflected polynomials modulo the CRC polynomial."""
    total = 0
    for place in range(_WORD_BITS - 1, -1, -1):
        if a >> place & 1:
            total ^= b
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return total


def _words(values: list[int]) -> HostPolynomials:
    return np.array(values, dtype=np.uint32)
