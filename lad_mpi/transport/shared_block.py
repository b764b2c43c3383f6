"""Memory that the ranks of a host share.

This is not a window of MPI: MPICH takes windows from ``/dev/shm``, which is often small in a
container, and a rank that writes to a window for which there is no room dies of SIGBUS. A block
of anonymous memory has no such limit. The kernel frees it when the last process that maps it ends,
so nothing remains after an error.
"""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.arrays import ALIGNMENT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType


class SharedBlock:
    """A block of memory that this process fills, and that other processes may map.

    Use it as a context manager: at its end no other process can map the block any more. Mappings
    stay valid.

    Parameters
    ----------
    size : int
        Its size in bytes. Pages that are never written take no memory.

    Raises
    ------
    OSError
        The system offers no such memory.
    """

    def __init__(self, size: int) -> None:
        if sys.platform != "linux":
            raise OSError(f"{sys.platform} has no anonymous memory that processes can share")
        self._descriptor = os.memfd_create("lad_mpi-data")
        try:
            os.ftruncate(self._descriptor, size)
            self.memory = _mapped(self._descriptor, size, mmap.ACCESS_WRITE)
        except OSError:
            os.close(self._descriptor)
            raise

    @property
    def address(self) -> str:
        """What :func:`map_block` needs, as text."""
        found = os.fstat(self._descriptor)
        path = f"/proc/{os.getpid()}/fd/{self._descriptor}"
        return json.dumps([path, found.st_dev, found.st_ino, found.st_size])

    def __enter__(self) -> SharedBlock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)


def map_block(address: str) -> mmap.mmap:
    """Map a block of another process of this host and user, to read it.

    Raises
    ------
    OSError
        The block cannot be reached, for instance because the other process is in another
        container.
    """
    path, device, number, size = json.loads(address)
    # In another container the same path may lead to another file, or to a pipe without a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if (found.st_dev, found.st_ino, found.st_size) != (device, number, size):
            raise OSError(f"{path} is not the memory of a rank of this run")
        return _mapped(descriptor, size, mmap.ACCESS_READ)
    finally:
        os.close(descriptor)


def size_of(shapes: Sequence[tuple[tuple[int, ...], Any]]) -> int:
    """Return the size of a block for arrays of these shapes and types."""
    return max(1, sum(map(_padded, shapes)))


def arrays_in(
    memory: mmap.mmap, shapes: Sequence[tuple[tuple[int, ...], Any]]
) -> list[np.ndarray[Any, Any]]:
    """Return arrays of these shapes and types that lie one after another in a block."""
    arrays, offset = [], 0
    for shape, dtype in shapes:
        arrays.append(np.ndarray(shape, dtype, buffer=memory, offset=offset))
        offset += _padded((shape, dtype))
    return arrays


def _mapped(descriptor: int, size: int, access: int) -> mmap.mmap:
    memory = mmap.mmap(descriptor, size, access=access)
    # As NumPy does for large arrays. A kernel may have no huge pages.
    with contextlib.suppress(OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _padded(array: tuple[tuple[int, ...], Any]) -> int:
    shape, dtype = array
    size: int = math.prod(shape) * np.dtype(dtype).itemsize
    return -(-size // ALIGNMENT) * ALIGNMENT
