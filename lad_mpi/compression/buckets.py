"""Buckets: ranges of columns, each with a scale of its own.

A payload is the buckets one after the other: a scale and then the codes of the bucket's columns.
Without buckets, a payload is one bucket with all columns. A bucket has a multiple of eight
columns, so its codes fill whole bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
from annotated_types import Ge, Le, MultipleOf

from lad_mpi.compression.bits import packed_bytes
from lad_mpi.parameters import Example
from lad_mpi.types import LARGEST_COUNT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lad_mpi.types import HostBytes, HostFloats, HostInts

#: Columns that share a scale; None if all do.
Bucket: TypeAlias = Annotated[int, Ge(8), MultipleOf(8), Le(LARGEST_COUNT), Example(4096)] | None


def bucket_size(count: int, bucket: int | None) -> int:
    """Return the columns of the largest bucket, given the number of all columns."""
    return max(1, count if bucket is None else min(count, bucket))


def bucketed_bytes(count: int, bucket: int | None, width: int, dtype: np.dtype[Any]) -> int:
    """Return the bytes of the first columns of a payload.

    Parameters
    ----------
    count : int
        Number of columns: a multiple of the bucket, or all.
    bucket : int, optional
        Columns of a bucket.
    width : int
        Bits of a code.
    dtype : numpy.dtype
        Type of the scales.
    """
    size = bucket_size(count, bucket)
    whole, rest = divmod(count, size)
    last = dtype.itemsize + packed_bytes(rest, width) if rest else 0
    return whole * (dtype.itemsize + packed_bytes(size, width)) + last


def in_buckets(
    vectors: HostFloats, payloads: HostBytes, bucket: int | None, width: int
) -> Iterator[tuple[HostFloats, HostBytes]]:
    """Cut vectors and their payloads into buckets.

    Yields
    ------
    vectors : ndarray, shape (n, k, B)
    payloads : ndarray of uint8, shape (n, k, m)
        Views: first of all whole buckets, then of the last one if it is shorter.
    """
    num_rows, count = vectors.shape
    size = bucket_size(count, bucket)
    whole, columns = count // size, count // size * size
    end = bucketed_bytes(columns, size, width, vectors.dtype)
    if whole:
        yield (
            vectors[:, :columns].reshape(num_rows, whole, size),
            payloads[:, :end].reshape(num_rows, whole, end // whole),
        )
    if columns < count:
        yield vectors[:, None, columns:], payloads[:, None, end:]


def first_of_buckets(reasons: HostInts) -> HostInts:
    """Return the reason of the first bucket that has one, or 0.

    Parameters
    ----------
    reasons : ndarray of int64, shape (n, k)
        A reason to refuse each bucket, or 0.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    first = (reasons != 0).argmax(axis=1)
    found: HostInts = reasons[np.arange(len(reasons)), first]
    return found
