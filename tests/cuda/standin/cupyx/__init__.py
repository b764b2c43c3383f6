"""A stand-in for what lad_mpi takes from CuPy's extensions; see ``cupy``."""

from typing import Any

import numpy as np
from cupy._queue import Pinned


def empty_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    return np.empty(shape, dtype, order).view(Pinned)


def zeros_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    return np.zeros(shape, dtype, order).view(Pinned)


def empty_like_pinned(
    a: Any, dtype: Any = None, order: str = "K", subok: None = None, shape: Any = None
) -> np.ndarray:
    return np.empty_like(getattr(a, "_host", a), dtype, order, shape=shape).view(Pinned)
