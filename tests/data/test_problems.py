"""The laws of problems over all of the suite's own, and what these promise beside them."""

import inspect

import numpy as np
import pytest

import lad_mpi.data
from lad_mpi import conformance
from lad_mpi.arrays import open_backend
from lad_mpi.data import PROBLEMS, LinearRegression, Problem
from lad_mpi.rng import Streams

NUM_SUBSETS = 7

TestLinearRegression = conformance.problem(LinearRegression)


@pytest.fixture(params=sorted(PROBLEMS))
def problem(request):
    return PROBLEMS[request.param]()


@pytest.fixture(params=["float64", "float32"])
def data(problem, request):
    return problem.load(NUM_SUBSETS, Streams(5), open_backend("numpy", request.param))


def test_every_problem_is_put_to_the_test():
    tested = {value.subject for value in globals().values() if hasattr(value, "subject")}
    assert tested == set(PROBLEMS.values())


def test_the_table_is_complete():
    classes = [
        value
        for name in lad_mpi.data.__all__
        if inspect.isclass(value := getattr(lad_mpi.data, name)) and hasattr(value, "kind")
    ]
    assert set(PROBLEMS.values()) == {c for c in classes if c is not Problem}
    assert all(cls.kind == kind for kind, cls in PROBLEMS.items())


@pytest.mark.parametrize("kind", sorted(PROBLEMS))
def test_it_has_slots(kind):
    assert not hasattr(PROBLEMS[kind](), "__dict__")


@pytest.mark.parametrize("subset", [-1, NUM_SUBSETS])
def test_a_subset_that_does_not_exist_is_refused(data, subset):
    out = np.empty((1, data.dimension), dtype=data.initial_model().dtype)
    with pytest.raises(IndexError, match=f"0…{NUM_SUBSETS - 1}"):
        data.gradients(data.initial_model(), np.array([subset]), out)


def test_a_buffer_that_does_not_fit_is_refused(data):
    n, Q, dtype = 2, data.dimension, data.initial_model().dtype
    other = np.dtype("float32" if dtype == np.float64 else "float64")
    misfits = [
        np.empty((n + 1, Q), dtype),
        np.empty((n, Q), other),
        np.empty((n, 2 * Q), dtype)[:, ::2],
    ]
    for out in misfits:
        with pytest.raises(ValueError, match="C-contiguous"):
            data.gradients(data.initial_model(), np.arange(n), out)


def test_the_loss_of_a_diverged_model_is_infinite(data):
    dtype = data.initial_model().dtype
    model = np.full(data.dimension, np.finfo(dtype).max)
    out = np.empty((NUM_SUBSETS, data.dimension), dtype=dtype)
    data.gradients(model, np.arange(NUM_SUBSETS), out)
    assert not np.isfinite(out).all()
    assert data.loss(np.full(data.dimension, 1e300)) == np.inf
