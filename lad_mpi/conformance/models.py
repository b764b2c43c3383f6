"""Laws of learning problems."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pytest

from lad_mpi.arrays import open_backend
from lad_mpi.conformance.component import ComponentLaws, moves_no_global_generator
from lad_mpi.conformance.suite import make_suite
from lad_mpi.data import CountedProblem, Problem, ProblemData, SizedProblem
from lad_mpi.rng import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lad_mpi.types import HostFloats

_SUBSETS = 7
_DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


class ProblemLaws(ComponentLaws):
    """Laws of losses and their gradients, for data in 7 subsets.

    Attributes
    ----------
    maker : callable
        Builds a problem.
    """

    family: ClassVar[str] = "problem"
    maker: ClassVar[Callable[[], Any]]

    def example(self) -> Any:
        """Return a problem."""
        return type(self).maker()

    def load(self, dtype: str, seed: int = 5) -> Any:
        """Return the data of a problem in 7 subsets."""
        name: Literal["float32", "float64"] = "float32" if dtype == "float32" else "float64"
        return self.example().load(_SUBSETS, Streams(seed), open_backend("numpy", name))

    @_DTYPES
    def test_protocol(self, dtype: str) -> None:
        """It is a problem, and loads data with the given number of subsets."""
        assert isinstance(self.example(), Problem)
        data = self.load(dtype)
        assert isinstance(data, ProblemData)
        assert data.num_subsets == _SUBSETS
        assert data.initial_model().shape == (data.dimension,)
        assert data.initial_model().dtype == np.dtype(dtype)

    def test_dimension(self) -> None:
        """If it declares a dimension, its data have this dimension."""
        declared = self.example().declared_dimension
        assert declared in {None, self.load("float64").dimension}

    def test_gradient_work(self) -> None:
        """The declared work has the number of samples of a subset, and is large enough.

        A gradient has a number for each parameter, so the work cannot be less than that.
        """
        work = self.example().gradient_work
        data = self.load("float64")
        if work is not None:
            assert work.samples * _SUBSETS == data.num_samples
            assert work.operations >= data.dimension
            assert work.numbers > 0

    @_DTYPES
    def test_repeatable(self, dtype: str) -> None:
        """Loading twice with one seed gives gradients of the same bits.

        Every rank loads the data separately.
        """
        np.testing.assert_array_equal(_gradients(self.load(dtype)), _gradients(self.load(dtype)))

    @_DTYPES
    def test_seed(self, dtype: str) -> None:
        """Another seed gives other data. Data from a file need not keep this."""
        other = self.load(dtype, seed=6)
        assert (_gradients(self.load(dtype)) != _gradients(other)).all()

    def test_digest(self) -> None:
        """Its digest identifies the data that are read, for every seed, dtype and split.

        It is part of the run's identity. It is empty only if no data are read. Data that are
        read also have a description.
        """
        digest = self.example().digest()
        assert digest == self.example().digest()
        assert digest == "" or re.fullmatch("sha256:[0-9a-f]{64}", digest)
        for data in (self.load("float64"), self.load("float32", seed=6)):
            assert data.digest == digest
            assert isinstance(data.reading, str)
            assert bool(data.reading) == bool(digest)

    def test_global_generators(self) -> None:
        """It neither uses nor seeds a global generator of random numbers."""
        moves_no_global_generator(lambda: _gradients(self.load("float64")))

    def test_slope(self) -> None:
        """The mean of the gradients is the gradient of the loss, by finite differences."""
        data = self.load("float64")
        x, direction = np.random.default_rng(0).normal(size=(2, data.dimension))
        h = 1e-4
        slope = (data.loss(x + h * direction) - data.loss(x - h * direction)) / (2 * h)
        mean = _gradients(data, x).mean(axis=0)
        assert slope == pytest.approx(mean @ direction, rel=1e-6)

    def test_optimum(self) -> None:
        """The gradient vanishes at the optimum, if one is given."""
        data = self.load("float64")
        if data.optimum is None:
            pytest.skip("no optimum is known")
        start = np.linalg.norm(_gradients(data, data.initial_model()).mean(axis=0))
        assert np.linalg.norm(_gradients(data, data.optimum).mean(axis=0)) < 1e-10 * start

    @_DTYPES
    def test_rows(self, dtype: str) -> None:
        """A gradient has the same bits, whatever others are computed with it.

        Otherwise results would depend on the number of ranks.
        """
        data = self.load(dtype)
        every = _gradients(data)
        for subsets in ([0], [3, 1, 3], [6, 5, 4, 3, 2, 1, 0]):
            some = _gradients(data, subsets=subsets)
            np.testing.assert_array_equal(some, every[subsets])

    @_DTYPES
    def test_out(self, dtype: str) -> None:
        """Gradients fill their buffer, and change neither the arguments nor other memory."""
        data = self.load(dtype)
        model = np.ones_like(data.initial_model())
        subsets = np.array([3, 1, 3])
        buffer = np.full((5, data.dimension), np.nan, dtype=model.dtype)
        data.gradients(model, subsets, buffer[1:4])
        assert np.isfinite(buffer[1:4]).all()
        assert np.isnan(buffer[[0, 4]]).all()
        np.testing.assert_array_equal(buffer[1], buffer[3])
        np.testing.assert_array_equal(model, np.ones_like(model))
        np.testing.assert_array_equal(subsets, [3, 1, 3])

    @_DTYPES
    def test_no_subsets(self, dtype: str) -> None:
        """Zero subsets give zero gradients."""
        assert _gradients(self.load(dtype), subsets=[]).shape[0] == 0

    @_DTYPES
    def test_diverged(self, dtype: str) -> None:
        """A model of the largest numbers causes no errors and no warnings.

        The run has its own check for divergence, with a message.
        """
        data = self.load(dtype)
        _gradients(data, np.full(data.dimension, np.finfo(dtype).max, dtype=dtype))
        data.loss(np.full(data.dimension, 1e300))


def problem(
    cls: type[Any], *, without: Collection[str] = (), make: Callable[[], Any] | None = None
) -> type[ProblemLaws]:
    """Make the class of tests of a problem.

    See :mod:`lad_mpi.conformance` for what all such functions take and return.

    Parameters
    ----------
    cls : type
    without : collection of str
    make : callable, optional
        Builds a problem that can be split into 7 subsets.
    """
    optional = {"dimension": SizedProblem, "gradient_work": CountedProblem}
    return make_suite(ProblemLaws, cls, without, optional, maker=staticmethod(make or cls))


def _gradients(
    data: Any, model: HostFloats | None = None, subsets: list[int] | None = None
) -> HostFloats:
    """Return the gradients of some subsets, all if left out, at a model of ones if left out."""
    dtype = data.initial_model().dtype
    if model is None:
        model = np.ones(data.dimension, dtype=dtype)
    wanted = np.arange(_SUBSETS) if subsets is None else np.array(subsets, dtype=np.int64)
    out = np.full((len(wanted), data.dimension), np.nan, dtype=dtype)
    data.gradients(model, wanted, out)
    return out
