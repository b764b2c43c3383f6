"""The array, which lets nothing pass that CuPy's does not."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from cupy import _queue
from cupy._memory import allocate, place, supported
from cupy._signatures import parse

SCALARS = (bool, int, float, complex, np.generic)
# As DLPack numbers devices.
_CUDA = 2
# Bytes before the tensor of one with a version: that, two addresses, flags.
_HEAD = 32


def host_of(value: Any) -> Any:
    """Return what NumPy computes with; an array of NumPy is refused."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, list | tuple):
        return type(value)(host_of(item) for item in value)
    return value


def wrapped(result: Any) -> Any:
    """Return an array for what NumPy computed; numbers become arrays without dimensions."""
    if isinstance(result, np.ndarray | np.generic | bool):
        return ndarray._of(np.asarray(result))
    if isinstance(result, list | tuple):
        return tuple(wrapped(item) for item in result)
    return result


class MemoryPointer:
    """Where an array begins."""

    def __init__(self, ptr: int, owner: Any) -> None:
        self.ptr, self.mem, self.device_id = ptr, owner, 0

    def __int__(self) -> int:
        _queue.wait()
        return self.ptr

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.ptr + offset, self.mem)


class Flags:
    """As much as CuPy says."""

    def __init__(self, host: np.ndarray, owndata: bool) -> None:
        self.c_contiguous, self.f_contiguous = host.flags.c_contiguous, host.flags.f_contiguous
        self.owndata, self.fnc = owndata, host.flags.fnc
        self.forc = host.flags.forc

    def __getitem__(self, name: str) -> bool:
        return bool(getattr(self, name.lower()))


