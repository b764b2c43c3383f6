# mypy: disable-error-code="import-untyped, no-untyped-call, untyped-decorator"
"""Compiled coordinate-wise kernels for host arrays.

Importing this module imports Numba, so :mod:`~lad_mpi.aggregation.coordinates` does so only
for large arrays. Compiled code is cached on disk and works for any number of rows.

A strip of columns, as wide as two cache lines, is copied to a scratch array in the first-level
cache. A network of exchanges (:mod:`~lad_mpi.aggregation.kernels_network`) separates it into
bands of ranks, and bands are summed in float64. Meanwhile a later strip is prefetched. Columns
do not interact, so results do not depend on the number of threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from lad_mpi.aggregation.kernels_network import BLOCK_ROWS, SortingNetwork, band_network
from lad_mpi.aggregation.rows import finite_rows
from lad_mpi.columns import shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.types import HostFloats

# If this were half as wide, an exchange would wait for the stores of the one before.
_STRIP_BYTES = 128
_LINE_BYTES = 64
# Width of the vector registers of most processors. Wider rows would not stay in registers.
_REGISTER_BYTES = 32
# Strips between prefetch and use, enough to hide the latency of the memory.
_FETCH_AHEAD = 4
# Columns of a task: each thread gets many tasks, and a task is long compared to its overhead.
_COLUMNS_PER_TASK = 4096
# From this many numbers, starting threads pays off.
_SHARED_FROM = 2_000_000
# A sum is limited to twice this.
_HALF_OF_LARGEST = float(np.finfo(np.float64).max) / 2

# Exchanges of rows within a block, and within two blocks that are sorted.
_SORT = ((0, 1), (2, 3), (0, 2), (1, 3), (1, 2))
_MERGE = ((0, 4), (1, 5), (2, 6), (3, 7), (2, 4), (3, 5), (1, 2), (3, 4), (5, 6))
_SPLIT = ((0, 7), (1, 6), (2, 5), (3, 4))

# Numba does not type these decorators.
_compile: Any = njit(nogil=True, cache=True)
_intrinsic: Any = intrinsic

_BYTE = ir.IntType(8)
_WORD = ir.IntType(32)
_SIZE = ir.IntType(64)


def band_mean(messages: HostFloats, first: int, last: int) -> HostFloats:
    """Average the ranks ``first … last − 1`` of every column.

    Parameters
    ----------
    messages : ndarray, shape (n, Q), float32 or float64
        Rows that are not finite count as zeros.
    first, last : int
        0 ≤ first < last ≤ n.

    Returns
    -------
    ndarray, shape (Q,), of the same dtype
    """
    network = band_network(len(messages), (first, last))
    return _run(_band_mean, messages, network, (first, last))


def mean_around_median(messages: HostFloats, num_dropped: int) -> HostFloats:
    """Average the n − f values nearest the median of every column.

    Parameters
    ----------
    messages : ndarray, shape (n, Q), float32 or float64
        Rows that are not finite count as zeros.
    num_dropped : int
        f, with 2f < n.

    Returns
    -------
    ndarray, shape (Q,), of the same dtype
    """
    n, f = len(messages), num_dropped
    low, high = (n - 1) // 2, n // 2
    # A rank whose place matters is a band of its own.
    cuts = {*range(f + 1), low, low + 1, high, high + 1, *range(n - f, n)}
    return _run(_mean_around_median, messages, band_network(n, tuple(sorted(cuts))), f)


def _run(
    kernel: Callable[..., bool],
    messages: HostFloats,
    network: SortingNetwork,
    ranks: tuple[int, int] | int,
) -> HostFloats:
    """Run a kernel on tasks of columns, on as many threads as there are."""
    num_columns = messages.shape[1]
    result = np.empty(num_columns, dtype=messages.dtype)

    num_rows = -(-len(messages) // BLOCK_ROWS) * BLOCK_ROWS
    steps = (network.num_blocks, network.merges, network.splits)

    def work(first: int) -> bool:
        columns = slice(first, first + _COLUMNS_PER_TASK)
        part = messages[:, columns]
        if part.strides[1] != part.itemsize:
            part = np.ascontiguousarray(part)
        scratch = _aligned_zeros(num_rows, part.dtype)
        return kernel(part, result[columns], scratch, steps, ranks)

    tasks = range(0, num_columns, _COLUMNS_PER_TASK)
    # Python's threads: kernels release the lock, and callers may fork or be threads themselves.
    if all(shared(work, tasks) if messages.size >= _SHARED_FROM else map(work, tasks)):
        return result
    cleaned = finite_rows(messages)
    if cleaned is messages:
        raise ValueError(
            "the messages changed while they were aggregated: do not write to the array "
            "during the call"
        )
    return _run(kernel, cleaned, network, ranks)


def _aligned_zeros(num_rows: int, dtype: np.dtype[Any]) -> HostFloats:
    """Return an array whose rows are the width of a strip, and aligned."""
    memory = np.zeros((num_rows + 1) * _STRIP_BYTES, dtype=np.uint8)
    start = -memory.ctypes.data % _STRIP_BYTES
    lines = memory[start : start + num_rows * _STRIP_BYTES]
    return lines.view(dtype).reshape(num_rows, -1)


# The following is LLVM code by hand, because a compiler does not see that rows of one array are
# disjoint, and would not keep them in registers. It has to be in this file: Numba only compiles
# a function again if its own file changes.


def _strip(context: Any, builder: Any, array: Any, value: Any, place: Any) -> Any:
    """Return the address of one strip's worth of entries of an array, as a vector."""
    view = context.make_array(array)(context, builder, value)
    address = cgutils.get_item_pointer(context, builder, array, view, place)
    lanes = _STRIP_BYTES * 8 // array.dtype.bitwidth
    vector = ir.VectorType(context.get_data_type(array.dtype), lanes)
    return builder.bitcast(address, vector.as_pointer())


