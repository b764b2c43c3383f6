import tracemalloc
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.arrays import Backend, open_backend
from lad_mpi.errors import DataError, ParameterError
from lad_mpi.data import LeastSquares, LinearRegression
from lad_mpi.rng import Purpose, Streams

FLOAT64 = open_backend("numpy", "float64")
NUM_SUBSETS = 12


def grouped(dimension, sizes, dtype="float64", *, gpu_code=False):
    rng = np.random.default_rng(dimension)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    features = rng.normal(0, 10, (offsets[-1], dimension))
    targets = rng.normal(size=offsets[-1])
    # NumPy stands in for CuPy, whose functions of these names do the same.
    kind = "cupy" if gpu_code else "numpy"
    backend = Backend(kind, np.dtype(dtype), np, "stand-in")
    return LeastSquares(features, targets, offsets, backend), features, targets, offsets


def gradients(data, x, subsets):
    out = np.full((len(subsets), data.dimension), np.nan, dtype=x.dtype)
    data.gradients(x, np.asarray(subsets, dtype=np.int64), out)
    return out


SIZES = {
    "one": [1] * NUM_SUBSETS,
    "three": [3] * NUM_SUBSETS,
    "uneven": [1, 2, 5, 1, 3, 9, 1, 1, 4, 2, 8, 3],
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("dimension", [1, 2, 3, 7, 100, 257, 20000, 40000])
def test_a_row_has_the_same_bits_in_every_batch(dimension, sizes, dtype):
    data, *_ = grouped(dimension, sizes, dtype)
    rng = np.random.default_rng(1)
    x = rng.normal(size=dimension).astype(dtype)
    alone = np.concatenate([gradients(data, x, [k]) for k in range(NUM_SUBSETS)])
    batches = [
        np.arange(NUM_SUBSETS),
        np.arange(NUM_SUBSETS)[::-1],
        *(rng.permutation(NUM_SUBSETS)[: rng.integers(2, NUM_SUBSETS)] for _ in range(4)),
        rng.integers(0, NUM_SUBSETS, 3 * NUM_SUBSETS),
    ]
    for batch in batches:
        np.testing.assert_array_equal(gradients(data, x, batch), alone[batch])


@settings(max_examples=30, deadline=None)
@given(
    batch=st.lists(st.integers(0, NUM_SUBSETS - 1), min_size=1, max_size=40),
    shift=st.integers(0, 16),
    sizes=st.sampled_from(list(SIZES.values())),
    dtype=st.sampled_from(["float64", "float32"]),
)
def test_bits_do_not_depend_on_where_arrays_lie_in_memory(batch, shift, sizes, dtype):
    data, *_ = grouped(101, sizes, dtype)
    x = np.random.default_rng(2).normal(size=101).astype(dtype)
    shifted = np.empty(101 + shift, dtype=dtype)[shift:]
    shifted[:] = x
    out = np.empty(len(batch) * 101 + shift, dtype=dtype)[shift:].reshape(len(batch), 101)
    data.gradients(shifted, np.array(batch), out)
    every = gradients(data, x, range(NUM_SUBSETS))
    np.testing.assert_array_equal(out, every[batch])


@pytest.mark.parametrize("gpu_code", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("dimension", [1, 7, 100, 40000])
def test_gradients_and_loss_agree_with_the_formula(dimension, sizes, dtype, gpu_code):
    data, features, targets, offsets = grouped(dimension, sizes, dtype, gpu_code=gpu_code)
    x = np.random.default_rng(3).normal(size=dimension).astype(dtype)
    features, targets = features.astype(dtype), targets.astype(dtype)
    expected, losses = [], []
    for k in range(NUM_SUBSETS):
        rows = range(offsets[k], offsets[k + 1])
        terms = [(np.float64(features[j] @ x.astype(float)) - targets[j]) for j in rows]
        expected.append(
            sum(t * features[j].astype(float) for t, j in zip(terms, rows, strict=True)) / len(rows)
        )
        losses.append(sum(t**2 for t in terms) / 2 / len(rows))
    found = gradients(data, x, range(NUM_SUBSETS))
    tolerance = 1e-12 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())
    assert data.loss(x) == pytest.approx(np.mean(losses), rel=1e-12)


def test_the_gpu_code_works_in_several_gathers(monkeypatch):
    monkeypatch.setattr("lad_mpi.models.linear_regression._GATHERED", 100)
    data, *_ = grouped(7, SIZES["three"], gpu_code=True)
    plain, *_ = grouped(7, SIZES["three"])
    x = np.ones(7)
    np.testing.assert_allclose(
        gradients(data, x, [3, 1, 2, 3, 0, 5, 7, 11]),
        gradients(plain, x, [3, 1, 2, 3, 0, 5, 7, 11]),
        rtol=1e-12,
        atol=1e-10,
    )


def test_the_loss_works_in_blocks_and_in_float64(monkeypatch):
    data, *_ = grouped(50, SIZES["uneven"], "float32")
    x = np.full(50, 1 / 3, dtype=np.float32)
    whole = data.loss(x)
    monkeypatch.setattr("lad_mpi.models.linear_regression._LOSS_BLOCK", 150)
    assert data.loss(x) == pytest.approx(whole, rel=1e-14)


def draw(num_subsets=10, seed=1, backend=FLOAT64, **parameters):
    return LinearRegression(**parameters).load(num_subsets, Streams(seed), backend)


def samples(data):
    return data._features, data._targets


def test_the_synthetic_draw_is_the_documented_one():
    m, Q, sigma = 3, 5, 0.7
    features, targets = samples(
        draw(4, seed=9, dimension=Q, samples_per_subset=m, heterogeneity=sigma)
    )
    streams = Streams(9)
    common = streams.generator(Purpose.PROBLEM, device=0).standard_normal(Q)
    for k in range(4):
        g = streams.generator(Purpose.PROBLEM, device=k + 1)
        model = common + sigma * g.standard_normal(Q)
        z = 10 * g.standard_normal((m, Q))
        y = z @ model + g.standard_normal(m)
        np.testing.assert_array_equal(features[k * m : (k + 1) * m], z)
        np.testing.assert_allclose(targets[k * m : (k + 1) * m], y, rtol=1e-12)


def test_a_subset_does_not_depend_on_how_many_there_are():
    few, many = samples(draw(5)), samples(draw(50))
    for small, large in zip(few, many, strict=True):
        np.testing.assert_array_equal(small, large[:5])


def test_heterogeneity_is_the_only_knob_it_claims_to_be():
    none, some, more = (samples(draw(heterogeneity=s)) for s in (0.0, 1.0, 2.0))
    np.testing.assert_array_equal(none[0], more[0])
    np.testing.assert_allclose(more[1] - none[1], 2 * (some[1] - none[1]), rtol=1e-9)
    assert (some[1] != none[1]).all()


def test_the_distributions_have_the_stated_scales():
    features, targets = samples(
        draw(200, dimension=50, samples_per_subset=2, heterogeneity=0.5, seed=3)
    )
    assert features.std() == pytest.approx(10, rel=0.03)
    model = Streams(3).generator(Purpose.PROBLEM).standard_normal(50)
    # ⟨z, σ ε⟩ has variance 50 · 10² · 0.5², beside which the noise is small.
    assert (targets - features @ model).std() == pytest.approx(np.sqrt(1250), rel=0.1)


def test_homogeneous_subsets_share_one_model():
    data = draw(400, dimension=5, heterogeneity=0.0, samples_per_subset=3)
    residuals = data._targets - data._features @ data.optimum
    assert residuals.std() == pytest.approx(1, rel=0.06)


def test_the_draw_does_not_depend_on_the_dtype():
    single = draw(backend=open_backend("numpy", "float32"))
    for narrow, wide in zip(samples(single), samples(draw()), strict=True):
        np.testing.assert_array_equal(narrow, wide.astype(np.float32))


def test_defaults_are_those_of_the_published_sizes():
    explicit = LinearRegression(dimension=100, samples_per_subset=1, heterogeneity=0.1)
    for a, b in zip(
        samples(LinearRegression().load(100, Streams(1), FLOAT64)),
        samples(explicit.load(100, Streams(1), FLOAT64)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    assert LinearRegression().declared_dimension == 100
    assert LinearRegression(dimension=3).declared_dimension == 3
    assert LinearRegression(data="diabetes").declared_dimension is None


def test_gradient_descent_is_stable_at_the_defaults():
    data = draw(100)
    x = data.initial_model()
    np.testing.assert_array_equal(x, np.zeros(100))
    losses = [data.loss(x)]
    for _ in range(50):
        x -= 1e-3 * gradients(data, x, range(100)).mean(axis=0)
        losses.append(data.loss(x))
    assert all(later < earlier for earlier, later in pairwise(losses))


def test_the_optimum_weighs_subsets_equally():
    features = np.ones((4, 1))
    targets = np.array([0.0, 6.0, 6.0, 6.0])
    data = LeastSquares(features, targets, np.array([0, 1, 4]), FLOAT64)
    np.testing.assert_allclose(data.optimum, [3.0])


def test_the_optimum_of_a_deficient_problem_is_the_shortest():
    data, features, targets, _ = grouped(50, SIZES["one"])
    np.testing.assert_allclose(data.optimum, np.linalg.pinv(features) @ targets, rtol=1e-9)
    assert data.optimum is data.optimum
    assert not data.optimum.flags.writeable


def test_no_optimum_is_sought_where_it_takes_too_long(monkeypatch):
    data, *_ = grouped(5, SIZES["one"])
    monkeypatch.setattr("lad_mpi.models.linear_regression._SOLVABLE", 5 * 12 * 5 - 1)
    assert data.optimum is None


def write(path, X, y):
    np.savez(path, X=X, y=y)
    return str(path)


@pytest.fixture
def regression_file(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(5, [1, 10, 100], (23, 3))
    return write(tmp_path / "data.npz", X, X @ [1, 2, 3] + rng.normal(size=23))


@pytest.mark.parametrize("partition", ["shuffled", "sorted", "dirichlet"])
def test_real_data_keep_every_sample_once(regression_file, partition):
    spec = LinearRegression(
        data=regression_file, partition=partition, standardize=False, intercept=False
    )
    data = spec.load(5, Streams(1), FLOAT64)
    with np.load(regression_file) as archive:
        original = np.column_stack([archive["X"], archive["y"]])
    features, targets = samples(data)
    found = np.column_stack([features, targets])
    np.testing.assert_array_equal(found[found[:, 3].argsort()], original[original[:, 3].argsort()])
    assert (data.num_samples, data.dimension) == (23, 3)


def test_standardized_features_and_intercept(regression_file):
    data = LinearRegression(data=regression_file).load(5, Streams(1), FLOAT64)
    features = data._features
    assert data.dimension == 4
    np.testing.assert_allclose(features[:, :3].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(features[:, :3].std(axis=0), 1)
    np.testing.assert_array_equal(features[:, 3], 1)
    without = LinearRegression(data=regression_file, intercept=False)
    np.testing.assert_array_equal(without.load(5, Streams(1), FLOAT64)._features, features[:, :3])


def test_a_constant_feature_becomes_zero(tmp_path):
    X = np.column_stack([np.full(30, 0.1), np.arange(30.0)])
    path = write(tmp_path / "d.npz", X, np.arange(30.0))
    data = LinearRegression(data=path).load(3, Streams(1), FLOAT64)
    np.testing.assert_array_equal(data._features[:, 0], 0)


def test_diabetes():
    pytest.importorskip("sklearn")
    data = LinearRegression(data="diabetes", partition="sorted").load(10, Streams(1), FLOAT64)
    assert (data.num_samples, data.dimension, data.num_subsets) == (442, 11, 10)
    assert data.optimum[-1] == pytest.approx(152, rel=0.02)
    assert data.loss(data.optimum) < 1500 < data.loss(data.initial_model())


def test_what_is_read_has_a_digest_and_what_is_drawn_has_none(regression_file):
    problem = LinearRegression(data=regression_file)
    for num_subsets, seed in ((5, 1), (7, 2)):
        data = problem.load(num_subsets, Streams(seed), FLOAT64)
        assert data.digest == problem.digest() != ""
        assert "23 samples x 3 features" in data.reading
    drawn = draw()
    assert drawn.digest == LinearRegression().digest() == drawn.reading == ""


def test_keys_decide_how_a_table_is_read(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("0,1,2,3\n0,4.5,7,1\n1,6.5,9,8\n2,0,2,3\n")
    plain = LinearRegression(data=str(path), partition="sorted", standardize=False, intercept=False)
    with pytest.raises(DataError, match="two ways"):
        plain.load(2, Streams(1), FLOAT64)
    problem = replace(plain, header=True, index=True, target="1")
    data = problem.load(2, Streams(1), FLOAT64)
    np.testing.assert_array_equal(data._features, [[2, 3], [7, 1], [9, 8]])
    np.testing.assert_array_equal(data._targets, [0, 4.5, 6.5])
    assert data.digest == problem.digest() != replace(problem, target="2").digest()
    assert data.reading == (
        "CSV, 3 samples x 2 features, header in line 1, target in column 2 ('1'), "
        "index in column 1 ('0')"
    )


def test_samples_are_in_memory_twice_at_most(tmp_path):
    X = np.random.default_rng(0).normal(size=(2000, 300))
    path = write(tmp_path / "d.npz", X, X[:, 0])
    tracemalloc.start()
    problem = LinearRegression(data=path)
    problem.digest()
    data = problem.load(5, Streams(1), FLOAT64)
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert now < 1.2 * data._features.nbytes
    assert peak < 2.3 * X.nbytes


def test_fewer_samples_than_subsets(regression_file):
    with pytest.raises(DataError, match="23 samples, too few for 24") as caught:
        LinearRegression(data=regression_file).load(24, Streams(1), FLOAT64)
    assert "devices.count" in caught.value.hint


@pytest.mark.parametrize(
    ("scale", "dtype", "words"),
    [(1e200, "float64", "feature 1 .* standardize"), (1e100, "float32", "float32")],
)
def test_numbers_out_of_range(tmp_path, scale, dtype, words):
    X = np.column_stack([np.arange(9.0), scale * np.arange(9.0)])
    path = write(tmp_path / "d.npz", X, scale * np.ones(9))
    with pytest.raises(DataError, match=words):
        LinearRegression(data=path).load(3, Streams(1), open_backend("numpy", dtype))


@pytest.mark.parametrize(
    ("field", "parameters"),
    [
        ("dimension", {"dimension": 0}),
        ("samples_per_subset", {"samples_per_subset": 0}),
        ("heterogeneity", {"heterogeneity": -0.1}),
        ("heterogeneity", {"heterogeneity": float("nan")}),
        ("heterogeneity", {"heterogeneity": float("inf")}),
        ("concentration", {"data": "d.csv", "partition": "dirichlet", "concentration": 0.0}),
        ("concentration", {"data": "d.csv", "concentration": 1.0}),
        ("concentration", {"concentration": 1.0}),
        ("dimension", {"data": "d.csv", "dimension": 100}),
        ("samples_per_subset", {"data": "diabetes", "samples_per_subset": 1}),
        ("heterogeneity", {"data": "diabetes", "heterogeneity": 0.1}),
        ("partition", {"partition": "sorted"}),
        ("standardize", {"standardize": False}),
        ("intercept", {"intercept": False}),
        ("target", {"target": "y"}),
        ("header", {"header": False}),
        ("index", {"index": False}),
        ("target", {"data": "diabetes", "target": 1}),
        ("header", {"data": "diabetes", "header": True}),
        ("index", {"data": "diabetes", "index": "id"}),
        ("target", {"data": "d.csv", "target": 0}),
        ("index", {"data": "d.csv", "index": -1}),
        ("data", {"data": "diabetis"}),
        ("data", {"data": "table.npz.gz"}),
        ("data", {"data": "table.xlsx"}),
    ],
)
def test_parameters_that_are_wrong_or_without_effect(field, parameters):
    with pytest.raises(ParameterError) as caught:
        LinearRegression(**parameters)
    assert caught.value.parameter == field


def test_a_misspelt_name_gets_a_suggestion():
    with pytest.raises(ParameterError, match="did you mean 'diabetes'"):
        LinearRegression(data="diabetis")