class ndarray:
    """Stands for ``cupy.ndarray``."""

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]
    __slots__ = ("__weakref__", "_host", "base")

    def __init__(
        self, shape: Any, dtype: Any = float, memptr: Any = None, order: str = "C"
    ) -> None:
        if memptr is not None:
            raise NotImplementedError("the stand-in makes its own memory")
        self._host, self.base = allocate(shape, dtype, order), None

    @classmethod
    def _of(cls, host: np.ndarray, base: Any = None) -> ndarray:
        if base is None:
            _queue.add()
        made = cls.__new__(cls)
        supported(host.dtype)
        made._host, made.base = host, base
        return made

    def _view(self, host: Any) -> ndarray:
        """Return what may share this array's memory."""
        host = np.asarray(host)
        shares = np.may_share_memory(host, self._host)
        return self._of(host, (self if self.base is None else self.base) if shares else None)

    # What it is.

    dtype = property(lambda self: self._host.dtype)
    strides = property(lambda self: self._host.strides)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    T = property(lambda self: self._view(self._host.T) if self.ndim > 1 else self)
    mT = property(lambda self: self._view(self._host.mT))
    real = property(lambda self: self._view(self._host.real))
    imag = property(lambda self: self._view(self._host.imag))
    flags = property(lambda self: Flags(self._host, self.base is None))
    data = property(lambda self: MemoryPointer(self._host.ctypes.data, self))

    @property
    def shape(self) -> tuple[int, ...]:
        return self._host.shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        reshaped = self._host.reshape(shape)
        if not np.may_share_memory(reshaped, self._host):
            raise AttributeError("incompatible shape")
        self._host = reshaped

    @property
    def device(self) -> Any:
        from cupy.cuda import Device

        return Device(0)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        host = self._host
        _queue.hand_out(host.nbytes)
        return {
            "shape": host.shape,
            "typestr": host.dtype.str,
            "descr": host.dtype.descr,
            # Number one is the stream that is there without being made.
            "stream": 1,
            "version": 3,
            "strides": None if host.flags.c_contiguous else host.strides,
            "data": (host.ctypes.data if host.size else 0, False),
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CUDA, 0

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: Any = None,
        dl_device: Any = None,
        copy: bool | None = None,
    ) -> Any:
        if stream is not None and (not isinstance(stream, int) or stream < -1 or stream == 0):
            raise ValueError(f"{stream!r} is no stream of CUDA")
        _queue.hand_out(self.nbytes)
        if dl_device not in (None, self.__dlpack_device__()):
            raise BufferError("the stand-in hands out its own memory alone")
        versioned = max_version is not None and max_version[0] >= 1
        options = {"max_version": max_version} if versioned else {}
        if copy is not None:
            options["copy"] = copy
        capsule = self._host.__dlpack__(**options)
        name, before = (b"dltensor_versioned", _HEAD) if versioned else (b"dltensor", 0)
        find = ctypes.pythonapi.PyCapsule_GetPointer
        find.restype, find.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
        # The type of the device follows the address of the data.
        device = find(capsule, name) + before + ctypes.sizeof(ctypes.c_void_p)
        ctypes.c_int32.from_address(device).value = _CUDA
        return capsule

    # To the host and back.

    def get(
        self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True
    ) -> np.ndarray:
        if blocking:
            _queue.wait()
        if out is None:
            return self._host.copy(order=order)
        if not isinstance(out, np.ndarray):
            raise TypeError("Only numpy.ndarray can be obtained from cupy.ndarray")
        if self.dtype != out.dtype:
            raise TypeError(f"{out.dtype} array cannot be obtained from {self.dtype} array")
        if self.shape != out.shape:
            raise ValueError(f"Shape mismatch. Expected shape: {self.shape}, actual: {out.shape}")
        if not out.flags.forc:
            raise RuntimeError("`out` cannot be specified when copying to non-contiguous ndarray")
        out[...] = self._host
        return out

    def set(self, arr: Any, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != arr.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if self.shape != arr.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not self._host.flags.forc:
            raise RuntimeError("Cannot set to non-contiguous array")
        _queue.wait() if stream is None else _queue.add_copy_of(arr)
        self._host[...] = arr

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def item(self) -> Any:
        _queue.wait()
        return self._host.item()

    def tolist(self) -> Any:
        _queue.wait()
        return self._host.tolist()

    def tobytes(self, order: str = "C") -> bytes:
        _queue.wait()
        return self._host.tobytes(order)

    def __bool__(self) -> bool:
        _queue.wait()
        return bool(self._host)

    def __int__(self) -> int:
        return int(self._host)

    def __float__(self) -> float:
        _queue.wait()
        return float(self._host)

    def __complex__(self) -> complex:
        _queue.wait()
        return complex(self._host)

    def __repr__(self) -> str:
        return repr(self._host)

    def __str__(self) -> str:
        return str(self._host)

    def __format__(self, spec: str) -> str:
        return format(self._host, spec)

    def __reduce__(self) -> Any:
        from cupy import array

        return array, (self._host.copy(),)

    # Parts of it.

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Any:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> ndarray:
        index, fancy = _index(index)
        if not fancy and not any(item is Ellipsis for item in index):
            # Otherwise a number that is no view of the array.
            index = (*index, Ellipsis)
        return self._view(self._host[index])

    def __setitem__(self, index: Any, value: Any) -> None:
        _queue.add()
        index, fancy = _index(index)
        if isinstance(value, ndarray):
            self._host[index] = value._host
        elif fancy:
            self._host[index] = np.asarray(value, dtype=self.dtype)
        else:
            self[index].fill(value)

    def fill(self, value: Any) -> None:
        _queue.add()
        given = value._host if isinstance(value, ndarray) else np.asarray(value)
        if given.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        self._host.fill(given.astype(self.dtype).item())

    # Copies and views.

    def astype(
        self,
        dtype: Any,
        order: str = "K",
        casting: Any = None,
        subok: Any = None,
        copy: bool = True,
    ) -> ndarray:
        if casting is not None or subok is not None:
            raise TypeError("casting and subok are not supported yet")
        supported(dtype)
        if not copy and self.dtype == dtype and order in "KA":
            return self
        with np.errstate(all="ignore"):
            return self._view(self._host.astype(dtype, order=order, copy=copy))

    def copy(self, order: str = "C") -> ndarray:
        return self._of(place(self._host, order))

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> ndarray:
        return self.copy()

    def view(self, dtype: Any = None, type: Any = None) -> ndarray:
        return self._view(self._host.view() if dtype is None else self._host.view(supported(dtype)))

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> ndarray:
        if copy is not None:
            raise NotImplementedError("the stand-in copies where it must")
        return self._view(self._host.reshape(*shape, order=order))

    def transpose(self, *axes: Any) -> ndarray:
        return self._view(self._host.transpose(*axes))

    def dot(self, b: ndarray, out: ndarray | None = None) -> ndarray:
        from cupy import dot

        return dot(self, b, out=out)

    # What NumPy asks.

    def __array_ufunc__(self, asked: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        import cupy

        if method != "__call__":
            return NotImplemented
        try:
            known = getattr(cupy, asked.__name__)
        except AttributeError:
            return NotImplemented
        if "out" in options:
            (options["out"],) = options["out"]
        if asked.__name__ in COMPARISONS.values():
            inputs = tuple(_plain(value) for value in inputs)
        return known(*inputs, **options)

    def __array_function__(self, asked: Any, types: Any, args: Any, options: Any) -> Any:
        import cupy

        try:
            module = functools.reduce(getattr, asked.__module__.split(".")[1:], cupy)
            known = getattr(module, asked.__name__)
        except AttributeError:
            return NotImplemented
        if any(kind not in (ndarray, np.ndarray) for kind in types):
            return NotImplemented
        return known(*args, **options)


def _index(index: Any) -> tuple[tuple[Any, ...], bool]:
    """Return what NumPy indexes with, and whether it picks elements; CuPy takes NumPy's arrays."""
    items = index if isinstance(index, tuple) else (index,)
    picks = (ndarray, np.ndarray, list, tuple, bool, np.bool_)
    fancy = any(isinstance(item, picks) for item in items)
    return tuple(item._host if isinstance(item, ndarray) else item for item in items), fancy


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray) and not value.ndim else value


COMPARISONS = {
    "__eq__": "equal",
    "__ne__": "not_equal",
    "__lt__": "less",
    "__le__": "less_equal",
    "__gt__": "greater",
    "__ge__": "greater_equal",
}
_BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "divmod": "divmod",
    "pow": "power",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "left_shift",
    "rshift": "right_shift",
    "matmul": "matmul",
}
_UNARY = {
    "__neg__": "negative",
    "__pos__": "positive",
    "__abs__": "absolute",
    "__invert__": "invert",
}
# CuPy's arguments of the methods that do what NumPy's do.
_METHODS = """
    all(axis=None, out=None, keepdims=False)
    any(axis=None, out=None, keepdims=False)
    argmax(axis=None, out=None, dtype=None, keepdims=False)
    argmin(axis=None, out=None, dtype=None, keepdims=False)
    argpartition(kth, axis=-1)
    argsort(axis=-1, kind=None)
    clip(min=None, max=None, out=None)
    compress(condition, axis=None, out=None)
    conj()
    conjugate()
    cumprod(axis=None, dtype=None, out=None)
    cumsum(axis=None, dtype=None, out=None)
    diagonal(offset=0, axis1=0, axis2=1)
    flatten(order="C")
    max(axis=None, out=None, keepdims=False)
    mean(axis=None, dtype=None, out=None, keepdims=False)
    min(axis=None, out=None, keepdims=False)
    nonzero()
    partition(kth, axis=-1)
    prod(axis=None, dtype=None, out=None, keepdims=False)
    ravel(order="C")
    repeat(repeats, axis=None)
    round(decimals=0, out=None)
    searchsorted(v, side="left", sorter=None)
    sort(axis=-1, kind=None)
    squeeze(axis=None)
    std(axis=None, dtype=None, out=None, ddof=0, keepdims=False)
    sum(axis=None, dtype=None, out=None, keepdims=False)
    swapaxes(axis1, axis2, /)
    take(indices, axis=None, out=None)
    trace(offset=0, axis1=0, axis2=1, dtype=None, out=None)
    var(axis=None, dtype=None, out=None, ddof=0, keepdims=False)
"""


