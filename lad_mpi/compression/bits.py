"""Rows of unsigned integers of a few bits each, packed into bytes without gaps.

Bit b of value i is bit ``i * width + b`` of its row, least significant bit of
each byte first. Eight values fill ``width`` bytes exactly, so the work is on groups of
eight. Temporaries take about sixteen bytes a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from lad_mpi.types import HostBytes, HostInts

_GROUP = 8
_WORD = np.dtype("<u8")
_WORD_BITS = 64
#: The eight bits of every byte, lowest first, shape (256, 8).
BYTE_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")


def packed_bytes(count: int, width: int) -> int:
    """Return the bytes that ``count`` values of ``width`` bits take."""
    return -(-count * width // 8)


def index_bits(dimension: int) -> int:
    """Return the bits of the index of a coordinate, ⌈log₂ Q⌉."""
    return (dimension - 1).bit_length()


def clean_ends(packed: HostBytes, count: int) -> npt.NDArray[np.bool_]:
    """Return which rows of single bits end in zeros.

    Parameters
    ----------
    packed : ndarray of uint8, shape (..., packed_bytes(count, 1))
        Any bytes.
    count : int
        Bits of a row that are in use, at least 1.

    Returns
    -------
    ndarray of bool, shape (...)
        Whether the unused bits of the last byte are zero.
    """
    used = count % _GROUP or _GROUP
    clean: npt.NDArray[np.bool_] = packed[..., -1].astype(np.int64) >> used == 0
    return clean


def pack_bits(values: HostInts, width: int) -> HostBytes:
    """Pack rows of integers.

    Parameters
    ----------
    values : ndarray of int64, shape (n, count)
        Integers in [0, 2**width).
    width : int
        Bits of a value, 0 to 32.

    Returns
    -------
    ndarray of uint8, shape (n, packed_bytes(count, width))
        Unused bits at the end of a row are zero.
    """
    num_rows, count = values.shape
    num_groups = -(-count // _GROUP)
    padded = np.zeros((num_rows, num_groups * _GROUP), dtype=_WORD)
    padded[:, :count] = values
    grouped = padded.reshape(num_rows, num_groups, _GROUP)
    words = np.zeros((num_rows, num_groups, _words_a_group(width)), dtype=_WORD)
    for member, word, shift in _places(width):
        words[:, :, word] |= grouped[:, :, member] << shift
        if shift + width > _WORD_BITS:
            words[:, :, word + 1] |= grouped[:, :, member] >> (_WORD_BITS - shift)
    packed = words.view(np.uint8)[:, :, :width].reshape(num_rows, num_groups * width)
    return packed[:, : packed_bytes(count, width)]


def unpack_bits(
    packed: HostBytes, count: int, width: int
) -> tuple[HostInts, npt.NDArray[np.bool_]]:
    """Unpack rows of integers; the inverse of :func:`pack_bits`.

    Parameters
    ----------
    packed : ndarray of uint8, shape (n, packed_bytes(count, width))
        Any bytes.
    count : int
        Values of a row.
    width : int
        Bits of a value, 0 to 32.

    Returns
    -------
    values : ndarray of int64, shape (n, count)
        Integers in [0, 2**width).
    clean : ndarray of bool, shape (n,)
        Whether the unused bits at the end of the row are zero.
    """
    num_rows, num_bytes = packed.shape
    num_groups = -(-count // _GROUP)
    padded = np.zeros((num_rows, num_groups * width), dtype=np.uint8)
    padded[:, :num_bytes] = packed
    words = np.zeros((num_rows, num_groups, _words_a_group(width)), dtype=_WORD)
    words.view(np.uint8)[:, :, :width] = padded.reshape(num_rows, num_groups, width)
    grouped = np.empty((num_rows, num_groups, _GROUP), dtype=np.int64)
    mask = (1 << width) - 1
    for member, word, shift in _places(width):
        value = words[:, :, word] >> shift
        if shift + width > _WORD_BITS:
            value |= words[:, :, word + 1] << (_WORD_BITS - shift)
        grouped[:, :, member] = value & mask
    values = grouped.reshape(num_rows, num_groups * _GROUP)
    # Padding bits that are set appear as values beyond the last one.
    clean = np.all(values[:, count:] == 0, axis=1)
    return values[:, :count], clean


def _words_a_group(width: int) -> int:
    return max(1, -(-_GROUP * width // _WORD_BITS))


def _places(width: int) -> Iterator[tuple[int, int, int]]:
    """Yield each member of a group with its first word and bit."""
    for member in range(_GROUP):
        word, shift = divmod(member * width, _WORD_BITS)
        yield member, word, shift
