"""Memory for arrays, with guards at both ends."""

from __future__ import annotations

from typing import Any

import numpy as np

# CuPy aligns what it allocates to so many bytes.
_ALIGNMENT = 512
_GUARD = 256
_UNTOUCHED, _UNINITIALISED = 0x5A, 0xFF


class Guarded(np.ndarray):
    """The bytes of one array and of the guards around it."""


def allocate(shape: Any, dtype: Any, order: str = "C") -> np.ndarray:
    """Return memory that nobody has written yet: every float in it is NaN."""
    dtype = supported(dtype)
    if isinstance(shape, list):
        shape = tuple(shape)
    extents = np.empty(shape if isinstance(shape, tuple) else (shape,), dtype=[]).shape
    num_bytes = int(np.prod(extents, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(num_bytes + 2 * _GUARD + _ALIGNMENT, dtype=np.uint8)
    start = -(raw.ctypes.data + _GUARD) % _ALIGNMENT
    region = raw[start : start + num_bytes + 2 * _GUARD].view(Guarded)
    region[...] = _UNTOUCHED
    inner = region[_GUARD : _GUARD + num_bytes]
    inner[...] = dtype.kind == "b" or _UNINITIALISED
    return inner.view(dtype).view(np.ndarray).reshape(extents, order=order)


def place(host: np.ndarray, order: str = "C") -> np.ndarray:
    """Return a copy in memory of its own."""
    if order in "KA":
        order = "F" if host.flags.f_contiguous and not host.flags.c_contiguous else "C"
    copy = allocate(host.shape, host.dtype, order)
    copy[...] = host
    return copy


def supported(dtype: Any) -> np.dtype[Any]:
    """Return a dtype that CuPy has."""
    found = np.dtype(dtype)
    if found.char not in "?bhilqBHILQefdFD":
        raise ValueError(f"Unsupported dtype {found}")
    return found


def assert_within(host: np.ndarray) -> None:
    """Fail where something was written outside of the array that this is a view of."""
    owner: Any = host
    while owner is not None and not isinstance(owner, Guarded):
        owner = owner.base
    # A slice of it, or a copy by NumPy that has no guards.
    while isinstance(getattr(owner, "base", None), Guarded):
        owner = owner.base
    if owner is None:
        return
    for where, guard in (("before", owner[:_GUARD]), ("behind", owner[-_GUARD:])):
        if (guard != _UNTOUCHED).any():
            raise AssertionError(f"something was written {where} the memory of an array")