def _registers(builder: Any, strip: Any) -> list[Any]:
    """Return the addresses of a strip's parts that fill a register each."""
    whole = strip.type.pointee
    vector = ir.VectorType(whole.element, whole.count * _REGISTER_BYTES // _STRIP_BYTES)
    first = builder.bitcast(strip, vector.as_pointer())
    return [builder.gep(first, [_SIZE(part)]) for part in range(_STRIP_BYTES // _REGISTER_BYTES)]


def _exchange_rows(
    context: Any, builder: Any, signature: Any, arguments: Any, exchanges: Any
) -> Any:
    scratch, *blocks = arguments
    lines = [
        _strip(
            context,
            builder,
            signature.args[0],
            scratch,
            [builder.add(builder.mul(block, _SIZE(BLOCK_ROWS)), _SIZE(row)), _SIZE(0)],
        )
        for block in blocks
        for row in range(BLOCK_ROWS)
    ]
    # One register's width after the other, so that all rows of two blocks stay in registers.
    for places in zip(*(_registers(builder, line) for line in lines), strict=True):
        rows = [builder.load(place, align=_REGISTER_BYTES) for place in places]
        for i, j in exchanges:
            a, b = rows[i], rows[j]
            # In these forms each becomes a single instruction.
            rows[i] = builder.select(builder.fcmp_ordered("<", a, b), a, b)
            rows[j] = builder.select(builder.fcmp_ordered(">", a, b), a, b)
        for row, place in zip(rows, places, strict=True):
            builder.store(row, place, align=_REGISTER_BYTES)
    return context.get_dummy_value()


@_intrinsic
def _sort_block(typing: Any, scratch: Any, block: Any) -> Any:  # noqa: ARG001
    """Sort the four rows of a block."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _exchange_rows(context, builder, signature, arguments, _SORT)

    return types.void(scratch, types.int64), emit


@_intrinsic
def _merge_blocks(typing: Any, scratch: Any, low: Any, high: Any) -> Any:  # noqa: ARG001
    """Sort the eight rows of two sorted blocks."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _exchange_rows(context, builder, signature, arguments, _MERGE)

    return types.void(scratch, types.int64, types.int64), emit


@_intrinsic
def _split_blocks(typing: Any, scratch: Any, low: Any, high: Any) -> Any:  # noqa: ARG001
    """Bring the lowest four of the eight rows of two sorted blocks into the first, unsorted."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _exchange_rows(context, builder, signature, arguments, _SPLIT)

    return types.void(scratch, types.int64, types.int64), emit


@_intrinsic
def _copy_strip(typing: Any, messages: Any, row: Any, column: Any, scratch: Any) -> Any:  # noqa: ARG001
    """Copy one strip's worth of adjacent entries to the same row of the scratch array."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, _, _, target = signature.args
        messages, row, column, scratch = arguments
        origin = _strip(context, builder, source, messages, [row, column])
        place = _strip(context, builder, target, scratch, [row, _SIZE(0)])
        pairs = zip(_registers(builder, origin), _registers(builder, place), strict=True)
        for origin, place in pairs:
            entries = builder.load(origin, align=source.dtype.bitwidth // 8)
            builder.store(entries, place, align=_REGISTER_BYTES)
        return context.get_dummy_value()

    return types.void(messages, types.int64, types.int64, scratch), emit


@_intrinsic
def _fetch_strip(typing: Any, messages: Any, row: Any, column: Any) -> Any:  # noqa: ARG001
    """Prefetch a strip of entries."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        messages, *entry = arguments
        place = _strip(context, builder, signature.args[0], messages, entry)
        pointer = _BYTE.as_pointer()
        prefetch = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [pointer, _WORD, _WORD, _WORD]),
            "llvm.prefetch.p0",
        )
        # For reading, and not into the first-level cache, where it would displace the strip in use.
        first = builder.bitcast(place, pointer)
        for offset in range(0, _STRIP_BYTES, _LINE_BYTES):
            line = builder.gep(first, [_SIZE(offset)])
            builder.call(prefetch, [line, _WORD(0), _WORD(2), _WORD(1)])
        return context.get_dummy_value()

    return types.void(messages, types.int64, types.int64), emit


@_intrinsic
def _add_block(typing: Any, scratch: Any, row: Any, sums: Any) -> Any:  # noqa: ARG001
    """Add four rows, from any row on, to sums in float64, shape (1, lanes)."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, _, target = signature.args
        scratch, row, sums = arguments
        lanes = _REGISTER_BYTES * 8 // source.dtype.bitwidth
        wide = ir.VectorType(ir.DoubleType(), lanes)
        lines = [
            _strip(context, builder, source, scratch, [builder.add(row, _SIZE(offset)), _SIZE(0)])
            for offset in range(BLOCK_ROWS)
        ]
        first = _strip(context, builder, target, sums, [_SIZE(0), _SIZE(0)])
        first = builder.bitcast(first, wide.as_pointer())
        columns = zip(*(_registers(builder, line) for line in lines), strict=True)
        for part, places in enumerate(columns):
            rows = [builder.load(place, align=_REGISTER_BYTES) for place in places]
            rows = [row if row.type == wide else builder.fpext(row, wide) for row in rows]
            total = builder.fadd(builder.fadd(rows[0], rows[1]), builder.fadd(rows[2], rows[3]))
            place = builder.gep(first, [_SIZE(part)])
            total = builder.fadd(builder.load(place, align=8), total)
            builder.store(total, place, align=8)
        return context.get_dummy_value()

    return types.void(scratch, types.int64, sums), emit


@_intrinsic
def _mark_faults(typing: Any, scratch: Any, row: Any, faults: Any) -> Any:  # noqa: ARG001
    """Make the faults, shape (1, lanes), nonzero where one of four rows is not finite."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, _, target = signature.args
        scratch, row, faults = arguments
        lines = [
            _strip(context, builder, source, scratch, [builder.add(row, _SIZE(offset)), _SIZE(0)])
            for offset in range(BLOCK_ROWS)
        ]
        marks = _registers(builder, _strip(context, builder, target, faults, [_SIZE(0), _SIZE(0)]))
        columns = zip(*(_registers(builder, line) for line in lines), strict=True)
        for part, places in zip(marks, columns, strict=True):
            bits = ir.VectorType(ir.IntType(source.dtype.bitwidth), part.type.pointee.count)
            mark = builder.bitcast(part, bits.as_pointer())
            found = builder.load(mark, align=bits.element.width // 8)
            for place in places:
                entries = builder.load(place, align=_REGISTER_BYTES)
                # Zero, all bits of it, but for NaN and infinities.
                difference = builder.bitcast(builder.fsub(entries, entries), bits)
                found = builder.or_(found, difference)
            builder.store(found, mark, align=bits.element.width // 8)
        return context.get_dummy_value()

    return types.void(scratch, types.int64, faults), emit


@_intrinsic
def _lanes(typing: Any, scratch: Any) -> Any:  # noqa: ARG001
    """Return the number of entries in a strip, as a constant for the compiler."""
    lanes = _STRIP_BYTES * 8 // scratch.dtype.bitwidth

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return context.get_constant(types.int64, lanes)

    return types.int64(scratch), emit


@_compile
def _mean_rows(scratch: Any, first: int, last: int, means: Any) -> None:
    """Average rows in float64; finite even where their sum is not representable."""
    count = last - first
    fours = first + count // BLOCK_ROWS * BLOCK_ROWS
    means[:] = 0.0
    for i in range(first, fours, BLOCK_ROWS):
        _add_block(scratch, i, means)
    for c in range(_lanes(scratch)):
        for i in range(fours, last):
            means[0, c] += scratch[i, c]
        means[0, c] /= count
        if not np.isfinite(means[0, c]):
            # Dividing first is less accurate, so it is only done for sums that overflow. Rounding
            # may then still exceed the largest number, so the halves are added up.
            half = 0.0
            for i in range(first, last):
                half += scratch[i, c] / (2 * count)
            means[0, c] = 2.0 * min(max(half, -_HALF_OF_LARGEST), _HALF_OF_LARGEST)


@_compile
def _load(messages: Any, scratch: Any, faults: Any, column: int) -> int:
    """Copy the strip at a column, return how many columns it has, or 0 if not all are finite."""
    num_rows, num_columns = messages.shape
    lanes = _lanes(scratch)
    width: int = min(lanes, num_columns - column)
    later = min(column + _FETCH_AHEAD * lanes, num_columns - lanes)
    for i in range(num_rows):
        if width == lanes:
            _copy_strip(messages, i, column, scratch)
        else:
            for c in range(width):
                scratch[i, c] = messages[i, column + c]
        if later > column:
            _fetch_strip(messages, i, later)
    # Clear the padding of the strip before.
    scratch[num_rows:] = 0.0
    faults[:] = 0.0
    for i in range(0, len(scratch), BLOCK_ROWS):
        _mark_faults(scratch, i, faults)
    for c in range(width):
        # NaN is unequal to zero, too.
        if faults[0, c] != 0.0:
            return 0
    return width


@_compile
def _separate(scratch: Any, steps: Any, num_rows: int) -> None:
    """Bring the rows of the strip into their bands."""
    num_blocks, merges, splits = steps
    for i in range(num_rows, len(scratch)):
        for c in range(_lanes(scratch)):
            scratch[i, c] = np.inf
    for block in range(num_blocks):
        _sort_block(scratch, block)
    for k in range(len(merges)):
        _merge_blocks(scratch, merges[k, 0], merges[k, 1])
    for k in range(len(splits)):
        _split_blocks(scratch, splits[k, 0], splits[k, 1])


@_compile
def _band_mean(
    messages: Any, result: Any, scratch: Any, steps: Any, ranks: tuple[int, int]
) -> bool:
    first, last = ranks
    lanes = _lanes(scratch)
    means, faults = np.empty((1, lanes)), np.empty((1, lanes), scratch.dtype)
    for column in range(0, len(result), lanes):
        width = _load(messages, scratch, faults, column)
        if width == 0:
            return False
        _separate(scratch, steps, len(messages))
        _mean_rows(scratch, first, last, means)
        for c in range(width):
            result[column + c] = means[0, c]
    return True


@_compile
def _mean_around_median(messages: Any, result: Any, scratch: Any, steps: Any, f: int) -> bool:
    n, lanes = len(messages), _lanes(scratch)
    means, faults = np.empty((1, lanes)), np.empty((1, lanes), scratch.dtype)
    medians = np.empty(lanes)
    for column in range(0, len(result), lanes):
        width = _load(messages, scratch, faults, column)
        if width == 0:
            return False
        _separate(scratch, steps, len(messages))
        for c in range(lanes):
            medians[c] = 0.5 * scratch[(n - 1) // 2, c] + 0.5 * scratch[n // 2, c]
        # Of the i-th value inwards at one end and outwards at the other, the nearer one stays:
        # these are the f nearest of the 2f outer values. Their middle is rounded as the median
        # is, so that equal distances are seen to be equal.
        for i in range(f):
            for c in range(lanes):
                low, high = scratch[i, c], scratch[n - f + i, c]
                scratch[i, c] = low if medians[c] <= 0.5 * low + 0.5 * high else high
        _mean_rows(scratch, 0, n - f, means)
        for c in range(width):
            result[column + c] = means[0, c]
    return True
