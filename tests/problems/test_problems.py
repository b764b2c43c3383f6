"""What every problem must keep, whoever wrote it."""

import dataclasses
import inspect
import typing

import numpy as np
import pytest

import lad_mpi.problems
from lad_mpi.arrays import open_backend
from lad_mpi.problems import PROBLEMS, Problem, ProblemData
from lad_mpi.rng import Streams

NUM_SUBSETS = 7


@pytest.fixture(params=sorted(PROBLEMS))
def problem(request):
    return PROBLEMS[request.param]()


@pytest.fixture(params=["float64", "float32"])
def data(problem, request):
    return problem.load(NUM_SUBSETS, Streams(5), open_backend("numpy", request.param))


def test_the_table_is_complete():
    classes = [
        value
        for name in lad_mpi.problems.__all__
        if inspect.isclass(value := getattr(lad_mpi.problems, name)) and hasattr(value, "kind")
    ]
    assert set(PROBLEMS.values()) == {c for c in classes if c is not Problem}
    assert all(cls.kind == kind for kind, cls in PROBLEMS.items())


def test_it_follows_the_protocols(problem, data):
    assert isinstance(problem, Problem)
    assert isinstance(data, ProblemData)
    assert problem == type(problem)()
    assert hash(problem) == hash(type(problem)())
    assert data.num_subsets == NUM_SUBSETS


def test_its_fields_can_be_read_from_a_spec(problem):
    hints = typing.get_type_hints(type(problem))
    assert {field.name for field in dataclasses.fields(problem)} <= set(hints)
    assert type(problem).__dataclass_params__.frozen
    assert not hasattr(problem, "__dict__")


def test_loading_twice_gives_the_same_bits(problem, data):
    backend = open_backend("numpy", data.initial_model().dtype.name)
    again = problem.load(NUM_SUBSETS, Streams(5), backend)
    other_seed = problem.load(NUM_SUBSETS, Streams(6), backend)
    every = np.arange(NUM_SUBSETS)
    x = np.ones_like(data.initial_model())
    results = []
    for loaded in (data, again, other_seed):
        out = np.empty((NUM_SUBSETS, data.dimension), dtype=x.dtype)
        loaded.gradients(x, every, out)
        results.append(out)
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[0] != results[2]).all()


def test_the_gradients_are_those_of_the_loss(problem):
    data = problem.load(NUM_SUBSETS, Streams(5), open_backend("numpy", "float64"))
    rng = np.random.default_rng(0)
    x, direction = rng.normal(size=(2, data.dimension))
    out = np.empty((NUM_SUBSETS, data.dimension))
    data.gradients(x, np.arange(NUM_SUBSETS), out)
    h = 1e-4
    slope = (data.loss(x + h * direction) - data.loss(x - h * direction)) / (2 * h)
    assert slope == pytest.approx(out.mean(axis=0) @ direction, rel=1e-6)


def test_the_gradient_vanishes_at_the_optimum(problem):
    data = problem.load(NUM_SUBSETS, Streams(5), open_backend("numpy", "float64"))
    out = np.empty((NUM_SUBSETS, data.dimension))
    data.gradients(data.initial_model(), np.arange(NUM_SUBSETS), out)
    at_start = np.linalg.norm(out.mean(axis=0))
    data.gradients(data.optimum, np.arange(NUM_SUBSETS), out)
    assert np.linalg.norm(out.mean(axis=0)) < 1e-10 * at_start


def test_gradients_write_every_number_and_leave_the_rest_alone(data):
    model = np.ones_like(data.initial_model())
    subsets = np.array([3, 1, 3])
    buffer = np.full((5, data.dimension), np.nan, dtype=model.dtype)
    data.gradients(model, subsets, buffer[1:4])
    assert np.isfinite(buffer[1:4]).all()
    assert np.isnan(buffer[[0, 4]]).all()
    np.testing.assert_array_equal(buffer[1], buffer[3])
    np.testing.assert_array_equal(model, np.ones_like(model))
    np.testing.assert_array_equal(subsets, [3, 1, 3])


def test_no_subsets_are_no_work(data):
    out = np.empty((0, data.dimension), dtype=data.initial_model().dtype)
    data.gradients(data.initial_model(), np.empty(0, dtype=np.int64), out)


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


def test_a_diverged_model_gives_no_warning(data):
    dtype = data.initial_model().dtype
    model = np.full(data.dimension, np.finfo(dtype).max)
    out = np.empty((NUM_SUBSETS, data.dimension), dtype=dtype)
    data.gradients(model, np.arange(NUM_SUBSETS), out)
    assert not np.isfinite(out).all()
    assert data.loss(np.full(data.dimension, 1e300)) == np.inf
