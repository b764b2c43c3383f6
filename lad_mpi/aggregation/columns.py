"""Columns of a matrix in blocks that a cache can hold, on several threads."""

from __future__ import annotations

import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from lad_mpi.types import Array

    Part = TypeVar("Part")

# Bytes of a block of columns, to stay in cache; a GPU wants fewer launches.
_HOST_BLOCK_BYTES = 1_650_000
_DEVICE_BLOCK_BYTES = 400_000_000
# A task is some blocks, which share one scratch array; a thread takes one at a time.
_BLOCKS_PER_TASK = 6
# As many at least as there are blocks, for several threads to share a small matrix.
_MIN_TASKS = 8
_MAX_TASKS = 64

# Marks the threads that share a matrix already.
_worker = threading.local()


def block_width(messages: Array) -> int:
    """Return the number of columns of a block."""
    if isinstance(messages, np.ndarray):
        return _width(_HOST_BLOCK_BYTES, len(messages), messages.dtype.itemsize)
    return _width(_DEVICE_BLOCK_BYTES, len(messages), 8)


def column_blocks(messages: Array, columns: slice | None = None) -> Iterator[slice]:
    """Cut a range of columns, or all, into blocks that a cache can hold.

    They are the same ones for the same shape.
    """
    width = block_width(messages)
    begin, end = (0, messages.shape[1]) if columns is None else (columns.start, columns.stop)
    for first in range(begin, end, width):
        yield slice(first, min(first + width, end))


def column_tasks(messages: Array) -> list[slice]:
    """Cut all columns into the ranges that threads take, which depend on the shape alone."""
    return _tasks(block_width(messages), messages.shape[1])


def column_slices(num_rows: int, num_columns: int, itemsize: int, most: int) -> list[slice]:
    """Cut the columns of a host array that is yet to come into a few ranges.

    Parameters
    ----------
    num_rows, num_columns : int
        n and Q.
    itemsize : int
        Bytes of a number.
    most : int
        How many ranges at most.

    Returns
    -------
    list of slice
        Each holds as many whole ones of :func:`column_tasks` as the others, or one more.
    """
    tasks = _tasks(_width(_HOST_BLOCK_BYTES, num_rows, itemsize), num_columns)
    count = min(most, len(tasks))
    edges = [i * len(tasks) // count for i in range(count + 1)]
    return [slice(tasks[a].start, tasks[b - 1].stop) for a, b in itertools.pairwise(edges)]


def over_columns(
    messages: Array, work: Callable[[slice], Part], tasks: Sequence[slice] | None = None
) -> Iterator[Part]:
    """Do something to ranges of columns, on several threads, and yield the results in order.

    Ranges depend on the shape alone. On a GPU there is one thread; on the host
    each has its own range and linear algebra does not divide it further.

    Parameters
    ----------
    messages : array, shape (n, Q)
    work : callable
        Given a range of columns. It may divide by zero and overflow silently.
    tasks : sequence of slice, optional
        Some of :func:`column_tasks`; all of them where they are left out.
    """
    if tasks is None:
        tasks = column_tasks(messages)
    threads = min(num_threads(), len(tasks)) if isinstance(messages, np.ndarray) else 1
    if threads == 1:
        for columns in tasks:
            with serial_linear_algebra(messages), np.errstate(all="ignore"):
                part = work(columns)
            yield part
        return

    def alone(columns: slice) -> Part:
        _worker.busy = True
        with np.errstate(all="ignore"):
            return work(columns)

    with serial_linear_algebra(messages), ThreadPoolExecutor(threads) as pool:
        yield from pool.map(alone, tasks)


def serial_linear_algebra(messages: Array) -> AbstractContextManager[None]:
    """Keep linear algebra to one thread where several of ours work before or after it.

    Its own threads go on spinning for a while after a product of small
    matrices, and ours then share processors with them. It would also divide
    products otherwise on another number of threads, and change last bits.
    """
    if isinstance(messages, np.ndarray) and len(column_tasks(messages)) > 1:
        return _limit.held()
    return nullcontext()


def num_threads() -> int:
    """Return how many threads to use.

    That is ``OMP_NUM_THREADS`` where it is set, else the processors of this
    process; and one in a thread that works on a range of :func:`over_columns`.
    """
    if getattr(_worker, "busy", False):
        return 1
    stated = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if stated.isdigit() and int(stated) > 0:
        return int(stated)
    return len(os.sched_getaffinity(0))


def _width(block_bytes: int, num_rows: int, itemsize: int) -> int:
    # An odd multiple of 64 bytes a row: powers of two alias in cache.
    return int(block_bytes // (num_rows * itemsize) // 16 * 16 + 8)


def _tasks(width: int, num_columns: int) -> list[slice]:
    num_blocks = -(-num_columns // width)
    count = max(num_blocks // _BLOCKS_PER_TASK, min(num_blocks, _MIN_TASKS))
    count = min(count, _MAX_TASKS)
    edges = [i * num_blocks // count * width for i in range(count)] + [num_columns]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


class _Limit:
    """One thread of linear algebra for as long as anyone holds this, from whatever thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._restore: Callable[[], None] = lambda: None

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._lock:
            self._holders += 1
            if self._holders == 1:
                self._restore = _linear_algebra().limit(limits=1).restore_original_limits
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if self._holders == 0:
                    self._restore()


_limit = _Limit()


@cache
def _linear_algebra() -> Any:
    return ThreadpoolController()