def _add_operators() -> None:
    def call(name: str, *args: Any, **options: Any) -> Any:
        import cupy

        return getattr(cupy, name)(*args, **options)

    def binary(name: str) -> Any:
        def operate(self: ndarray, other: Any) -> Any:
            if getattr(other, "__array_ufunc__", other) is None:
                return NotImplemented
            return call(name, self, other)

        return operate

    def compared(name: str) -> Any:
        return lambda self, other: call(name, self, _plain(other))

    for python, name in COMPARISONS.items():
        setattr(ndarray, python, compared(name))
    for python, name in _BINARY.items():
        setattr(ndarray, f"__{python}__", binary(name))
        setattr(ndarray, f"__r{python}__", lambda self, other, n=name: call(n, other, self))
        if python not in ("divmod", "matmul"):
            in_place = lambda self, other, n=name: call(n, self, other, out=self)  # noqa: E731
            setattr(ndarray, f"__i{python}__", in_place)
    for python, name in _UNARY.items():
        setattr(ndarray, python, lambda self, n=name: call(n, self))


def _add_methods() -> None:
    def method(name: str, signature: Any) -> Any:
        unnamed = [
            key
            for key, value in signature.parameters.items()
            if value.kind is value.POSITIONAL_ONLY
        ]

        def call(self: ndarray, *args: Any, **options: Any) -> Any:
            given = signature.bind(*args, **options).arguments
            if given.get("kind") not in (None, "stable"):
                raise ValueError("kind can only be None or 'stable'")
            out = given.get("out")
            if out is not None and not isinstance(out, ndarray):
                raise TypeError(f"'out' must be an array of this module, not {type(out)}")
            # Where to take from may be said by an array of NumPy.
            plain = {
                key: value
                if key in ("indices", "condition") and isinstance(value, np.ndarray)
                else host_of(value)
                for key, value in given.items()
            }
            if name == "take" and out is not None and out.dtype != self.dtype:
                raise TypeError("Output dtype mismatch")
            by_place = [plain.pop(key) for key in unnamed if key in plain]
            with np.errstate(all="ignore"):
                found = getattr(self._host, name)(*by_place, **plain)
            if out is not None or found is None:
                return out
            return tuple(map(wrapped, found)) if isinstance(found, tuple) else self._view(found)

        return call

    for name, signature in parse(_METHODS).items():
        setattr(ndarray, name, method(name, signature))


_add_operators()
_add_methods()
