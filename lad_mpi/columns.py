"""Columns of a matrix: in blocks that fit in a cache, on several threads, on several servers.

All sums over columns are formed here. Columns are cut into sections, which only depend on
their number, and the sums of sections are added up along a fixed binary tree. So the bits do
not depend on the number of threads, nor on how many servers share the columns.

Servers run the same code, each on its own columns, inside :func:`shared_columns`. There
:func:`total`, :func:`agreed` and :func:`from_first` are collectives of the servers, so all of
them have to make the same calls. Numbers that decide what is called next come from these.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections import deque
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from threadpoolctl import ThreadpoolController

from lad_mpi.arrays import namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from lad_mpi.types import Array, HostFloats

    Part = TypeVar("Part")
    Task = TypeVar("Task")

# Bytes of a block of columns, to stay in cache; a GPU wants fewer launches.
_HOST_BLOCK_BYTES = 1_650_000
_DEVICE_BLOCK_BYTES = 400_000_000
# Sections have a power of two of columns, so that blocks and buckets of codecs fit in.
_SMALLEST_SECTION = 2048
_MAX_SECTIONS = 64
#: Shorter messages belong to one server.
SHARED_FROM_COLUMNS = 2**15
#: What is read in a millisecond by one thread: to start and end another takes a third of that.
SHARED_FROM_BYTES = 24_000_000
# Products, as fast as linear algebra forms them, in the time to read a number.
_PRODUCTS_PER_READ = 16.0
# Columns between two rows of a scratch block: rows a power of two apart alias in a cache.
_PADDING = 8

# Marks threads that already work on a part of a matrix.
_worker = threading.local()


class Servers(Protocol):
    """The servers that share columns, as one of them sees them."""

    def exchange(self, own: HostFloats) -> list[HostFloats]:
        """Return every server's array, in the order of the servers.

        Parameters
        ----------
        own : ndarray of float64, shape (k, …)
            This server's. k may differ between servers, and the rest of the shape may not.
        """


@runtime_checkable
class WorksOnColumns(Protocol):
    """A component that servers can use, each on the columns that it holds.

    It forms sums over columns with :func:`total` and :func:`over_columns`, and takes decisions
    from such sums, or from what :func:`agreed` returns. What belongs to one column may only
    depend on that column, and on these.
    """

    #: Says so; always True.
    works_on_columns: ClassVar[Literal[True]]


@dataclass(frozen=True, slots=True, eq=False)
class SharedColumns:
    """The columns that this server holds.

    Parameters
    ----------
    columns : slice
        Its range, of whole sections.
    count : int
        Number of the columns of all servers.
    servers : Servers
        The others.
    """

    columns: slice
    count: int
    servers: Servers


_shared_columns: ContextVar[SharedColumns | None] = ContextVar("_shared_columns", default=None)


@contextmanager
def shared_columns(own: SharedColumns | None) -> Iterator[None]:
    """Say that matrices hold the columns of this server; None for all columns."""
    token = _shared_columns.set(own)
    try:
        yield
    finally:
        _shared_columns.reset(token)


def own_columns(messages: Array) -> tuple[slice, int]:
    """Return which columns a matrix holds, and the number of the columns of all servers."""
    own = _shared_columns.get()
    if own is None:
        return slice(0, messages.shape[1]), messages.shape[1]
    return own.columns, own.count


def block_width(messages: Array) -> int:
    """Return the number of columns of a block."""
    if isinstance(messages, np.ndarray):
        numbers = _HOST_BLOCK_BYTES // (len(messages) * messages.dtype.itemsize)
        return int(max(16, 1 << max(0, numbers.bit_length() - 1)))
    return int(_DEVICE_BLOCK_BYTES // (len(messages) * 8) // 16 * 16 + 8)


def new_block(num_rows: int, width: int, like: Array, dtype: Any) -> Array:
    """Allocate a block, whose rows do not alias in a cache."""
    return namespace(like).empty((num_rows, width + _PADDING), dtype=dtype)[:, :width]


def column_blocks(messages: Array, columns: slice | None = None) -> Iterator[slice]:
    """Cut a range of columns, or all, into blocks that a cache can hold.

    They only depend on the shape.
    """
    width = block_width(messages)
    begin, end = (0, messages.shape[1]) if columns is None else (columns.start, columns.stop)
    for first in range(begin, end, width):
        yield slice(first, min(first + width, end))


def sections(num_columns: int) -> tuple[slice, ...]:
    """Cut columns into ranges, which only depend on their number."""
    width = max(_SMALLEST_SECTION, 1 << max(0, -(-num_columns // _MAX_SECTIONS) - 1).bit_length())
    return _cut(num_columns, width)


def server_ranges(num_columns: int, num_servers: int, unit: int = 1) -> list[slice]:
    """Share out columns among servers, as evenly as whole sections allow.

    Parameters
    ----------
    num_columns, num_servers : int
        Q and S.
    unit : int
        Columns are cut only at multiples of it.

    Returns
    -------
    list of slice
        One a server, in order. The first holds all columns of short messages. The last ones
        are empty if there are more servers than ranges.
    """
    edges = [0]
    if num_columns >= SHARED_FROM_COLUMNS:
        edges = [part.start for part in sections(num_columns) if part.start % unit == 0]
    count = min(num_servers, len(edges))
    starts = [edges[i * len(edges) // count] for i in range(count)]
    idle = [slice(num_columns, num_columns)] * (num_servers - count)
    return [slice(a, b) for a, b in itertools.pairwise([*starts, num_columns])] + idle


def column_tasks(messages: Array) -> tuple[slice, ...]:
    """Cut the columns of a matrix into ranges for threads: the sections that it holds."""
    if not isinstance(messages, np.ndarray):
        return _cut(messages.shape[1], block_width(messages))
    columns, count = own_columns(messages)
    return tuple(
        slice(part.start - columns.start, part.stop - columns.start)
        for part in sections(count)
        if columns.start <= part.start < columns.stop
    )


def over_columns(
    messages: Array,
    work: Callable[[slice], Part],
    *,
    num_products: int = 0,
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
    """
    tasks = column_tasks(messages)

    def alone(columns: slice) -> Part:
        with np.errstate(all="ignore"):
            return work(columns)

    with serial_linear_algebra(messages):
        cost = messages.nbytes * (1.0 + num_products / _PRODUCTS_PER_READ)
        if cost < SHARED_FROM_BYTES or not isinstance(messages, np.ndarray):
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


