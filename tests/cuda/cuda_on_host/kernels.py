"""CUDA kernels carried out by the host, behind CuPy's ``RawKernel`` and ``RawModule``."""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import contextmanager
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from cuda_on_host.compiler import compile_source, runtime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAX_THREADS, _MAX_BLOCK, _MAX_GRID = 1024, (1024, 1024, 64), (2**31 - 1, 65535, 65535)
# What a launch may have unless the kernel is told that it needs more.
_SHARED_BYTES = 48 * 1024
# One launch at a time has the threads of the runtime.
_LAUNCHING = threading.Lock()
_backwards = False


class LaunchError(Exception):
    """A launch that a card would refuse, or that would harm it."""


@contextmanager
def backwards() -> Iterator[None]:
    """Run blocks, and the threads of each, from the last to the first.

    What depends on an order that CUDA does not promise, where a barrier is missing
    for example, tends to fail in one of the two.
    """
    global _backwards  # noqa: PLW0603
    _backwards = True
    try:
        yield
    finally:
        _backwards = False


class HostModule:
    """Stands for ``cupy.RawModule``: all kernels of one source.

    Parameters
    ----------
    code : str
        CUDA C++.
    options : tuple of str
        NVRTC's.
    level : int, optional
        Of optimisation. Long kernels compile faster with none; unless given,
        ``KERNELS_ON_HOST_LEVEL`` says it, and otherwise it is 1.
    """

    def __init__(
        self, *, code: str, options: tuple[str, ...] = (), level: int | None = None
    ) -> None:
        if not isinstance(options, tuple):
            raise TypeError(f"options are a tuple, as CuPy wants them, not {options!r}")
        if level is None:
            level = int(os.environ.get("KERNELS_ON_HOST_LEVEL", "1"))
        self._code, self._options, self._level = code, options, level

    def compile(self) -> None:
        """Compile now instead of at the first launch."""
        _load(compile_source(self._code, self._options, self._level))

    def get_function(self, name: str) -> HostKernel:
        """Return a kernel by its name."""
        return HostKernel(self._code, name, self._options, level=self._level)


class HostKernel:
    """Stands for ``cupy.RawKernel``, and takes NumPy's arrays for those of a GPU.

    Everything about the arguments that is left to the caller on a GPU is an
    error here: their number, the sizes of numbers, the dtypes of arrays.
    """

    def __init__(
        self, code: str, name: str, options: tuple[str, ...] = (), *, level: int | None = None
    ) -> None:
        self._module = HostModule(code=code, options=options, level=level)
        self.name = name
        #: As CuPy has it: the most memory that a launch may ask its blocks to share.
        self.max_dynamic_shared_size_bytes = _SHARED_BYTES

    def compile(self) -> None:
        """Compile now instead of at the first launch."""
        self._module.compile()

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        *,
        shared_mem: int = 0,
    ) -> None:
        """Launch, and wait for the end."""
        module = self._module
        library = _load(compile_source(module._code, module._options, module._level))
        kernel = _find(library, self.name)
        shape = (*_extents("grid", grid, _MAX_GRID), *_extents("block", block, _MAX_BLOCK))
        num_threads = prod(shape[3:])
        if num_threads > min(kernel.bounds, _MAX_THREADS):
            raise LaunchError(
                f"{self.name} has blocks of at most {kernel.bounds} threads, not {num_threads}"
            )
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise LaunchError(f"{shared_mem} bytes are more than the threads of a block share")
        if len(args) != len(kernel.parameters):
            raise TypeError(
                f"{self.name} takes {len(kernel.parameters)} arguments, not {len(args)}"
            )
        cells = [
            self._cell(number, parameter, value)
            for number, (parameter, value) in enumerate(zip(kernel.parameters, args, strict=True))
        ]
        places = (ctypes.c_void_p * len(cells))(*(cell.ctypes.data for cell in cells))
        with _LAUNCHING:
            failure = kernel.launch((ctypes.c_uint * 6)(*shape), shared_mem, _backwards, places)
        if failure:
            raise LaunchError(f"{self.name}: {failure.decode()}")

    def _cell(self, number: int, parameter: _Parameter, value: Any) -> np.ndarray:
        """Return an argument as the bytes that a kernel finds."""
        wrong = TypeError(
            f"argument {number} of {self.name} is {_shown(value)}, where it takes {parameter}"
        )
        if value is None or self.is_array(value):
            address, dtype = (0, None) if value is None else self.address(value)
            if not parameter.pointer or not (dtype is None or parameter.accepts(dtype)):
                raise wrong
            if parameter.size and address % min(parameter.size, 16):
                raise LaunchError(f"argument {number} of {self.name} is not aligned")
            return np.array(address, dtype=np.uint64)
        # As CuPy does, take an int of Python for one of 64 bits.
        if not isinstance(value, np.generic | int | float | complex) or parameter.pointer:
            raise wrong
        cell = np.asarray(value)
        if not parameter.holds(cell.dtype):
            raise wrong
        return cell

    @staticmethod
    def is_array(value: Any) -> bool:
        """Whether a value is passed by its place."""
        return isinstance(value, np.ndarray)

    @staticmethod
    def address(array: Any) -> tuple[int, np.dtype[Any] | None]:
        """Return where an array begins, and of what it is, if that is known."""
        return array.ctypes.data, array.dtype


