"""The functions, each with CuPy's arguments, most of them carried out by NumPy's."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from cupy import _array, _queue
from cupy._memory import allocate, place, supported
from cupy._signatures import parse

UFUNCS = """
    abs absolute add arctan2 bitwise_and bitwise_count bitwise_or bitwise_xor cbrt ceil conj
    conjugate copysign cos degrees divide divmod equal exp exp2 expm1 fabs floor floor_divide fmax
    fmin fmod frexp greater greater_equal hypot invert isfinite isinf isnan ldexp left_shift less
    less_equal log log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor maximum
    minimum mod modf multiply negative nextafter not_equal positive power reciprocal remainder
    right_shift rint sign signbit sin sqrt square subtract tan tanh true_divide trunc
"""
# Nothing that is an array in NumPy may be among the arguments.
COMPUTED = """
    all(a, axis=None, out=None, keepdims=False)
    allclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False)
    amax(a, axis=None, out=None, keepdims=False)
    amin(a, axis=None, out=None, keepdims=False)
    any(a, axis=None, out=None, keepdims=False)
    argmax(a, axis=None, dtype=None, out=None, keepdims=False)
    argmin(a, axis=None, dtype=None, out=None, keepdims=False)
    argpartition(a, kth, axis=-1)
    argsort(a, axis=-1, kind=None)
    array_equal(a1, a2, equal_nan=False)
    bincount(x, weights=None, minlength=None)
    broadcast_to(array, shape)
    clip(a, a_min, a_max, out=None)
    compress(condition, a, axis=None, out=None)
    concatenate(tup, axis=0, out=None, *, dtype=None, casting="same_kind")
    copy(a, order="K")
    count_nonzero(a, axis=None)
    cumprod(a, axis=None, dtype=None, out=None)
    cumsum(a, axis=None, dtype=None, out=None)
    diagonal(a, offset=0, axis1=0, axis2=1)
    diff(a, n=1, axis=-1, prepend=None, append=None)
    dot(a, b, out=None)
    einsum(*operands, dtype=None, optimize=False)
    expand_dims(a, axis)
    flatnonzero(a)
    flip(a, axis=None)
    hstack(tup, *, dtype=None, casting="same_kind")
    inner(a, b)
    isclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False)
    matmul(a, b, /, out=None, *, axes=None, axis=None, dtype=None, casting="same_kind")
    max(a, axis=None, out=None, keepdims=False)
    mean(a, axis=None, dtype=None, out=None, keepdims=False)
    median(a, axis=None, out=None, overwrite_input=False, keepdims=False)
    min(a, axis=None, out=None, keepdims=False)
    moveaxis(a, source, destination)
    nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None)
    nonzero(a)
    outer(a, b, out=None)
    packbits(a, axis=None, bitorder="big")
    partition(a, kth, axis=-1)
    prod(a, axis=None, dtype=None, out=None, keepdims=False)
    ravel(a, order="C")
    repeat(a, repeats, axis=None)
    reshape(a, newshape, order="C", *, copy=None)
    roll(a, shift, axis=None)
    round(a, decimals=0, out=None)
    searchsorted(a, v, side="left", sorter=None)
    sort(a, axis=-1, kind=None)
    squeeze(a, axis=None)
    stack(tup, axis=0, out=None, *, dtype=None, casting="same_kind")
    std(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
    sum(a, axis=None, dtype=None, out=None, keepdims=False)
    swapaxes(a, axis1, axis2)
    take(a, indices, axis=None, out=None)
    tensordot(a, b, axes=2)
    tile(A, reps)
    trace(a, offset=0, axis1=0, axis2=1, dtype=None, out=None)
    transpose(a, axes=None)
    unpackbits(a, axis=None, bitorder="big")
    var(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
    vdot(a, b)
    vstack(tup, *, dtype=None, casting="same_kind")
    where(condition, x=None, y=None)
"""
CREATED = """
    arange(start, stop=None, step=1, dtype=None)
    eye(N, M=None, k=0, dtype=float, order="C")
    identity(n, dtype=float)
    linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0)
"""
# Not of arrays, so the answer is the host's.
PLAIN = "can_cast iscomplexobj isscalar may_share_memory ndim result_type shape shares_memory size"
# CuPy gives up where an argument differs from what it is unless said.
_UNSUPPORTED = {"packbits": ("axis",), "unpackbits": ("axis",)}


class ufunc:
    """Stands for ``cupy.ufunc``."""

    def __init__(self, name: str) -> None:
        self._numpy: np.ufunc = getattr(np, name)
        self.name, self.__name__ = f"cupy_{name}", name
        self.nin, self.nout, self.nargs = self._numpy.nin, self._numpy.nout, self._numpy.nargs

    def __call__(
        self,
        *args: Any,
        out: Any = None,
        dtype: Any = None,
        casting: Any = "same_kind",
        **others: Any,
    ) -> Any:
        if others:
            raise TypeError(f"Wrong arguments {others}")
        if not self.nin <= len(args) <= self.nargs:
            raise TypeError(f"Wrong number of arguments for {self.name!r}")
        inputs, outs = args[: self.nin], args[self.nin :]
        if out is not None:
            if outs:
                raise ValueError("Cannot specify 'out' as both a positional and keyword argument")
            outs = out if isinstance(out, tuple) else (out,)
        for value in inputs:
            if not isinstance(value, (_array.ndarray, *_array.SCALARS)):
                raise TypeError(f"Unsupported type {type(value)}")
        for value in outs:
            if not isinstance(value, _array.ndarray | None):
                raise TypeError(f"Unsupported type {type(value)}")
        _queue.add()
        with np.errstate(all="ignore"):
            found = self._numpy(
                *map(_array.host_of, inputs),
                out=tuple(map(_array.host_of, outs)) or None,
                dtype=dtype,
                casting=casting,
            )
        if any(value is not None for value in outs):
            return outs[0] if self.nout == 1 else outs
        return _array.wrapped(found)

    def reduce(
        self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> Any:
        methods = {"add": "sum", "multiply": "prod"}
        if self.__name__ not in methods:
            raise NotImplementedError(f"`{self.name}.reduce` is not supported yet")
        return getattr(array, methods[self.__name__])(axis, dtype, out, keepdims)

    def accumulate(self, array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        methods = {"add": "cumsum", "multiply": "cumprod"}
        if self.__name__ not in methods:
            raise NotImplementedError(f"`{self.name}.accumulate` is not supported yet")
        return getattr(array, methods[self.__name__])(axis, dtype, out)


def _computed(name: str, signature: inspect.Signature) -> Any:
    def call(*args: Any, **options: Any) -> Any:
        bound = _bind(name, signature, args, options)
        first, out = next(iter(bound.arguments.values())), bound.arguments.get("out")
        if name == "take":
            return first.take(*bound.args[1:], **bound.kwargs)
        required, named = _for_numpy(bound)
        if name == "where" and named:
            required += [named.pop("x"), named.pop("y")]
        with np.errstate(all="ignore"):
            found = getattr(np, name)(*required, **named)
        if out is not None:
            return out
        if isinstance(first, _array.ndarray) and isinstance(found, np.ndarray):
            return first._view(found)
        return _array.wrapped(found)

    call.__name__ = call.__qualname__ = name
    return call


def _bind(
    name: str, signature: inspect.Signature, args: Any, options: dict[str, Any]
) -> inspect.BoundArguments:
    """Return the arguments of a function; fail at those that CuPy does not take."""
    try:
        bound = signature.bind(*args, **options)
    except TypeError as error:
        raise TypeError(f"{name}(): {error}") from None
    for argument in _UNSUPPORTED.get(name, ()):
        if bound.arguments.get(argument) is not None:
            raise NotImplementedError(f"{argument} option is not supported yet")
    if bound.arguments.get("kind") not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    first, out = next(iter(bound.arguments.values())), bound.arguments.get("out")
    if not isinstance(first, _array.ndarray | list | tuple):
        raise TypeError(f"{name}() is of arrays of this module, not of {type(first)}")
    if out is not None and not isinstance(out, _array.ndarray):
        raise TypeError(f"'out' must be an array of this module, not {type(out)}")
    return bound


def _for_numpy(bound: inspect.BoundArguments) -> tuple[list[Any], dict[str, Any]]:
    """Return by position what has no default, since NumPy may call it by another name."""
    required: list[Any] = []
    named = {}
    for key, value in bound.arguments.items():
        parameter = bound.signature.parameters[key]
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            required += map(_array.host_of, value)
        elif parameter.default is parameter.empty:
            required.append(_array.host_of(value))
        elif value is not None:
            named[key] = _array.host_of(value)
    return required, named


def _created(name: str, signature: inspect.Signature) -> Any:
    def call(*args: Any, **options: Any) -> Any:
        bound = signature.bind(*args, **options)
        options = {key: _array.host_of(value) for key, value in bound.kwargs.items()}
        found = getattr(np, name)(*_array.host_of(bound.args), **options)
        return _array.ndarray._of(place(found))

    return call


def _plain(name: str) -> Any:
    return lambda *args: getattr(np, name)(*map(_array.host_of, args))


# Creation: what takes arrays of NumPy, and what is theirs alone.


def array(
    obj: Any,
    dtype: Any = None,
    copy: bool = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> Any:
    if subok:
        raise NotImplementedError
    if isinstance(obj, _array.ndarray):
        same = dtype is None or obj.dtype == dtype
        if same and not copy and order in "KA" and obj.ndim >= ndmin:
            return obj
        host = obj._host
    elif isinstance(obj, list | tuple) and _all_ours(obj):
        host = np.array(_array.host_of(obj))
    else:
        # An array of this module among other things is refused by its __array__.
        host = np.asanyarray(obj)
        _queue.wait() if blocking else _queue.add_copy_of(host)
        host = np.asarray(host)
    with np.errstate(all="ignore"):
        host = np.array(host, dtype=supported(host.dtype if dtype is None else dtype), ndmin=ndmin)
    return _array.ndarray._of(place(host, order))


def _all_ours(items: Any) -> bool:
    return bool(items) and all(
        _all_ours(item) if isinstance(item, list | tuple) else isinstance(item, _array.ndarray)
        for item in items
    )


def asarray(
    a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False
) -> Any:
    return array(a, dtype, copy=bool(copy), order=order or "K", blocking=blocking)


def ascontiguousarray(a: Any, dtype: Any = None) -> Any:
    return _contiguous(a, dtype, "C")


def asfortranarray(a: Any, dtype: Any = None) -> Any:
    return _contiguous(a, dtype, "F")


def _contiguous(a: Any, dtype: Any, order: str) -> Any:
    if not isinstance(a, _array.ndarray):
        raise TypeError(f"Argument 'a' has incorrect type (expected ndarray, got {type(a)})")
    if (dtype is None or a.dtype == dtype) and a.flags[f"{order}_CONTIGUOUS"]:
        return a
    host = np.atleast_1d(a._host).astype(a.dtype if dtype is None else dtype)
    return _array.ndarray._of(place(host, order))


def asnumpy(
    a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True
) -> Any:
    if isinstance(a, _array.ndarray):
        return a.get(stream, order, out)
    return np.asarray(a, order=order)


def empty(shape: Any, dtype: Any = float, order: str = "C") -> Any:
    return _array.ndarray._of(allocate(shape, dtype, order))


def zeros(shape: Any, dtype: Any = float, order: str = "C") -> Any:
    return full(shape, 0, dtype, order)


def ones(shape: Any, dtype: Any = float, order: str = "C") -> Any:
    return full(shape, 1, dtype, order)


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> Any:
    if dtype is None:
        dtype = getattr(fill_value, "dtype", np.asarray(_array.host_of(fill_value)).dtype)
    made = empty(shape, dtype, order)
    made.fill(fill_value)
    return made


def empty_like(
    prototype: Any, dtype: Any = None, order: str = "K", subok: None = None, shape: Any = None
) -> Any:
    if subok is not None:
        raise TypeError("subok is not supported yet")
    if not isinstance(prototype, _array.ndarray | np.ndarray):
        raise TypeError(f"Unsupported type {type(prototype)}")
    if order in "KA":
        flags = prototype.flags
        order = "F" if flags.f_contiguous and not flags.c_contiguous else "C"
    shape = prototype.shape if shape is None else shape
    return empty(shape, prototype.dtype if dtype is None else dtype, order)


def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: None = None,
    shape: Any = None,
) -> Any:
    made = empty_like(a, dtype, order, subok, shape)
    made.fill(fill_value)
    return made


def zeros_like(
    a: Any, dtype: Any = None, order: str = "K", subok: None = None, shape: Any = None
) -> Any:
    return full_like(a, 0, dtype, order, subok, shape)


def ones_like(
    a: Any, dtype: Any = None, order: str = "K", subok: None = None, shape: Any = None
) -> Any:
    return full_like(a, 1, dtype, order, subok, shape)


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    if isinstance(src, np.ndarray) and src.ndim:
        raise ValueError("non-scalar numpy.ndarray cannot be used for copyto")
    chosen = {} if where is None else {"where": _array.host_of(where)}
    source = src._host if isinstance(src, _array.ndarray) else src
    np.copyto(dst._host, source, casting=casting, **chosen)


def get_array_module(*args: Any) -> Any:
    import cupy

    return cupy if any(isinstance(value, _array.ndarray) for value in args) else np


FUNCTIONS: dict[str, Any] = {
    **{name: ufunc(name) for name in UFUNCS.split()},
    **{name: _computed(name, signature) for name, signature in parse(COMPUTED).items()},
    **{name: _created(name, signature) for name, signature in parse(CREATED).items()},
    **{name: _plain(name) for name in PLAIN.split()},
    **{
        function.__name__: function
        for function in (
            array,
            asarray,
            ascontiguousarray,
            asfortranarray,
            asnumpy,
            copyto,
            empty,
            empty_like,
            full,
            full_like,
            get_array_module,
            ones,
            ones_like,
            zeros,
            zeros_like,
        )
    },
}
FUNCTIONS["concat"], FUNCTIONS["asanyarray"] = FUNCTIONS["concatenate"], asarray
