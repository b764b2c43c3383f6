"""The stand-in for CuPy that lies beside this package: how to get at it."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_HARNESS = Path(__file__).parents[1]
_STANDIN = _HARNESS / "standin"


def standin_environment(**variables: str) -> dict[str, str]:
    """Return the environment of a program that is to find the stand-in for CuPy.

    Under mpirun, for example: ``subprocess.run([mpirun, "-n", "4", sys.executable, …],
    env=standin_environment())``. ``CUPY_STANDIN_DEVICES`` is how many GPUs it has,
    ``KERNELS_ON_HOST_LEVEL`` how far its kernels are optimised.
    """
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = [str(_HARNESS), str(_STANDIN), *filter(None, before)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), **variables}


@contextmanager
def standin_cupy() -> Iterator[Any]:
    """Have ``import cupy`` find the stand-in in this process, and forget it at the end.

    What lad_mpi keeps of CuPy, a kernel for example, is forgotten as well: all in a
    cache whose function takes ``xp``.
    """
    real = _take_out()
    sys.path.insert(0, str(_STANDIN))
    try:
        import cupy

        yield cupy
    finally:
        sys.path.remove(str(_STANDIN))
        _take_out()
        sys.modules.update(real)
        _forget()


def _take_out() -> dict[str, Any]:
    names = [name for name in sys.modules if name.split(".")[0] in ("cupy", "cupyx")]
    return {name: sys.modules.pop(name) for name in names}


def _forget() -> None:
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] != "lad_mpi":
            continue
        for kept in vars(module).values():
            if hasattr(kept, "cache_clear") and "xp" in signature(kept).parameters:
                kept.cache_clear()
