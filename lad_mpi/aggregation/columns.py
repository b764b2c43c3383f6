"""Columns of a matrix, in blocks that fit in a cache, on several threads."""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from contextlib import nullcontext
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from lad_mpi.types import Array

    Part = TypeVar("Part")
    Task = TypeVar("Task")

# Bytes of a block of columns, to stay in cache; a GPU wants fewer launches.
_HOST_BLOCK_BYTES = 1_650_000
_DEVICE_BLOCK_BYTES = 400_000_000
# A task is some blocks, which share one scratch array; a thread takes one at a time.
_BLOCKS_PER_TASK = 6
# As many at least as there are blocks, for several threads to share a small matrix.
_MIN_TASKS = 8
_MAX_TASKS = 64
# What is read in a millisecond by one thread: to start and end another takes a third of that.
_SHARED_FROM_BYTES = 24_000_000
# Products, as fast as linear algebra forms them, in the time to read a number.
_PRODUCTS_PER_READ = 16.0

# Marks threads that already work on a part of a matrix.
_worker = threading.local()


def block_width(messages: Array) -> int:
    """Return the number of columns of a block."""
    if isinstance(messages, np.ndarray):
        return _width(_HOST_BLOCK_BYTES, len(messages), messages.dtype.itemsize)
    return _width(_DEVICE_BLOCK_BYTES, len(messages), 8)


def column_blocks(messages: Array, columns: slice | None = None) -> Iterator[slice]:
    """Cut a range of columns, or all, into blocks that a cache can hold.

    They only depend on the shape.
    """
    width = block_width(messages)
    begin, end = (0, messages.shape[1]) if columns is None else (columns.start, columns.stop)
    for first in range(begin, end, width):
        yield slice(first, min(first + width, end))


def column_tasks(messages: Array) -> tuple[slice, ...]:
    """Cut all columns into ranges for threads, which only depend on the shape."""
    return _cut(messages.shape[1], block_width(messages))


def column_slices(num_rows: int, num_columns: int, itemsize: int, most: int) -> list[slice]:
    """Cut the columns of a future host array into a few ranges.

    Parameters
    ----------
    num_rows, num_columns : int
        n and Q.
    itemsize : int
        Bytes of a number.
    most : int
        Largest number of ranges.

    Returns
    -------
    list of slice
        Each consists of whole ranges of :func:`column_tasks`, and their numbers differ by at
        most one.
    """
    tasks = _cut(num_columns, _width(_HOST_BLOCK_BYTES, num_rows, itemsize))
    count = min(most, len(tasks))
    edges = [i * len(tasks) // count for i in range(count + 1)]
    return [slice(tasks[a].start, tasks[b - 1].stop) for a, b in itertools.pairwise(edges)]


def over_columns(
    messages: Array,
    work: Callable[[slice], Part],
    *,
    num_products: int = 0,
    tasks: Sequence[slice] | None = None,
) -> Iterator[Part]:
    """Apply a function to ranges of columns, on several threads; yield the results in order.

    Ranges only depend on the shape. On a GPU there is one thread. On the host each thread
    has its own range, which linear algebra does not divide further.

    Parameters
    ----------
    messages : array, shape (n, Q)
    work : callable
        Gets a range of columns. It may divide by zero and overflow silently.
    num_products : int
        Products that each number of a matrix product enters. It decides whether threads
        are worth starting. 0 if the numbers are only read.
    tasks : sequence of slice, optional
        Adjacent ranges of :func:`column_tasks`; all of them if left out.
    """
    if tasks is None:
        tasks = column_tasks(messages)

    def alone(columns: slice) -> Part:
        with np.errstate(all="ignore"):
            return work(columns)

    with serial_linear_algebra(messages):
        share = (tasks[-1].stop - tasks[0].start) / messages.shape[1]
        cost = share * messages.nbytes * (1.0 + num_products / _PRODUCTS_PER_READ)
        if cost < _SHARED_FROM_BYTES or not isinstance(messages, np.ndarray):
            yield from map(alone, tasks)
        else:
            yield from shared(alone, tasks)


def shared(work: Callable[[Task], Part], tasks: Sequence[Task]) -> Iterator[Part]:
    """Run independent tasks on :func:`num_threads` threads, including the caller's.

    An executor would take several times as long to start and end.

    Parameters
    ----------
    work : callable
        Gets a task. It releases the interpreter's lock most of the time.
    tasks : sequence

    Yields
    ------
    Part
        The results, in the order of the tasks, each as soon as possible.
    """
    waiting = deque(enumerate(tasks))
    done: dict[int, Part] = {}
    failures: list[BaseException] = []

    def take_one() -> bool:
        try:
            number, task = waiting.popleft()
        except IndexError:
            return False
        was_busy = getattr(_worker, "busy", False)
        _worker.busy = True
        try:
            done[number] = work(task)
        except BaseException as failure:  # noqa: BLE001  (raised again by the caller)
            failures.append(failure)
            waiting.clear()
        finally:
            _worker.busy = was_busy
        return True

    def take_all() -> None:
        while take_one():
            pass

    count = min(num_threads(), len(tasks)) - 1
    others = [threading.Thread(target=take_all) for _ in range(count)]
    for other in others:
        other.start()
    following = 0
    try:
        while take_one():
            while following in done:
                yield done.pop(following)
                following += 1
    finally:
        # No tasks are left, unless the caller stops early or was interrupted.
        waiting.clear()
        for other in others:
            other.join()
    if failures:
        raise failures[0]
    for number in range(following, len(tasks)):
        yield done.pop(number)


def total(parts: Iterator[Array]) -> Array:
    """Add up arrays, in place of the first one."""
    result = next(parts)
    for part in parts:
        result += part
    return result


def serial_linear_algebra(messages: Array) -> AbstractContextManager[None]:
    """Keep linear algebra on host arrays to one thread.

    Its own threads would divide products by their number, which changes the last bits. They
    also keep spinning for a while after a product of small matrices, and take processor time
    from our threads.
    """
    return _limit if isinstance(messages, np.ndarray) else _no_limit


def num_threads() -> int:
    """Return how many threads to use.

    This is ``OMP_NUM_THREADS`` if it is set, else the number of processors of this process.
    It is one in a thread that works on a range of :func:`over_columns`.
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


@lru_cache
def _cut(num_columns: int, width: int) -> tuple[slice, ...]:
    num_blocks = -(-num_columns // width)
    count = max(num_blocks // _BLOCKS_PER_TASK, min(num_blocks, _MIN_TASKS))
    count = min(count, _MAX_TASKS)
    edges = [i * num_blocks // count * width for i in range(count)] + [num_columns]
    return tuple(slice(a, b) for a, b in itertools.pairwise(edges))


class _Limit:
    """One thread of linear algebra for as long as anyone holds this, from whatever thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._restore: list[tuple[Any, int]] = []

    def __enter__(self) -> None:
        with self._lock:
            self._holders += 1
            if self._holders == 1:
                # Not by threadpoolctl's own limit, which takes as long as a small product.
                counts = [(library, library.get_num_threads()) for library in _linear_algebra()]
                self._restore = [(library, count) for library, count in counts if count != 1]
                for library, _ in self._restore:
                    library.set_num_threads(1)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                for library, count in self._restore:
                    library.set_num_threads(count)


_limit = _Limit()
_no_limit = nullcontext()


@cache
def _linear_algebra() -> list[Any]:
    """Return handles of the libraries for linear algebra whose threads can be counted."""
    loaded = ThreadpoolController().select(user_api="blas").lib_controllers
    return [library for library in loaded if library.get_num_threads() is not None]