class _Parameter(ctypes.Structure):
    """As shim.hpp has it."""

    _fields_ = (
        ("pointer", ctypes.c_int),
        ("kind", ctypes.c_int),
        ("size", ctypes.c_int),
        ("constant", ctypes.c_int),
    )

    def __str__(self) -> str:
        what = f"{chr(self.kind)}{self.size}" if self.size else "anything"
        return f"a pointer to {what}" if self.pointer else what

    def accepts(self, dtype: np.dtype[Any]) -> bool:
        """Whether it may point to numbers of a dtype; a struct to several."""
        if chr(self.kind) == "V":
            return (
                not self.size
                or dtype.itemsize % self.size == 0
                or (self.size % dtype.itemsize == 0)
            )
        return (dtype.kind, dtype.itemsize) == (chr(self.kind), self.size)

    def holds(self, dtype: np.dtype[Any]) -> bool:
        """Whether it is a number of the same size, whole or not as the other is."""
        kinds = {"i": "iu", "u": "iu", "b": "b", "f": "f", "V": "cV"}
        return dtype.itemsize == self.size and dtype.kind in kinds[chr(self.kind)]


class _Kernel:
    """What a library says of one of its kernels."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        try:
            describe = library[f"cuda_on_host_describe_{name}"]
        except AttributeError as error:
            raise LaunchError(f"the source has no kernel {name!r}") from error
        self.parameters = (_Parameter * describe(None))()
        describe(self.parameters)
        self.bounds = ctypes.c_int.in_dll(library, f"cuda_on_host_bounds_{name}").value
        self.launch = library[f"cuda_on_host_launch_{name}"]
        self.launch.restype = ctypes.c_char_p


@cache
def _load(path: Path) -> ctypes.CDLL:
    # Its names are for the libraries of all kernels.
    ctypes.CDLL(str(runtime()), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(path))


@cache
def _find(library: ctypes.CDLL, name: str) -> _Kernel:
    return _Kernel(library, name)


def _extents(what: str, given: tuple[int, ...], largest: tuple[int, ...]) -> tuple[int, ...]:
    """Return three extents; as CuPy does, take one for none."""
    if not isinstance(given, tuple) or not 1 <= len(given) <= 3:
        raise TypeError(f"the {what} is a tuple of one to three numbers, not {given!r}")
    extents = tuple(max(1, int(extent)) for extent in (*given, 1, 1)[:3])
    if any(extent > most for extent, most in zip(extents, largest, strict=True)):
        raise LaunchError(f"no card has a {what} of {extents}")
    return extents


def _shown(value: Any) -> str:
    dtype = getattr(value, "dtype", None)
    return f"a {type(value).__name__}" + (f" of {dtype}" if dtype is not None else "")
