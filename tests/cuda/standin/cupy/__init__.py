"""A stand-in for CuPy whose GPU is the memory and the processor of the host.

It lets tests run what is written for CuPy where there is no GPU, and is as strict as
CuPy is: arrays of the host and of this module do not mix, nothing is converted without
being asked, and functions have CuPy's arguments and no others. What CuPy has and nobody
here has needed yet is an ``AttributeError``; a line in ``_functions.py`` adds it. Memory
that is not initialised is full of NaN, and one that a kernel writes outside of an array
is found. Kernels are carried out by ``cuda_on_host``, whose folder must be on the path.

Put this folder's parent on ``PYTHONPATH``, or use the fixture ``standin_gpu``.
``cuda_on_host.standin_environment`` gives the variables for other programs, for ranks under
``mpirun`` among them: MPI is handed the memory of the host, and so runs for real.

It shows nothing of a GPU. Everything is done at once, and only what is handed to others
before it was waited for is found (``_queue``), not what streams of CuPy's own would do to
each other; sums are NumPy's and not in CuPy's order; small numbers do not become zero.
"""

from typing import Any

import numpy as np

from cupy import cuda
from cupy._array import ndarray
from cupy._functions import FUNCTIONS, ufunc
from cupy._raw import RawKernel, RawModule

__version__ = "14.0.0+standin"

newaxis, pi, inf, nan, e = None, np.pi, np.inf, np.nan, np.e
bool_, dtype, finfo, iinfo, generic = np.bool_, np.dtype, np.finfo, np.iinfo, np.generic
int8, int16, int32, int64, intp = np.int8, np.int16, np.int32, np.int64, np.intp
uint8, uint16, uint32, uint64 = np.uint8, np.uint16, np.uint32, np.uint64
float16, float32, float64 = np.float16, np.float32, np.float64
complex64, complex128 = np.complex64, np.complex128
floating, integer = np.floating, np.integer
issubdtype, promote_types = np.issubdtype, np.promote_types

__all__ = ["RawKernel", "RawModule", "cuda", "ndarray", "ufunc"]


def __getattr__(name: str) -> Any:
    try:
        return FUNCTIONS[name]
    except KeyError:
        raise AttributeError(
            f"the stand-in for CuPy has no {name!r}; if CuPy has, add it to {__name__}._functions"
        ) from None
