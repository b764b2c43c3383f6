"""A stand-in for a GPU."""

import importlib
import pkgutil
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from cuda_on_host import COMPILER, HostModule

import lad_mpi.compression.cuda
from lad_mpi.arrays import Backend


@pytest.fixture
def standin_gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    if COMPILER is None:
        pytest.skip("there is no C++ compiler")
    import codecs_on_gpu

    cupy: Any = ModuleType("cupy")
    for name in dir(np):
        if not name.startswith("__"):
            setattr(cupy, name, getattr(np, name))
    cupy.RawModule = HostModule
    for module in [
        codecs_on_gpu,
        *(
            importlib.import_module(f"lad_mpi.compression.cuda.{module.name}")
            for module in pkgutil.iter_modules(lad_mpi.compression.cuda.__path__)
        ),
    ]:
        if hasattr(module, "namespace"):
            monkeypatch.setattr(module, "namespace", lambda array: cupy)
    return Backend("cupy", np.dtype("float64"), cupy, "stand-in")
