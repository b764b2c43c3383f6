"""The sources of all kernels: they ship, and cards have room for what they hold."""

import fnmatch
import sys
from pathlib import Path

import numpy as np
import pytest
from cuda_on_host import assert_registers, options_for

import lad_mpi.compression.cuda
from lad_mpi.compression.cuda.launch import OPTIONS, program

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(lad_mpi.compression.cuda.__file__).parent
PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"
SOURCES = {
    "none": lambda dtype: program(dtype, "numbers", FORMAT=0),
    "float16": lambda dtype: program(dtype, "numbers", FORMAT=1),
    "bfloat16": lambda dtype: program(dtype, "numbers", FORMAT=2),
    "rand_k": lambda dtype: program(dtype, "marks", "rand_k"),
    "qsgd": lambda dtype: program(dtype, "random", "codes", "sums", "qsgd"),
    "natural": lambda dtype: program(dtype, "random", "codes", "natural"),
    "sign": lambda dtype: program(dtype, "codes", "sums", "sign"),
    "top_k of short vectors": lambda dtype: program(dtype, "marks", "codes", "top_k", DIGITS=8),
    "top_k of long vectors": lambda dtype: program(dtype, "marks", "codes", "top_k", DIGITS=11),
}


@pytest.mark.parametrize("card", ["sm_70", "sm_80", "sm_90"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", list(SOURCES))
def test_what_threads_hold_stays_in_registers(name, dtype, card, nvrtc):
    log = nvrtc(SOURCES[name](np.dtype(dtype)).source(), *options_for(card, OPTIONS))
    assert_registers(log)


def test_every_source_is_compiled():
    names = {name for make in SOURCES.values() for name in make(np.dtype("float32")).names}
    assert {"common", *names} == {path.stem for path in FOLDER.glob("*.cu")}


def test_every_source_ships():
    patterns = tomllib.loads(PYPROJECT.read_text())["tool"]["setuptools"]["package-data"]
    package = FOLDER.parents[1]
    found = [path.relative_to(package).as_posix() for path in package.rglob("*.cu")]
    assert len(found) > 1
    for name in found:
        assert any(fnmatch.fnmatch(name, pattern) for pattern in patterns["lad_mpi"]), name
