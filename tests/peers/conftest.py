"""ByzFL as it is installed, and how its results are compared with ours."""

from __future__ import annotations

import contextlib
import importlib.metadata
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
VERSION = "0.0.11"
#: How far a result of ours may be from ByzFL's, in units of the latter's largest entry.
TOLERANCE = 1e-10


@pytest.fixture(scope="session")
def byzfl() -> SimpleNamespace:
    """The public names of ByzFL's aggregators and attacks."""
    try:
        found = importlib.metadata.version("byzfl")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("byzfl is not installed; `make test-peers` installs it")
    if found != VERSION:
        pytest.skip(f"byzfl {found} is installed, and what is said here is about {VERSION}")
    modules = runpy.run_path(str(BENCHMARKS / "byzfl_alone.py"))["import_byzfl"]()
    names = {name: value for module in modules for name, value in vars(module).items()}
    return SimpleNamespace(**{k: v for k, v in names.items() if not k.startswith("_")})


@pytest.fixture(scope="session")
def deviation() -> Callable[[np.ndarray, np.ndarray], float]:
    """The greatest difference of two results, relative to the second's largest entry, by row."""

    def between(ours: np.ndarray, theirs: np.ndarray) -> float:
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype == np.float64
        away = np.atleast_2d(np.abs(ours - theirs)).max(axis=1)
        scale = np.atleast_2d(np.abs(theirs)).max(axis=1)
        return float((away / np.where(scale > 0.0, scale, 1.0)).max())

    return between


@pytest.fixture(scope="session")
def assert_equal(deviation: Callable[[np.ndarray, np.ndarray], float]) -> Callable[..., None]:
    """Demand ten digits of each other."""

    def check(ours: np.ndarray, theirs: np.ndarray) -> None:
        assert deviation(ours, theirs) <= TOLERANCE

    return check


@pytest.fixture
def passes_of_caf(
    byzfl: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> Callable[[np.ndarray, int, int], int]:
    """How often ByzFL's CAF lowers the weights, which it begins by drawing a random vector."""

    class GaveUpError(Exception):
        pass

    def count(x: np.ndarray, f: int, at_most: int = 1000) -> int:
        passes = 0

        def randn(dimension: int) -> np.ndarray:
            nonlocal passes
            if passes == at_most:
                raise GaveUpError
            passes += 1
            return generator.normal(size=dimension)

        generator = np.random.default_rng(0)
        with monkeypatch.context() as patched:
            patched.setattr(np.random, "randn", randn)
            with contextlib.suppress(GaveUpError):
                byzfl.CAF(f)(x)
        return passes

    return count