def total(parts: Iterable[Array]) -> Array:
    """Add up one array a section, over all servers, along a fixed binary tree.

    A node of the tree is the sum of 2^l sections from a multiple of 2^l on. Arrays are added
    in place.

    Parameters
    ----------
    parts : iterable of array, float64
        From :func:`over_columns`: those of this server's sections, in order.
    """
    own = _shared_columns.get()
    nodes: list[tuple[int, int, Array]] = []
    first = 0 if own is None else _number_of(own.columns.start, own.count)
    for number, part in enumerate(parts, first):
        _add_node(nodes, 0, number, part)
    if own is not None:
        nodes = _exchanged(nodes, own.servers)
    result = nodes.pop()[2]
    while nodes:
        left = nodes.pop()[2]
        left += result
        result = left
    return result


def agreed(values: HostFloats) -> HostFloats:
    """Return the largest of each element over the arrays of all servers.

    Parameters
    ----------
    values : ndarray of float64
        The numbers of this server's columns.
    """
    own = _shared_columns.get()
    if own is None:
        return values
    found: HostFloats = np.concatenate(own.servers.exchange(values[None])).max(axis=0)
    return found


def from_first(compute: Callable[[], HostFloats]) -> HostFloats:
    """Return what the server of the first columns computes from its columns alone, float64."""
    own = _shared_columns.get()
    if own is None:
        return compute()
    with shared_columns(None):
        found = [compute()] if own.columns.start == 0 else []
    first: HostFloats = own.servers.exchange(np.array(found))[0][0]
    return first


def _exchanged(nodes: list[tuple[int, int, Array]], servers: Servers) -> list[Any]:
    """Return the nodes of all servers, added up as far as they are siblings."""
    shape = nodes[0][2].shape
    table = np.empty((len(nodes), 2 + nodes[0][2].size))
    for row, (level, number, part) in zip(table, nodes, strict=True):
        row[0], row[1], row[2:] = level, number, part.ravel()
    together: list[tuple[int, int, Array]] = []
    for row in np.concatenate(servers.exchange(table)):
        _add_node(together, int(row[0]), int(row[1]), row[2:].reshape(shape))
    return together


def _add_node(nodes: list[tuple[int, int, Array]], level: int, number: int, part: Array) -> None:
    """Append the next node of the tree, and replace siblings by their parent."""
    while nodes and nodes[-1][:2] == (level, number - 1) and number % 2:
        left = nodes.pop()[2]
        left += part
        level, number, part = level + 1, number // 2, left
    nodes.append((level, number, part))


def dot(first: Array, second: Array) -> Array:
    """Multiply rows with a vector, or with each other, over the columns of all servers.

    Parameters
    ----------
    first : array, shape (n, q)
    second : array, shape (q,) or (m, q)

    Returns
    -------
    array of float64, shape (n,) or (n, m)
    """
    return total(
        over_columns(first, lambda part: (first[:, part] @ second[..., part].T).astype(np.float64))
    )


def squared_lengths(rows: Array) -> Array:
    """Return the squared norm of each row, float64, shape (n,), over the columns of all servers."""
    return total(
        over_columns(rows, lambda part: (rows[:, part] ** 2).sum(axis=1, dtype=np.float64))
    )


def length(vector: Array) -> float:
    """Return the Euclidean norm of a vector of shape (q,), over the columns of all servers."""
    return math.sqrt(float(dot(vector[None], vector)[0]))


def largest(values: Array) -> float:
    """Return the largest absolute value of an array, over the columns of all servers."""
    own = np.array([float(abs(values).max())])
    return float(agreed(own)[0])


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


@lru_cache
def _cut(num_columns: int, width: int) -> tuple[slice, ...]:
    return tuple(
        slice(first, min(first + width, num_columns)) for first in range(0, num_columns, width)
    )


def _number_of(start: int, num_columns: int) -> int:
    """Return the number of the section that starts at a column."""
    return start // sections(num_columns)[0].stop if start else 0


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
