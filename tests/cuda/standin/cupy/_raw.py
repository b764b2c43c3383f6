"""Kernels, with the array of this package and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cuda_on_host import HostKernel

from cupy import _queue
from cupy._array import MemoryPointer, ndarray
from cupy._memory import assert_within

if TYPE_CHECKING:
    import numpy as np


class RawKernel(HostKernel):
    """Stands for ``cupy.RawKernel``."""

    def __init__(
        self,
        code: str,
        name: str,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        *,
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        jitify: bool = False,
    ) -> None:
        if backend != "nvrtc" or translate_cucomplex or enable_cooperative_groups or jitify:
            raise NotImplementedError("the stand-in knows nothing of this")
        super().__init__(code, name, options)

    def __call__(
        self, grid: Any, block: Any, args: Any, *, shared_mem: int = 0, stream: Any = None
    ) -> None:
        _queue.add()
        super().__call__(grid, block, args, shared_mem=shared_mem)
        for value in args:
            if isinstance(value, ndarray):
                assert_within(value._host)

    @property
    def local_size_bytes(self) -> int:
        raise NotImplementedError("only a compiler for a card knows it")

    num_regs = shared_size_bytes = attributes = local_size_bytes

    @staticmethod
    def is_array(value: Any) -> bool:
        return isinstance(value, ndarray | MemoryPointer)

    @staticmethod
    def address(array: Any) -> tuple[int, np.dtype[Any] | None]:
        if isinstance(array, MemoryPointer):
            return array.ptr, None
        return array.data.ptr, array.dtype


class RawModule:
    """Stands for ``cupy.RawModule``."""

    def __init__(
        self, *, code: str, options: tuple[str, ...] = (), backend: str = "nvrtc", **others: Any
    ) -> None:
        if others:
            raise NotImplementedError(f"the stand-in knows nothing of {', '.join(others)}")
        self._code, self._options, self._backend = code, options, backend

    def compile(self, log_stream: Any = None) -> None:
        RawKernel(self._code, "", self._options, self._backend).compile()

    def get_function(self, name: str) -> RawKernel:
        return RawKernel(self._code, name, self._options, self._backend)
